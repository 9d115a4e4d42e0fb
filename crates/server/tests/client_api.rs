//! The client API over a real log in a scratch directory, without a network: which request gets which answer.

mod common;

use axum::http::StatusCode;
use common::{CONFIG, Server, ask, register};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_get_the_code_that_the_specification_asks_for() {
    let server = Server::start(CONFIG);
    let api = server.api();
    let token = register(&api, "alice").await;
    register(&api, "bob").await;
    let deep = "[".repeat(100_000);
    for (token, method, path, body, status, errcode) in [
        ("", "GET", "/_matrix/client/v3/nothing", "", 404, "M_UNRECOGNIZED"),
        ("", "GET", "/", "", 404, "M_UNRECOGNIZED"),
        ("", "PATCH", "/_matrix/client/v3/login", "", 405, "M_UNRECOGNIZED"),
        ("", "GET", "/_matrix/client/v3/account/whoami", "", 401, "M_MISSING_TOKEN"),
        ("wrong", "GET", "/_matrix/client/v3/account/whoami", "", 401, "M_UNKNOWN_TOKEN"),
        ("", "POST", "/_matrix/client/v3/login", "", 400, "M_NOT_JSON"),
        ("", "POST", "/_matrix/client/v3/login", "{\"type\":", 400, "M_NOT_JSON"),
        ("", "POST", "/_matrix/client/v3/login", "[]", 400, "M_BAD_JSON"),
        ("", "POST", "/_matrix/client/v3/login", "{}", 400, "M_MISSING_PARAM"),
        ("", "POST", "/_matrix/client/v3/login", r#"{"type":"odd"}"#, 400, "M_UNKNOWN"),
        ("", "POST", "/_matrix/client/v3/login", &deep, 413, "M_TOO_LARGE"),
        ("", "GET", "/_matrix/client/v3/register/available", "", 400, "M_MISSING_PARAM"),
        ("", "GET", "/_matrix/client/v3/register/available?username=alice", "", 400, "M_USER_IN_USE"),
        ("", "GET", "/_matrix/client/v3/register/available?username=A%20b", "", 400, "M_INVALID_USERNAME"),
        ("", "GET", "/_matrix/client/v3/profile/%ff", "", 400, "M_INVALID_PARAM"),
        ("", "GET", "/_matrix/client/v3/profile/@nobody:localhost", "", 404, "M_NOT_FOUND"),
        (&token, "POST", "/_matrix/client/v3/keys/query", &deep, 400, "M_BAD_JSON"),
        (&token, "PUT", "/_matrix/client/v3/profile/@bob:localhost/displayname", "{}", 403, "M_FORBIDDEN"),
        (&token, "PUT", "/_matrix/client/v3/profile/@alice:localhost/displayname", "{}", 400, "M_MISSING_PARAM"),
        (&token, "GET", "/_matrix/client/v3/user/@bob:localhost/account_data/a", "", 403, "M_FORBIDDEN"),
        (&token, "GET", "/_matrix/client/v3/user/@alice:localhost/account_data/a", "", 404, "M_NOT_FOUND"),
        (&token, "PUT", "/_matrix/client/v3/user/@alice:localhost/account_data/a", "1", 400, "M_BAD_JSON"),
        (&token, "GET", "/_matrix/client/v3/user/@alice:localhost/filter/none", "", 404, "M_NOT_FOUND"),
        (&token, "GET", "/_matrix/client/v3/devices/none", "", 404, "M_NOT_FOUND"),
        (&token, "GET", "/_matrix/client/v3/pushrules/global/odd/x", "", 404, "M_NOT_FOUND"),
        (&token, "GET", "/_matrix/client/v3/pushrules/global/odd", "", 404, "M_NOT_FOUND"),
        (&token, "GET", "/_matrix/client/v3/profile/@alice:localhost/avatar_url", "", 404, "M_NOT_FOUND"),
        (
            &token,
            "PUT",
            "/_matrix/client/v3/profile/@alice:localhost/displayname",
            r#"{"displayname":"A","avatar_url":"mxc://a/b"}"#,
            400,
            "M_BAD_JSON",
        ),
        (&token, "PUT", "/_matrix/client/v3/profile/@alice:localhost/UPPER", r#"{"UPPER":1}"#, 400, "M_INVALID_PARAM"),
        (
            &token,
            "POST",
            "/_matrix/client/v3/keys/upload",
            r#"{"device_keys":{"user_id":"@alice:localhost","device_id":"A"}}"#,
            400,
            "M_BAD_JSON",
        ),
        (
            &token,
            "POST",
            "/_matrix/client/v3/keys/upload",
            r#"{"fallback_keys":{"a:1":{"key":1e999}}}"#,
            400,
            "M_BAD_JSON",
        ),
        (
            &token,
            "PUT",
            "/_matrix/client/v3/presence/@alice:localhost/status",
            r#"{"presence":"odd"}"#,
            400,
            "M_INVALID_PARAM",
        ),
        (
            &token,
            "PUT",
            "/_matrix/client/v3/rooms/!a:b/typing/@alice:localhost",
            r#"{"typing":true}"#,
            403,
            "M_FORBIDDEN",
        ),
    ] {
        let (got, answer) = ask(&api, token, method, path, body).await;
        assert_eq!((got.as_u16(), answer["errcode"].as_str()), (status, Some(errcode)), "{method} {path} {answer}");
        assert!(answer["error"].as_str().is_some_and(|error| !error.is_empty()), "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn options_run_no_logic_and_old_prefixes_lead_to_the_same_place() {
    let server = Server::start(CONFIG);
    let api = server.api();
    let token = register(&api, "alice").await;
    for path in ["/_matrix/client/v3/logout", "/_matrix/client/v3/nothing"] {
        assert_eq!(ask(&api, &token, "OPTIONS", path, "").await, (StatusCode::OK, json!({})));
    }
    for path in ["/_matrix/client/v3/account/whoami", "/_matrix/client/r0/account/whoami"] {
        let (status, answer) = ask(&api, &token, "GET", path, "").await;
        assert_eq!((status, answer["user_id"].as_str()), (StatusCode::OK, Some("@alice:localhost")), "{path}");
    }
    let in_query = format!("/_matrix/client/v3/account/whoami?access_token={token}");
    assert_eq!(ask(&api, "", "GET", &in_query, "").await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn path_segments_are_decoded_exactly_once() {
    let server = Server::start(CONFIG);
    let api = server.api();
    let token = register(&api, "alice").await;
    let base = "/_matrix/client/v3/user/@alice%3Alocalhost/account_data";
    for (written, name) in [("a%2Fb", "slash"), ("a%252Fb", "escaped"), ("a%23b", "hash")] {
        let content = json!({ "name": name });
        let put = ask(&api, &token, "PUT", &format!("{base}/{written}"), &content.to_string()).await;
        assert_eq!(put.0, StatusCode::OK);
    }
    for (written, name) in [("a%2Fb", "slash"), ("a%252Fb", "escaped"), ("a%23b", "hash")] {
        let (_, answer) = ask(&api, &token, "GET", &format!("{base}/{written}"), "").await;
        assert_eq!(answer["name"], name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_device_needs_the_password_of_its_owner() {
    let server = Server::start(CONFIG);
    let api = server.api();
    let token = register(&api, "alice").await;
    register(&api, "bob").await;
    let (_, devices) = ask(&api, &token, "GET", "/_matrix/client/v3/devices", "").await;
    let path = format!("/_matrix/client/v3/devices/{}", devices["devices"][0]["device_id"].as_str().expect("an ID"));
    let (status, asked) = ask(&api, &token, "DELETE", &path, "").await;
    assert_eq!((status, &asked["flows"]), (StatusCode::UNAUTHORIZED, &json!([{ "stages": ["m.login.password"] }])));
    assert_eq!(asked.get("errcode"), None, "a question is no error");
    let auth = |user: &str, password: &str| {
        let identifier = json!({ "type": "m.id.user", "user": user });
        json!({ "auth": {
            "type": "m.login.password", "session": asked["session"], "identifier": identifier, "password": password
        } })
        .to_string()
    };
    // A wrong password can be tried again; with somebody else's there is no point in asking.
    for (user, password, expected) in
        [("alice", "guess", StatusCode::UNAUTHORIZED), ("bob", "secret", StatusCode::FORBIDDEN)]
    {
        let (status, refused) = ask(&api, &token, "DELETE", &path, &auth(user, password)).await;
        assert_eq!((status, refused["errcode"].as_str()), (expected, Some("M_FORBIDDEN")), "{user}");
    }
    let other = "/_matrix/client/v3/devices/another";
    let (status, _) = ask(&api, &token, "DELETE", other, &auth("alice", "secret")).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "the session was opened for another device");
    assert_eq!(ask(&api, &token, "DELETE", &path, &auth("alice", "secret")).await.0, StatusCode::OK);
    let (_, gone) = ask(&api, &token, "GET", "/_matrix/client/v3/account/whoami", "").await;
    assert_eq!(gone["errcode"], "M_UNKNOWN_TOKEN");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_start_makes_a_token_that_registers_the_administrator() {
    let server = Server::start("password_hash.cost = \"minimal\"");
    let api = server.api();
    let secret = server.node.first_token.clone().expect("a token at the first start");
    let path = "/_matrix/client/v3/register";
    let (status, asked) = ask(&api, "", "POST", path, r#"{"username":"first","password":"secret"}"#).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let auth = |token: &str| {
        json!({ "auth": { "type": "m.login.registration_token", "token": token, "session": asked["session"] } })
            .to_string()
    };
    let (status, refused) = ask(&api, "", "POST", path, &auth("guess")).await;
    assert_eq!((status, refused["errcode"].as_str()), (StatusCode::UNAUTHORIZED, Some("M_FORBIDDEN")));
    // The name and the password are those of the first request.
    let (status, registered) = ask(&api, "", "POST", path, &auth(&secret)).await;
    assert_eq!((status, registered["user_id"].as_str()), (StatusCode::OK, Some("@first:localhost")));
    let session = server.node.app.users.session(registered["access_token"].as_str().expect("a token"));
    assert!(session.expect("a session").admin);
}
