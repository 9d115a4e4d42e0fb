//! Sending, transactions, single events, redactions.

use engram_benches::http::encode;
use engram_tests::user::{next_batch, timeline};
use engram_tests::{Server, User};
use serde_json::{Value, json};

fn event(user: &User, room: &str, event_id: &str) -> Value {
    user.room_get(room, &format!("/event/{}", encode(event_id))).ok()
}

#[test]
fn a_message_comes_back_as_it_was_sent() {
    let server = Server::start();
    let alice = server.user("alice");
    let room = alice.create_room(&json!({}));
    let content = json!({"msgtype": "m.text", "body": "naïve \u{1F980} \"quoted\" \\ \u{0001}", "n": -5,
        "deep": {"list": [1, [2, {"x": null}], true]}});
    let event_id = alice.send(&room, "m.room.message", &content).string("event_id");
    let stored = event(&alice, &room, &event_id);
    assert_eq!(stored["content"], content);
    assert_eq!(stored["sender"], alice.id.as_str());
    assert_eq!(stored["room_id"], room.as_str());
    assert_eq!(stored["event_id"], event_id.as_str());
    assert!(stored["origin_server_ts"].is_u64(), "{stored}");
    for hidden in ["auth_events", "prev_events", "hashes", "signatures", "depth"] {
        assert!(stored[hidden].is_null(), "{hidden} is not for clients: {stored}");
    }
}

#[test]
fn a_transaction_is_done_once_per_device() {
    let server = Server::start();
    let desk = server.user("alice");
    let phone = desk.log_in();
    let room = desk.create_room(&json!({}));
    let send = |device: &User, text: &str| {
        let content = json!({"msgtype": "m.text", "body": text});
        device.room_put(&room, "/send/m.room.message/again", &content).string("event_id")
    };
    let first = send(&desk, "one");
    assert_eq!(send(&desk, "one"), first);
    assert_eq!(send(&desk, "changed"), first, "the transaction ID alone decides");
    assert_ne!(send(&phone, "one"), first, "another device has transactions of its own");
}

#[test]
fn a_transaction_is_shown_to_its_device_only() {
    let server = Server::start();
    let desk = server.user("alice");
    let phone = desk.log_in();
    let room = desk.create_room(&json!({}));
    let since = [next_batch(&desk.sync("", "")), next_batch(&phone.sync("", ""))];
    let content = json!({"msgtype": "m.text", "body": "mine"});
    desk.room_put(&room, "/send/m.room.message/mark", &content).ok();
    for (device, since, seen) in [(&desk, &since[0], json!("mark")), (&phone, &since[1], json!(null))] {
        let sync = device.sync_until(since, "the message", |sync| !timeline(sync, &room).is_empty());
        assert_eq!(timeline(&sync, &room)[0]["unsigned"]["transaction_id"], seen);
    }
}

#[test]
fn a_redaction_strips_the_content() {
    let server = Server::start();
    for version in ["10", "11", "12"] {
        let alice = server.user("alice");
        let room = alice.create_room(&json!({"room_version": version}));
        let event_id = alice.say(&room, "a secret");
        let redaction = alice.redact(&room, &event_id).string("event_id");
        let stripped = event(&alice, &room, &event_id);
        assert_eq!(stripped["content"], json!({}), "version {version}");
        let because = &stripped["unsigned"]["redacted_because"];
        assert_eq!(because["event_id"], redaction.as_str(), "version {version}: {stripped}");
        let told = event(&alice, &room, &redaction);
        assert_eq!(told["redacts"], event_id.as_str(), "clients of all ages find what is redacted: {told}");
        assert_eq!(told["content"]["reason"], "a test");
        let history = alice.history(&room);
        let listed = history.iter().find(|event| event["event_id"] == event_id.as_str()).expect("it is still listed");
        assert_eq!(listed["content"], json!({}), "version {version}");
    }
}

#[test]
fn redacting_needs_authorship_or_power() {
    let server = Server::start();
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let room = alice.create_room(&json!({"preset": "public_chat"}));
    bob.join(&room).ok();
    let hers = alice.say(&room, "Alice's");
    let his = bob.say(&room, "Bob's");
    bob.redact(&room, &hers).refused(403, "M_FORBIDDEN");
    bob.redact(&room, &his).ok();
    let his = bob.say(&room, "Bob's again");
    alice.redact(&room, &his).ok();
    assert_eq!(event(&bob, &room, &his)["content"], json!({}));
    assert_eq!(event(&bob, &room, &hers)["content"]["body"], "Alice's");
}

#[test]
fn redaction_transactions_are_done_once() {
    let server = Server::start();
    let alice = server.user("alice");
    let room = alice.create_room(&json!({}));
    let event_id = alice.say(&room, "a secret");
    let path = format!("/redact/{}/once", encode(&event_id));
    let first = alice.room_put(&room, &path, &json!({})).string("event_id");
    assert_eq!(alice.room_put(&room, &path, &json!({})).string("event_id"), first);
}

#[test]
fn events_are_for_those_who_may_see_them() {
    let server = Server::start();
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let room = alice.create_room(&json!({"preset": "private_chat"}));
    let visible = alice.say(&room, "inside");
    let path = format!("/event/{}", encode(&visible));
    bob.room_get(&room, &path).refused_as(404, &["M_NOT_FOUND"]);
    alice.room_get(&room, "/event/%24nothing").refused(404, "M_NOT_FOUND");
    let elsewhere = alice.create_room(&json!({}));
    alice.room_get(&elsewhere, &path).refused(404, "M_NOT_FOUND");
}

#[test]
fn events_from_before_joining_follow_the_history_visibility() {
    let server = Server::start();
    for (visibility, seen) in [("shared", true), ("invited", false), ("joined", false), ("world_readable", true)] {
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let state = json!({"type": "m.room.history_visibility", "state_key": "", "content": {"history_visibility": visibility}});
        let room = alice.create_room(&json!({"preset": "public_chat", "initial_state": [state]}));
        let early = alice.say(&room, "early");
        bob.join(&room).ok();
        let late = alice.say(&room, "late");
        let status = bob.room_get(&room, &format!("/event/{}", encode(&early))).status;
        assert_eq!(status, if seen { 200 } else { 404 }, "{visibility}");
        event(&bob, &room, &late);
        let texts = bob.history(&room);
        let found = texts.iter().any(|event| event["event_id"] == early.as_str());
        assert_eq!(found, seen, "{visibility}, by pagination");
    }
}

#[test]
fn sending_needs_the_level_of_the_event_type() {
    let server = Server::start();
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let levels = json!({"events": {"org.example.rare": 50}});
    let room = alice.create_room(&json!({"preset": "public_chat", "power_level_content_override": levels}));
    bob.join(&room).ok();
    bob.send(&room, "org.example.rare", &json!({})).refused(403, "M_FORBIDDEN");
    bob.send(&room, "org.example.common", &json!({})).ok();
    alice.send(&room, "org.example.rare", &json!({})).ok();
}
