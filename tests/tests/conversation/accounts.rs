//! Registration, login, tokens, and who may call at all.

use engram_benches::target::shared_secret_mac;
use engram_tests::server::SHARED_SECRET;
use engram_tests::user::PASSWORD;
use engram_tests::{Server, fresh};
use serde_json::{Value, json};

fn password_login(user: &str, password: &str) -> Value {
    json!({"type": "m.login.password", "identifier": {"type": "m.id.user", "user": user}, "password": password})
}

#[test]
fn versions_need_no_account() {
    let server = Server::start();
    let versions = server.get("/versions").ok();
    let versions = versions["versions"].as_array().expect("a list");
    assert!(versions.iter().any(|version| version == "v1.11"), "{versions:?}");
}

#[test]
fn registration_asks_for_the_dummy_stage() {
    let server = Server::start();
    let body = json!({"username": fresh("walter"), "password": PASSWORD, "device_id": "DESK"});
    let asked = server.call("POST", "/v3/register", &body);
    assert_eq!(asked.status, 401, "{asked:?}");
    assert!(asked.body["flows"].as_array().is_some_and(|flows| !flows.is_empty()), "{asked:?}");
    let session = asked.body["session"].as_str().expect("a session").to_owned();

    let mut body = body;
    body["auth"] = json!({"type": "m.login.dummy", "session": session});
    let account = server.call("POST", "/v3/register", &body).ok();
    assert_eq!(account["device_id"], "DESK");
    assert!(account["access_token"].is_string(), "{account}");
    let taken = server.call("POST", "/v3/register", &body);
    assert_ne!(taken.status, 500, "a finished session used again: {taken:?}");
}

#[test]
fn the_dummy_stage_is_taken_without_a_session() {
    let server = Server::start();
    let name = fresh("wilma");
    let body = json!({"username": name, "password": PASSWORD, "auth": {"type": "m.login.dummy"}});
    let account = server.call("POST", "/v3/register", &body).ok();
    assert!(account["user_id"].as_str().is_some_and(|id| id.starts_with(&format!("@{name}:"))), "{account}");
    server.call("POST", "/v3/register", &body).refused(400, "M_USER_IN_USE");
}

#[test]
fn registration_may_do_without_a_login() {
    let server = Server::start();
    let body = json!({"username": fresh("quiet"), "password": PASSWORD, "inhibit_login": true,
        "auth": {"type": "m.login.dummy"}});
    let account = server.call("POST", "/v3/register", &body).ok();
    assert!(account["user_id"].is_string() && account["access_token"].is_null(), "{account}");
}

#[test]
fn names_that_are_no_localparts_are_refused() {
    let server = Server::start();
    for name in ["with space", "@sigil", "colon:inside", "schön", ""] {
        let body = json!({"username": name, "password": PASSWORD, "auth": {"type": "m.login.dummy"}});
        let reply = server.call("POST", "/v3/register", &body);
        // An empty name counts as none: the server chooses one.
        if name.is_empty() && reply.status == 200 {
            continue;
        }
        reply.refused(400, "M_INVALID_USERNAME");
    }
}

#[test]
fn the_shared_secret_registers_once_per_nonce() {
    const PATH: &str = "/_synapse/admin/v1/register";
    if engram_tests::server::external_url().is_some() {
        return;
    }
    let server = Server::start();
    let nonce = server.get(PATH).string("nonce");
    let body =
        |mac: &str| json!({"nonce": nonce, "username": "operator", "password": PASSWORD, "admin": true, "mac": mac});
    let wrong = shared_secret_mac("another secret", &nonce, "operator", PASSWORD, true);
    server.call("POST", PATH, &body(&wrong)).refused_as(403, &["M_FORBIDDEN", "M_UNKNOWN"]);
    let right = shared_secret_mac(SHARED_SECRET, &nonce, "operator", PASSWORD, true);
    let mut reply = server.call("POST", PATH, &body(&right));
    if reply.status == 400 {
        // A nonce that has been tried may be spent.
        let nonce = server.get(PATH).string("nonce");
        let mac = shared_secret_mac(SHARED_SECRET, &nonce, "operator", PASSWORD, true);
        let mut body = body(&mac);
        body["nonce"] = json!(nonce);
        reply = server.call("POST", PATH, &body);
    }
    assert!(reply.ok()["access_token"].is_string());
    assert_eq!(server.call("POST", PATH, &body(&right)).status, 400, "a nonce is good for one registration");
}

