//! A user's devices, and what needs the password again.

use engram_benches::http::encode;
use engram_tests::user::PASSWORD;
use engram_tests::{Reply, Server, User};
use serde_json::{Value, json};

/// A password stage for a request that was refused with 401.
fn with_password(user: &User, refused: &Reply, mut body: Value) -> Value {
    assert_eq!(refused.status, 401, "{refused:?}");
    let identifier = json!({"type": "m.id.user", "user": user.id});
    body["auth"] = json!({"type": "m.login.password", "identifier": identifier, "password": PASSWORD,
        "session": refused.body["session"]});
    body
}

#[test]
fn devices_are_listed_and_renamed() {
    let server = Server::start();
    let desk = server.user("alice");
    let phone = desk.log_in();
    let path = format!("/v3/devices/{}", encode(&phone.device));
    desk.put(&path, &json!({"display_name": "Telephone"})).ok();
    assert_eq!(desk.get(&path).ok()["display_name"], "Telephone");
    let listed = desk.get("/v3/devices").ok();
    let mut ids: Vec<_> =
        listed["devices"].as_array().into_iter().flatten().map(|device| device["device_id"].clone()).collect();
    ids.sort_by_key(Value::to_string);
    let mut expected = [json!(desk.device), json!(phone.device)];
    expected.sort_by_key(Value::to_string);
    assert_eq!(ids, expected);
    desk.get("/v3/devices/NOSUCHDEVICE").refused(404, "M_NOT_FOUND");
}

#[test]
fn removing_devices_needs_the_password() {
    let server = Server::start();
    let desk = server.user("alice");
    let phone = desk.log_in();
    let body = json!({"devices": [phone.device]});
    let refused = desk.post("/v3/delete_devices", &body);
    phone.get("/v3/account/whoami").ok();
    desk.post("/v3/delete_devices", &with_password(&desk, &refused, body)).ok();
    phone.get("/v3/account/whoami").refused(401, "M_UNKNOWN_TOKEN");
    desk.get("/v3/account/whoami").ok();
}

#[test]
fn a_new_password_replaces_the_old_one() {
    let server = Server::start();
    let desk = server.user("alice");
    let phone = desk.log_in();
    let body = json!({"new_password": "a new one, much better", "logout_devices": true});
    let refused = desk.post("/v3/account/password", &body);
    desk.post("/v3/account/password", &with_password(&desk, &refused, body)).ok();
    phone.get("/v3/account/whoami").refused(401, "M_UNKNOWN_TOKEN");
    desk.get("/v3/account/whoami").ok();
    let login = |password: &str| {
        let identifier = json!({"type": "m.id.user", "user": desk.id});
        let body = json!({"type": "m.login.password", "identifier": identifier, "password": password});
        server.call("POST", "/v3/login", &body).status
    };
    assert_eq!((login(PASSWORD), login("a new one, much better")), (403, 200));
}

#[test]
fn a_closed_account_stays_closed() {
    let server = Server::start();
    let alice = server.user("alice");
    let refused = alice.post("/v3/account/deactivate", &json!({}));
    alice.post("/v3/account/deactivate", &with_password(&alice, &refused, json!({}))).ok();
    alice.get("/v3/account/whoami").refused(401, "M_UNKNOWN_TOKEN");
    let identifier = json!({"type": "m.id.user", "user": alice.id});
    let body = json!({"type": "m.login.password", "identifier": identifier, "password": PASSWORD});
    server.call("POST", "/v3/login", &body).refused_as(403, &["M_USER_DEACTIVATED", "M_FORBIDDEN"]);
    let again = json!({"username": alice.localpart(), "password": PASSWORD, "auth": {"type": "m.login.dummy"}});
    server.call("POST", "/v3/register", &again).refused(400, "M_USER_IN_USE");
}
