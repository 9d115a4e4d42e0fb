//! Room state: reading and setting it, power levels, state after leaving.

use engram_tests::Server;
use serde_json::{Value, json};

#[test]
fn state_keys_are_told_apart() {
    let server = Server::start();
    let alice = server.user("alice");
    let room = alice.create_room(&json!({}));
    for (key, value) in [("", 1), ("a", 2), ("a/b", 3), ("ü ?", 4)] {
        alice.set_state(&room, "org.example.number", key, &json!({"value": value})).ok();
    }
    for (key, value) in [("", 1), ("a", 2), ("a/b", 3), ("ü ?", 4)] {
        assert_eq!(alice.state(&room, "org.example.number", key).ok(), json!({"value": value}), "key {key:?}");
    }
    alice.state(&room, "org.example.number", "b").refused(404, "M_NOT_FOUND");
}

#[test]
fn an_empty_state_key_may_be_left_out() {
    let server = Server::start();
    let alice = server.user("alice");
    let room = alice.create_room(&json!({}));
    for (path, value) in [("/state/org.example.short", 1), ("/state/org.example.short/", 2)] {
        alice.room_put(&room, path, &json!({"value": value})).ok();
        for path in ["/state/org.example.short", "/state/org.example.short/"] {
            assert_eq!(alice.room_get(&room, path).ok(), json!({"value": value}));
        }
    }
}

#[test]
fn the_whole_event_can_be_asked_for() {
    let server = Server::start();
    let alice = server.user("alice");
    let room = alice.create_room(&json!({}));
    let event_id = alice.set_state(&room, "m.room.topic", "", &json!({"topic": "events"})).string("event_id");
    let event = alice.room_get(&room, "/state/m.room.topic?format=event").ok();
    assert_eq!(event["event_id"], event_id.as_str());
    assert_eq!(event["content"]["topic"], "events");
}

#[test]
fn all_state_has_one_event_per_type_and_key() {
    let server = Server::start();
    let alice = server.user("alice");
    let room = alice.create_room(&json!({"name": "first"}));
    alice.set_state(&room, "m.room.name", "", &json!({"name": "second"})).ok();
    let state = alice.room_get(&room, "/state").ok();
    let state = state.as_array().expect("a list of events");
    let names: Vec<_> = state.iter().filter(|event| event["type"] == "m.room.name").collect();
    assert_eq!(names.len(), 1);
    assert_eq!(names[0]["content"]["name"], "second");
    let mut keys: Vec<_> =
        state.iter().map(|event| (event["type"].to_string(), event["state_key"].to_string())).collect();
    keys.sort();
    let all = keys.len();
    keys.dedup();
    assert_eq!(keys.len(), all);
}

#[test]
fn replaced_state_names_what_it_replaced() {
    let server = Server::start();
    let alice = server.user("alice");
    let room = alice.create_room(&json!({}));
    alice.set_state(&room, "m.room.topic", "", &json!({"topic": "old"})).ok();
    let since = alice.sync_token();
    alice.set_state(&room, "m.room.topic", "", &json!({"topic": "new"})).ok();
    let sync = alice.sync(&since, "");
    let events = engram_tests::user::timeline(&sync, &room);
    assert_eq!(events[0]["unsigned"]["prev_content"], json!({"topic": "old"}), "{sync}");
}

#[test]
fn setting_state_needs_the_level() {
    let server = Server::start();
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let room = alice.create_room(&json!({"preset": "public_chat", "room_version": "11"}));
    bob.join(&room).ok();
    bob.set_state(&room, "m.room.name", "", &json!({"name": "Bob's"})).refused(403, "M_FORBIDDEN");
    bob.set_state(&room, "org.example.mine", "", &json!({})).refused(403, "M_FORBIDDEN");
    let mut levels = alice.state(&room, "m.room.power_levels", "").ok();
    levels["users"][&bob.id] = json!(50);
    alice.set_state(&room, "m.room.power_levels", "", &levels).ok();
    bob.set_state(&room, "m.room.name", "", &json!({"name": "Bob's"})).ok();
    levels["users"][&bob.id] = json!(100);
    bob.set_state(&room, "m.room.power_levels", "", &levels).refused(403, "M_FORBIDDEN");
}

#[test]
fn state_keys_of_others_are_theirs() {
    let server = Server::start();
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let room = alice.create_room(&json!({"preset": "public_chat"}));
    bob.join(&room).ok();
    alice.set_state(&room, "org.example.private", &bob.id, &json!({})).refused(403, "M_FORBIDDEN");
    alice.set_state(&room, "org.example.private", &alice.id, &json!({})).ok();
}

#[test]
fn malformed_power_levels_are_refused() {
    let server = Server::start();
    let alice = server.user("alice");
    let room = alice.create_room(&json!({"room_version": "11"}));
    let mut levels = alice.state(&room, "m.room.power_levels", "").ok();
    let before = levels.clone();
    levels["users"]["not a user ID"] = json!(50);
    let refused = alice.set_state(&room, "m.room.power_levels", "", &levels);
    assert!([400, 403].contains(&refused.status), "{refused:?}");
    levels = before.clone();
    levels["state_default"] = json!("50");
    let refused = alice.set_state(&room, "m.room.power_levels", "", &levels);
    assert!([400, 403].contains(&refused.status), "{refused:?}");
    assert_eq!(alice.state(&room, "m.room.power_levels", "").ok(), before);
}

#[test]
fn membership_is_state_too() {
    let server = Server::start();
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let room = alice.create_room(&json!({"preset": "private_chat"}));
    alice.set_state(&room, "m.room.member", &bob.id, &json!({"membership": "invite"})).ok();
    bob.set_state(&room, "m.room.member", &bob.id, &json!({"membership": "join", "displayname": "B."})).ok();
    assert_eq!(alice.state(&room, "m.room.member", &bob.id).ok()["displayname"], "B.");
    alice
        .set_state(&room, "m.room.member", &bob.id, &json!({"membership": "dancing"}))
        .refused_as(400, &["M_BAD_JSON", "M_INVALID_PARAM", "M_UNKNOWN"]);
}

#[test]
fn who_has_left_sees_the_state_of_leaving() {
    let server = Server::start();
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let room = alice.create_room(&json!({"preset": "public_chat", "name": "then"}));
    bob.join(&room).ok();
    bob.leave(&room).ok();
    alice.set_state(&room, "m.room.name", "", &json!({"name": "now"})).ok();
    assert_eq!(bob.state(&room, "m.room.name", "").ok(), json!({"name": "then"}));
    let state = bob.room_get(&room, "/state").ok();
    let name = state.as_array().expect("a list").iter().find(|event| event["type"] == "m.room.name");
    assert_eq!(name.map(|event| &event["content"]["name"]), Some(&Value::from("then")));
}
