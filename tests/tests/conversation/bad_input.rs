//! What is malformed, too large or unknown: refused with the specification's codes, and the server goes on.

use engram_benches::http::{Client, encode};
use engram_tests::{Reply, Server, unique};
use serde_json::{Value, json};

#[test]
fn bodies_have_to_be_json() {
    let server = Server::start();
    let alice = server.user("alice");
    let room = alice.create_room(&json!({}));
    let send = format!("/v3/rooms/{}/send/m.room.message/t{}", encode(&room), unique());
    for body in ["", "{", "not JSON", "{\"a\":1}}", "{'a':1}", "\u{0}"] {
        alice.call_bytes("PUT", &send, body.as_bytes()).refused(400, "M_NOT_JSON");
    }
    alice.call_bytes("PUT", &send, b"{\"body\":\"\xff\xfe\"}").refused(400, "M_NOT_JSON");
    assert_eq!(alice.history(&room).iter().filter(|event| event["type"] == "m.room.message").count(), 0);
}

#[test]
fn bodies_have_to_be_objects_of_the_right_types() {
    let server = Server::start();
    let alice = server.user("alice");
    let room = alice.create_room(&json!({}));
    let send = format!("/v3/rooms/{}/send/m.room.message/t{}", encode(&room), unique());
    let codes = ["M_BAD_JSON", "M_NOT_JSON"];
    for body in ["[]", "\"text\"", "5", "null", "true"] {
        alice.call_bytes("PUT", &send, body.as_bytes()).refused_as(400, &codes);
    }
    let wrong = ["M_BAD_JSON", "M_INVALID_PARAM", "M_MISSING_PARAM"];
    alice.room_post(&room, "/invite", &json!({"user_id": 5})).refused_as(400, &wrong);
    alice.room_post(&room, "/invite", &json!({})).refused_as(400, &wrong);
    alice.room_post(&room, "/kick", &json!({"user_id": ["a"]})).refused_as(400, &wrong);
    alice.room_post(&room, "/invite", &json!({"user_id": "not a user"})).refused_as(400, &wrong);
    server
        .call("POST", "/v3/login", &json!({"type": 5}))
        .refused_as(400, &["M_BAD_JSON", "M_MISSING_PARAM", "M_UNKNOWN", "M_INVALID_PARAM"]);
    server
        .call("POST", "/v3/register", &json!({"username": 5}))
        .refused_as(400, &["M_BAD_JSON", "M_INVALID_USERNAME", "M_INVALID_PARAM"]);
}

#[test]
fn numbers_have_to_be_canonical() {
    let server = Server::start();
    let alice = server.user("alice");
    let room = alice.create_room(&json!({}));
    for number in ["1.5", "9007199254740992", "-9007199254740992", "1e400"] {
        let path = format!("/v3/rooms/{}/send/org.example.number/t{}", encode(&room), unique());
        let body = format!("{{\"number\":{number}}}");
        alice.call_bytes("PUT", &path, body.as_bytes()).refused_as(400, &["M_BAD_JSON", "M_NOT_JSON"]);
    }
    let exact = json!({"number": 9_007_199_254_740_991_i64});
    alice.send(&room, "org.example.number", &exact).ok();
}

#[test]
fn events_have_a_size() {
    let server = Server::start();
    let alice = server.user("alice");
    let room = alice.create_room(&json!({}));
    let text = |bytes: usize| json!({"msgtype": "m.text", "body": "x".repeat(bytes)});
    alice.send(&room, "m.room.message", &text(60_000)).ok();
    alice.send(&room, "m.room.message", &text(65_536)).refused(413, "M_TOO_LARGE");
    alice.set_state(&room, "org.example.large", "", &text(65_536)).refused(413, "M_TOO_LARGE");
    let long = "k".repeat(300);
    let codes = ["M_TOO_LARGE", "M_INVALID_PARAM", "M_BAD_JSON"];
    for reply in [alice.set_state(&room, "org.example.key", &long, &json!({})), alice.send(&room, &long, &json!({}))] {
        let code = reply.body["errcode"].as_str().unwrap_or_default().to_owned();
        assert!([400, 413].contains(&reply.status) && codes.contains(&code.as_str()), "{reply:?}");
    }
    alice.say(&room, "still alive");
}