#[test]
fn login_by_localpart_and_by_user_id() {
    let server = Server::start();
    let user = server.user("ludwig");
    let flows = server.get("/v3/login").ok();
    let flows = flows["flows"].as_array().cloned().unwrap_or_default();
    assert!(flows.iter().any(|flow| flow["type"] == "m.login.password"), "{flows:?}");
    for name in [user.localpart(), user.id.as_str()] {
        let login = server.call("POST", "/v3/login", &password_login(name, PASSWORD)).ok();
        assert_eq!(login["user_id"], user.id.as_str());
        assert_ne!(login["device_id"], user.device.as_str(), "a login is a new device");
    }
}

#[test]
fn login_is_refused_without_saying_why() {
    let server = Server::start();
    let user = server.user("ludwig");
    let wrong = server.call("POST", "/v3/login", &password_login(&user.id, "a guess")).refused(403, "M_FORBIDDEN");
    let nobody = fresh("nobody");
    let unknown = server.call("POST", "/v3/login", &password_login(&nobody, PASSWORD)).refused(403, "M_FORBIDDEN");
    assert_eq!(wrong["error"], unknown["error"], "the answer must not tell which names exist");
    server
        .call("POST", "/v3/login", &json!({"type": "m.login.tea-leaves"}))
        .refused_as(400, &["M_UNKNOWN", "M_INVALID_PARAM"]);
}

#[test]
fn a_login_on_a_known_device_ends_its_old_token() {
    let server = Server::start();
    let user = server.user("ludwig");
    let mut body = password_login(&user.id, PASSWORD);
    body["device_id"] = json!(user.device);
    let login = server.call("POST", "/v3/login", &body).ok();
    assert_eq!(login["device_id"], user.device.as_str());
    user.get("/v3/account/whoami").refused(401, "M_UNKNOWN_TOKEN");
}

#[test]
fn whoami_names_user_and_device() {
    let server = Server::start();
    let user = server.user("walter");
    let whoami = user.get("/v3/account/whoami").ok();
    assert_eq!(whoami["user_id"], user.id.as_str());
    assert_eq!(whoami["device_id"], user.device.as_str());
}

#[test]
fn a_token_may_stand_in_the_query() {
    let server = Server::start();
    let user = server.user("walter");
    let whoami = server.get(&format!("/v3/account/whoami?access_token={}", user.token)).ok();
    assert_eq!(whoami["user_id"], user.id.as_str());
}

#[test]
fn calls_without_a_good_token_are_refused() {
    let server = Server::start();
    let mut user = server.user("walter");
    for path in ["/v3/account/whoami", "/v3/sync", "/v3/joined_rooms", "/v3/capabilities", "/v3/pushrules/"] {
        server.get(path).refused(401, "M_MISSING_TOKEN");
    }
    user.token = "nobodys_token".to_owned();
    for path in ["/v3/account/whoami", "/v3/sync", "/v3/joined_rooms"] {
        user.get(path).refused(401, "M_UNKNOWN_TOKEN");
    }
}

#[test]
fn logout_ends_one_device_and_logout_all_every_device() {
    let server = Server::start();
    let desk = server.user("walter");
    let (phone, tablet) = (desk.log_in(), desk.log_in());
    phone.post("/v3/logout", &json!({})).ok();
    phone.get("/v3/account/whoami").refused(401, "M_UNKNOWN_TOKEN");
    tablet.get("/v3/account/whoami").ok();
    tablet.post("/v3/logout/all", &json!({})).ok();
    for device in [&desk, &tablet] {
        device.get("/v3/account/whoami").refused(401, "M_UNKNOWN_TOKEN");
    }
}

#[test]
fn capabilities_name_the_room_versions() {
    let server = Server::start();
    let user = server.user("walter");
    let capabilities = user.get("/v3/capabilities").ok();
    let versions = &capabilities["capabilities"]["m.room_versions"];
    for version in ["10", "11", "12"] {
        assert!(versions["available"][version].is_string(), "room version {version}: {capabilities}");
    }
    let default = versions["default"].as_str().expect("a default version");
    assert!(versions["available"][default].is_string(), "the default is available: {versions}");
}
