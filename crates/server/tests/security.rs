//! What an attacker with an account, or without one, tries: each test is named by what it guards.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use axum::http::StatusCode;
use common::{CONFIG, Server, ask, register};
use engram_http::Front;
use engram_server::config::written::Written;
use engram_server::config::{Config, Overrides};
use engram_server::node::Node;
use engram_server::root;
use serde_json::{Value, json};

const V3: &str = "/_matrix/client/v3";

async fn post(api: &Front, token: &str, path: &str, body: Value) -> (u16, Value) {
    let (status, answer) = ask(api, token, "POST", &format!("{V3}{path}"), &body.to_string()).await;
    (status.as_u16(), answer)
}

async fn put(api: &Front, token: &str, path: &str, body: Value) -> (u16, Value) {
    let (status, answer) = ask(api, token, "PUT", &format!("{V3}{path}"), &body.to_string()).await;
    (status.as_u16(), answer)
}

async fn get(api: &Front, token: &str, path: &str) -> (u16, Value) {
    let (status, answer) = ask(api, token, "GET", &format!("{V3}{path}"), "").await;
    (status.as_u16(), answer)
}

async fn create_room(api: &Front, token: &str, request: Value) -> String {
    let (status, answer) = post(api, token, "/createRoom", request).await;
    assert_eq!(status, 200, "{answer}");
    answer["room_id"].as_str().unwrap().to_owned()
}

async fn send(api: &Front, token: &str, room: &str, transaction: &str) -> (u16, Value) {
    put(api, token, &format!("/rooms/{room}/send/m.room.message/{transaction}"), json!({ "body": "hello" })).await
}

fn code(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["errcode"].as_str().unwrap_or_default())
}

/// The store panics on keys of more than 64 KiB, and a transaction ID becomes part of one: what no table could hold
/// must neither be looked up there nor reach the log, where every start would meet it again.
#[tokio::test(flavor = "multi_thread")]
async fn names_that_no_table_could_hold_are_refused() {
    let server = Server::start(CONFIG);
    let api = server.api();
    let alice = register(&api, "alice").await;
    let room = create_room(&api, &alice, json!({})).await;
    assert_eq!(code(&send(&api, &alice, &room, &"t".repeat(255)).await), (200, ""));
    for length in [256, 65_400] {
        assert_eq!(code(&send(&api, &alice, &room, &"t".repeat(length)).await), (400, "M_INVALID_PARAM"));
    }
    for (length, expected) in [(60_000, (403, "M_FORBIDDEN")), (70_000, (413, "M_TOO_LARGE"))] {
        let long = format!("!{}", "a".repeat(length));
        let answer = put(&api, &alice, "/directory/room/%23long:localhost", json!({ "room_id": long })).await;
        assert_eq!(code(&answer), expected);
    }
    assert_eq!(code(&send(&api, &alice, &room, "after").await), (200, ""));
}

/// A token that was replaced or revoked while its long poll slept.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_poll_ends_with_its_session() {
    let server = Server::start(CONFIG);
    let api = server.api();
    let alice = register(&api, "alice").await;
    let room = create_room(&api, &alice, json!({})).await;
    let (_, me) = get(&api, &alice, "/account/whoami").await;
    let (_, first) = get(&api, &alice, "/sync?set_presence=offline").await;
    let path = format!("/sync?set_presence=offline&timeout=30000&since={}", first["next_batch"].as_str().unwrap());
    let poll = {
        let (api, alice) = (api.clone(), alice.clone());
        tokio::spawn(async move { get(&api, &alice, &path).await })
    };
    // The same device logs in again: its old token is void.
    let login = json!({
        "type": "m.login.password", "user": "alice", "password": "secret", "device_id": me["device_id"],
    });
    let (_, session) = post(&api, "", "/login", login).await;
    let alice = session["access_token"].as_str().unwrap();
    send(&api, alice, &room, "1").await;
    let answer = tokio::time::timeout(Duration::from_secs(20), poll).await.unwrap().unwrap();
    assert_eq!(code(&answer), (401, "M_UNKNOWN_TOKEN"), "{answer:?}");
}