#[test]
fn requests_have_a_size() {
    let server = Server::start();
    let alice = server.user("alice");
    let path = format!("/_matrix/client/v3/user/{}/account_data/org.example.large", encode(&alice.id));
    let body = format!("{{\"x\":\"{}\"}}", "x".repeat(64 * 1024 * 1024));
    let answer = Client::new(server.address).call_bytes("PUT", &path, Some(&alice.token), Some(body.as_bytes()));
    // A server that stops reading may end the connection before its answer gets through.
    if let Ok(response) = answer {
        Reply::new(path, response).refused(413, "M_TOO_LARGE");
    }
    alice.get("/v3/account/whoami").ok();
}

#[test]
fn deep_nesting_is_no_danger() {
    let server = Server::start();
    let alice = server.user("alice");
    let room = alice.create_room(&json!({}));
    let path = format!("/v3/rooms/{}/send/org.example.deep/t{}", encode(&room), unique());
    let body = format!("{{\"a\":{}1{}}}", "[".repeat(20_000), "]".repeat(20_000));
    let reply = alice.call_bytes("PUT", &path, body.as_bytes());
    assert!([200, 400, 413].contains(&reply.status), "{reply:?}");
    alice.get("/v3/account/whoami").ok();
}

#[test]
fn what_is_not_there_is_unrecognized() {
    let server = Server::start();
    let alice = server.user("alice");
    for path in ["/v3/no/such/endpoint", "/_matrix/client/v99/sync", "/_matrix/nothing", "/_matrix/client/v3/rooms"] {
        alice.get(path).refused(404, "M_UNRECOGNIZED");
    }
    alice.delete("/v3/joined_rooms").refused(405, "M_UNRECOGNIZED");
    alice.put("/v3/createRoom", &json!({})).refused(405, "M_UNRECOGNIZED");
}

#[test]
fn identifiers_in_paths_are_checked() {
    let server = Server::start();
    let alice = server.user("alice");
    for room in ["not-a-room", "!", "#alias:example.org", "%00", &"x".repeat(2000)] {
        let reply = alice.room_get(room, "/joined_members");
        assert!([400, 403, 404].contains(&reply.status) && reply.body["errcode"].is_string(), "{reply:?}");
    }
    let bad = alice.get("/_matrix/client/v3/profile/%ff%fe");
    assert!([400, 404].contains(&bad.status), "{bad:?}");
}

#[test]
fn broken_http_ends_only_its_connection() {
    let server = Server::start();
    let alice = server.user("alice");
    for request in [
        "NONSENSE\r\n\r\n",
        "GET /_matrix/client/versions HTTP/9.9\r\n\r\n",
        "POST /_matrix/client/v3/login HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "GET /_matrix/client/versions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \u{1}\r\n\r\n",
    ] {
        if let Ok(response) = Client::new(server.address).call_raw(request.as_bytes()) {
            assert!((400..=505).contains(&response.status), "{request:?}: {}", response.status);
        }
    }
    alice.get("/v3/account/whoami").ok();
}

#[test]
fn pages_of_other_origins_may_call() {
    let server = Server::start();
    let request = "OPTIONS /_matrix/client/v3/sync HTTP/1.1\r\nHost: x\r\nOrigin: https://client.example\r\n\
        Access-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: authorization\r\n\r\n";
    let preflight = Client::new(server.address).call_raw(request.as_bytes()).expect("an answer");
    assert!([200, 204].contains(&preflight.status), "{}", preflight.status);
    assert_eq!(preflight.header("access-control-allow-origin"), Some("*"));
    let allowed = preflight.header("access-control-allow-headers").unwrap_or_default().to_lowercase();
    assert!(allowed.contains("authorization") && allowed.contains("content-type"), "{allowed}");
    let refused = server.get("/v3/account/whoami");
    assert_eq!(refused.head.header("access-control-allow-origin"), Some("*"), "errors too");
}

#[test]
fn nothing_is_lost_between_bad_requests() {
    let server = Server::start();
    let alice = server.user("alice");
    let room = alice.create_room(&json!({}));
    let mut said = Vec::new();
    for number in 0..20 {
        alice.call_bytes("POST", "/v3/createRoom", b"{").refused(400, "M_NOT_JSON");
        alice
            .send(&room, "m.room.message", &json!({"msgtype": "m.text", "body": "x".repeat(70_000)}))
            .refused(413, "M_TOO_LARGE");
        said.push(alice.say(&room, &number.to_string()));
    }
    let history = alice.history(&room);
    let kept: Vec<&Value> =
        history.iter().filter(|event| event["type"] == "m.room.message").map(|event| &event["event_id"]).collect();
    assert_eq!(kept, said.iter().collect::<Vec<_>>());
}
