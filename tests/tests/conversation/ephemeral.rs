//! Typing, receipts, presence.

use engram_benches::http::encode;
use engram_tests::{Server, User};
use serde_json::{Value, json};

fn ephemeral(sync: &Value, room: &str, event_type: &str) -> Option<Value> {
    let events = sync["rooms"]["join"][room]["ephemeral"]["events"].as_array()?;
    events.iter().find(|event| event["type"] == event_type).map(|event| event["content"].clone())
}

fn type_in(user: &User, room: &str, body: &Value) {
    user.room_put(room, &format!("/typing/{}", encode(&user.id)), body).ok();
}

fn two_in_a_room(server: &Server) -> (User, User, String) {
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let room = alice.create_room(&json!({"preset": "public_chat"}));
    bob.join(&room).ok();
    (alice, bob, room)
}

#[test]
fn typing_is_seen_to_begin_and_to_end() {
    let server = Server::start();
    let (alice, bob, room) = two_in_a_room(&server);
    let since = bob.sync_token();
    type_in(&alice, &room, &json!({"typing": true, "timeout": 30000}));
    let typing = |users: Value| {
        let room = room.clone();
        move |sync: &Value| ephemeral(sync, &room, "m.typing").is_some_and(|content| content["user_ids"] == users)
    };
    let sync = bob.sync_until(&since, "Alice types", typing(json!([alice.id])));
    type_in(&alice, &room, &json!({"typing": false}));
    bob.sync_until(&engram_tests::user::next_batch(&sync), "Alice has stopped", typing(json!([])));
}

#[test]
fn typing_ends_by_itself() {
    let server = Server::start();
    let (alice, bob, room) = two_in_a_room(&server);
    let since = bob.sync_token();
    type_in(&alice, &room, &json!({"typing": true, "timeout": 300}));
    let sync = bob.sync_until(&since, "Alice types", |sync| {
        ephemeral(sync, &room, "m.typing").is_some_and(|content| content["user_ids"] == json!([alice.id]))
    });
    bob.sync_until(&engram_tests::user::next_batch(&sync), "Alice has stopped", |sync| {
        ephemeral(sync, &room, "m.typing").is_some_and(|content| content["user_ids"] == json!([]))
    });
}

#[test]
fn nobody_types_for_others_or_where_they_are_not() {
    let server = Server::start();
    let (alice, bob, room) = two_in_a_room(&server);
    let path = format!("/typing/{}", encode(&alice.id));
    bob.room_put(&room, &path, &json!({"typing": true})).refused(403, "M_FORBIDDEN");
    let oscar = server.user("oscar");
    let path = format!("/typing/{}", encode(&oscar.id));
    oscar.room_put(&room, &path, &json!({"typing": true})).refused(403, "M_FORBIDDEN");
    let path = format!("/typing/{}", encode(&bob.id));
    bob.room_put(&room, &path, &json!({"typing": "yes"})).refused_as(400, &["M_BAD_JSON", "M_INVALID_PARAM"]);
}

#[test]
fn receipts_are_seen_by_others() {
    let server = Server::start();
    let (alice, bob, room) = two_in_a_room(&server);
    let event_id = alice.say(&room, "read this");
    let since = alice.sync_token();
    bob.room_post(&room, &format!("/receipt/m.read/{}", encode(&event_id)), &json!({})).ok();
    let seen = |sync: &Value| {
        ephemeral(sync, &room, "m.receipt").is_some_and(|content| content[&event_id]["m.read"][&bob.id]["ts"].is_u64())
    };
    alice.sync_until(&since, "Bob has read it", seen);
    assert!(seen(&alice.sync("", "")), "a first sync has receipts too");
}

#[test]
fn private_receipts_are_seen_by_their_owner_only() {
    let server = Server::start();
    let (alice, bob, room) = two_in_a_room(&server);
    let event_id = alice.say(&room, "read this");
    let (alices, bobs) = (alice.sync_token(), bob.sync_token());
    bob.room_post(&room, &format!("/receipt/m.read.private/{}", encode(&event_id)), &json!({})).ok();
    let seen = |sync: &Value| {
        ephemeral(sync, &room, "m.receipt")
            .is_some_and(|content| content[&event_id]["m.read.private"][&bob.id].is_object())
    };
    bob.sync_until(&bobs, "Bob's own receipt", seen);
    assert!(!seen(&alice.sync(&alices, "")));
}

#[test]
fn receipts_need_a_known_type() {
    let server = Server::start();
    let (alice, _, room) = two_in_a_room(&server);
    let event_id = alice.say(&room, "read this");
    let path = format!("/receipt/m.unread/{}", encode(&event_id));
    alice.room_post(&room, &path, &json!({})).refused_as(400, &["M_INVALID_PARAM", "M_UNKNOWN"]);
}

#[test]
fn presence_is_set_by_its_owner() {
    let server = Server::start();
    let (alice, bob, _) = two_in_a_room(&server);
    let path = format!("/v3/presence/{}/status", encode(&alice.id));
    alice.put(&path, &json!({"presence": "online", "status_msg": "here"})).ok();
    bob.put(&path, &json!({"presence": "offline"})).refused(403, "M_FORBIDDEN");
    alice.put(&path, &json!({"presence": "dancing"})).refused_as(400, &["M_BAD_JSON", "M_INVALID_PARAM", "M_UNKNOWN"]);
    let status = bob.get(&path).ok();
    assert_eq!(status["presence"], "online", "{status}");
}