/// CVE-2021-39164: the members of a time at which the room was none of the asker's business.
#[tokio::test(flavor = "multi_thread")]
async fn members_of_an_earlier_time_are_shown_to_those_who_might_see_it() {
    let server = Server::start(CONFIG);
    let api = server.api();
    let (alice, bob, eve) = (register(&api, "alice").await, register(&api, "bob").await, register(&api, "eve").await);
    for (visibility, allowed) in [("joined", false), ("invited", false), ("shared", true)] {
        let visible = json!({
            "type": "m.room.history_visibility", "state_key": "", "content": { "history_visibility": visibility },
        });
        let room = create_room(&api, &alice, json!({ "preset": "public_chat", "initial_state": [visible] })).await;
        assert_eq!(post(&api, &bob, &format!("/rooms/{room}/join"), json!({})).await.0, 200);
        let (_, early) = get(&api, &bob, "/sync").await;
        let at = early["next_batch"].as_str().unwrap();
        assert_eq!(post(&api, &eve, &format!("/rooms/{room}/join"), json!({})).await.0, 200);
        let path = format!("/rooms/{room}/members?at={at}");
        assert_eq!(get(&api, &bob, &path).await.0, 200, "{visibility}");
        assert_eq!(get(&api, &eve, &path).await.0, if allowed { 200 } else { 403 }, "{visibility}");
        assert_eq!(get(&api, &eve, &format!("/rooms/{room}/members")).await.0, 200, "{visibility}");
    }
}

/// CVE-2023-42453: a receipt is for an event of the room that it is sent to.
#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_for_an_event_of_another_room_is_refused() {
    let server = Server::start(CONFIG);
    let api = server.api();
    let (alice, bob) = (register(&api, "alice").await, register(&api, "bob").await);
    let (ours, theirs) = (create_room(&api, &alice, json!({})).await, create_room(&api, &bob, json!({})).await);
    let own = send(&api, &alice, &ours, "1").await.1["event_id"].as_str().unwrap().to_owned();
    let other = send(&api, &bob, &theirs, "1").await.1["event_id"].as_str().unwrap().to_owned();
    for (event, expected) in [(own.as_str(), 200), (&other, 404), ("$none", 404)] {
        let path = format!("/rooms/{ours}/receipt/m.read/{event}");
        assert_eq!(post(&api, &alice, &path, json!({})).await.0, expected, "{event}");
        let path = format!("/rooms/{ours}/read_markers");
        assert_eq!(post(&api, &alice, &path, json!({ "m.read": event })).await.0, expected, "{event}");
    }
}

/// CVE-2025-61672: device keys that other servers and clients could not parse.
#[tokio::test(flavor = "multi_thread")]
async fn device_keys_of_the_wrong_shape_are_refused() {
    let server = Server::start(CONFIG);
    let api = server.api();
    let alice = register(&api, "alice").await;
    let (_, me) = get(&api, &alice, "/account/whoami").await;
    let good = json!({
        "user_id": me["user_id"], "device_id": me["device_id"], "algorithms": ["m.olm.v1"],
        "keys": { "ed25519:D": "key" }, "signatures": { "@alice:localhost": { "ed25519:D": "signature" } },
    });
    for (field, value, expected) in [
        ("user_id", json!("@bob:localhost"), "M_INVALID_PARAM"),
        ("device_id", json!("OTHER"), "M_INVALID_PARAM"),
        ("algorithms", json!({ "a": 1 }), "M_BAD_JSON"),
        ("algorithms", json!([1]), "M_BAD_JSON"),
        ("keys", json!(1), "M_BAD_JSON"),
        ("keys", json!({ "ed25519:D": {} }), "M_BAD_JSON"),
        ("signatures", json!({ "@alice:localhost": 1 }), "M_BAD_JSON"),
        ("more", json!("x".repeat(20_000)), "M_INVALID_PARAM"),
    ] {
        let mut keys = good.clone();
        keys[field] = value;
        let answer = post(&api, &alice, "/keys/upload", json!({ "device_keys": keys })).await;
        assert_eq!(code(&answer), (400, expected), "{field}");
    }
    assert_eq!(post(&api, &alice, "/keys/upload", json!({ "device_keys": good })).await.0, 200);
}

/// CVE-2021-21393: whatever a client can make grow has a limit.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_can_make_grow_has_a_limit() {
    let server = Server::start(CONFIG);
    let api = server.api();
    let alice = register(&api, "alice").await;
    let users: Vec<String> = (0..1_001).map(|number| format!("@u{number}:localhost")).collect();
    assert_eq!(code(&post(&api, &alice, "/createRoom", json!({ "invite": users })).await), (413, "M_TOO_LARGE"));
    let states: Vec<Value> =
        (0..1_001).map(|number| json!({ "type": "t", "state_key": number.to_string(), "content": {} })).collect();
    let answer = post(&api, &alice, "/createRoom", json!({ "initial_state": states })).await;
    assert_eq!(code(&answer), (413, "M_TOO_LARGE"));
    let status = json!({ "presence": "online", "status_msg": "x".repeat(2_000) });
    assert_eq!(code(&put(&api, &alice, "/presence/@alice:localhost/status", status).await), (413, "M_TOO_LARGE"));
    let tag = json!({ "order": 0.5, "x": "x".repeat(600_000) });
    let tags = "/user/@alice:localhost/rooms/!r:localhost/tags";
    assert_eq!(put(&api, &alice, &format!("{tags}/one"), tag.clone()).await.0, 200);
    assert_eq!(code(&put(&api, &alice, &format!("{tags}/two"), tag).await), (413, "M_TOO_LARGE"));
}

/// One megabyte for each of many devices would be copied as often before the log could refuse it.
#[tokio::test(flavor = "multi_thread")]
async fn one_to_device_request_cannot_be_multiplied_into_gigabytes() {
    let server = Server::start(CONFIG);
    let api = server.api();
    let alice = register(&api, "alice").await;
    for _ in 0..9 {
        let login = json!({ "type": "m.login.password", "user": "alice", "password": "secret" });
        assert_eq!(post(&api, "", "/login", login).await.0, 200);
    }
    let large = json!({ "x": "x".repeat(1_000_000) });
    let messages = json!({ "messages": { "@alice:localhost": { "*": large } } });
    assert_eq!(code(&put(&api, &alice, "/sendToDevice/m.x/1", messages).await), (413, "M_TOO_LARGE"));
    let messages = json!({ "messages": { "@alice:localhost": { "*": { "x": 1 } } } });
    assert_eq!(put(&api, &alice, "/sendToDevice/m.x/2", messages).await.0, 200);
}

/// An alias leads people into a room in its name: only members make one, and no room is born with another's.
#[tokio::test(flavor = "multi_thread")]
async fn aliases_are_made_by_members_and_claimed_by_no_other_room() {
    let server = Server::start(CONFIG);
    let api = server.api();
    let (alice, eve) = (register(&api, "alice").await, register(&api, "eve").await);
    let room = create_room(&api, &alice, json!({ "room_alias_name": "home" })).await;
    let evil = json!({ "room_id": room });
    assert_eq!(code(&put(&api, &eve, "/directory/room/%23evil:localhost", evil.clone()).await), (403, "M_FORBIDDEN"));
    assert_eq!(put(&api, &alice, "/directory/room/%23second:localhost", evil).await.0, 200);
    let claimed =
        json!({ "type": "m.room.canonical_alias", "state_key": "", "content": { "alias": "#home:localhost" } });
    let answer = post(&api, &eve, "/createRoom", json!({ "initial_state": [claimed] })).await;
    assert_eq!(code(&answer), (400, "M_BAD_ALIAS"));
    let own = json!({
        "type": "m.room.canonical_alias", "state_key": "", "content": { "alias": "#eves:localhost", "x": 1 },
    });
    create_room(&api, &eve, json!({ "room_alias_name": "eves", "initial_state": [own] })).await;
}

/// A first start that fails after the log was made, at a busy port for instance, must not be the only one to make a
/// token.
#[tokio::test(flavor = "multi_thread")]
async fn a_registration_token_is_shown_until_there_is_an_account() {
    let directory = tempfile::tempdir().unwrap();
    let overrides = || Overrides { data_dir: Some(directory.path().to_owned()), ..Overrides::default() };
    let config = Config::resolve(&Written::parse("password_hash.cost = \"minimal\"").unwrap(), overrides()).unwrap();
    let open = || {
        let (_, stopping) = tokio::sync::watch::channel(false);
        Node::open(&config, &root::clock(), &root::random(), stopping).unwrap()
    };
    let failed = open();
    assert!(failed.first_token.is_some());
    failed.close().unwrap();
    let node = open();
    let token = node.first_token.clone().expect("nobody has an account yet");
    let body = json!({
        "username": "alice", "password": "secret", "auth": { "type": "m.login.registration_token", "token": token },
    });
    let (status, answer) = ask(&node.front, "", "POST", &format!("{V3}/register"), &body.to_string()).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    node.close().unwrap();
    let node = open();
    assert_eq!(node.first_token, None);
    node.close().unwrap();
}
