//! Inviting, joining, leaving, kicking, banning, forgetting; who is in a room.

use engram_tests::user::next_batch;
use engram_tests::{Server, User};
use serde_json::{Value, json};

fn members_of(user: &User, room: &str) -> Vec<String> {
    let joined = user.room_get(room, "/joined_members").ok();
    joined["joined"].as_object().expect("an object").keys().cloned().collect()
}

#[test]
fn the_way_of_a_member_in_every_room_version() {
    let server = Server::start();
    for version in ["10", "11", "12"] {
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let room = alice.create_room(&json!({"room_version": version, "preset": "private_chat"}));
        bob.join(&room).refused(403, "M_FORBIDDEN");
        alice.invite(&room, &bob).ok();
        assert_eq!(bob.join(&room).ok()["room_id"], room.as_str());
        bob.say(&room, "here I am");
        assert_eq!(members_of(&alice, &room).len(), 2, "version {version}");
        bob.leave(&room).ok();
        assert_eq!(members_of(&alice, &room), std::slice::from_ref(&alice.id), "version {version}");
        bob.send(&room, "m.room.message", &json!({"msgtype": "m.text", "body": "?"})).refused(403, "M_FORBIDDEN");
        bob.join(&room).refused(403, "M_FORBIDDEN");
    }
}

#[test]
fn an_invitation_can_be_rejected_and_taken_back() {
    let server = Server::start();
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let room = alice.create_room(&json!({"preset": "private_chat"}));
    alice.invite(&room, &bob).ok();
    bob.leave(&room).ok();
    bob.join(&room).refused(403, "M_FORBIDDEN");
    alice.invite(&room, &bob).ok();
    alice.moderate(&room, "kick", &bob).ok();
    bob.join(&room).refused(403, "M_FORBIDDEN");
}

#[test]
fn joining_twice_changes_nothing() {
    let server = Server::start();
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let room = alice.create_room(&json!({"preset": "public_chat"}));
    bob.join(&room).ok();
    let before = bob.history(&room).len();
    bob.join(&room).ok();
    bob.room_post(&room, "/join", &json!({})).ok();
    assert_eq!(bob.history(&room).len(), before, "a second join is no event");
}

#[test]
fn moderation_needs_power() {
    let server = Server::start();
    let (alice, bob, carol) = (server.user("alice"), server.user("bob"), server.user("carol"));
    let room = alice.create_room(&json!({"preset": "public_chat"}));
    for user in [&bob, &carol] {
        user.join(&room).ok();
    }
    for action in ["kick", "ban"] {
        bob.moderate(&room, action, &carol).refused(403, "M_FORBIDDEN");
        bob.moderate(&room, action, &alice).refused(403, "M_FORBIDDEN");
    }
    let outsider = server.user("oscar");
    outsider.moderate(&room, "kick", &carol).refused(403, "M_FORBIDDEN");
    outsider.invite(&room, &outsider).refused(403, "M_FORBIDDEN");
}

#[test]
fn the_banned_stay_out_until_they_are_unbanned() {
    let server = Server::start();
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let room = alice.create_room(&json!({"preset": "public_chat"}));
    bob.join(&room).ok();
    alice.room_post(&room, "/ban", &json!({"user_id": bob.id, "reason": "testing"})).ok();
    assert_eq!(alice.state(&room, "m.room.member", &bob.id).ok()["reason"], "testing");
    bob.join(&room).refused_as(403, &["M_FORBIDDEN", "M_BAD_STATE"]);
    alice.invite(&room, &bob).refused_as(403, &["M_FORBIDDEN", "M_BAD_STATE"]);
    alice.moderate(&room, "unban", &bob).ok();
    assert_eq!(alice.state(&room, "m.room.member", &bob.id).ok()["membership"], "leave");
    bob.join(&room).ok();
    alice.moderate(&room, "kick", &bob).ok();
    assert_eq!(alice.state(&room, "m.room.member", &bob.id).ok()["membership"], "leave");
}

#[test]
fn knocks_are_let_in_by_invitation() {
    let server = Server::start();
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let join_rules = json!({"type": "m.room.join_rules", "state_key": "", "content": {"join_rule": "knock"}});
    let room = alice.create_room(&json!({"initial_state": [join_rules]}));
    bob.join(&room).refused(403, "M_FORBIDDEN");
    alice.invite(&room, &bob).ok();
    bob.join(&room).ok();
}

#[test]
fn forgetting_needs_leaving_first() {
    let server = Server::start();
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let room = alice.create_room(&json!({"preset": "public_chat"}));
    bob.join(&room).ok();
    bob.room_post(&room, "/forget", &json!({})).refused_as(400, &["M_UNKNOWN", "M_BAD_STATE"]);
    bob.leave(&room).ok();
    bob.room_get(&room, "/messages?dir=b").ok();
    bob.room_post(&room, "/forget", &json!({})).ok();
    for rest in ["/messages?dir=b", "/state"] {
        bob.room_get(&room, rest).refused(403, "M_FORBIDDEN");
    }
    let sync = bob.sync("", "&filter=%7B%22room%22%3A%7B%22include_leave%22%3Atrue%7D%7D");
    assert!(sync["rooms"]["leave"][&room].is_null(), "a forgotten room is not synced: {sync}");
}

#[test]
fn members_are_filtered_by_membership() {
    let server = Server::start();
    let (alice, bob, carol) = (server.user("alice"), server.user("bob"), server.user("carol"));
    let room = alice.create_room(&json!({"preset": "public_chat"}));
    bob.join(&room).ok();
    alice.invite(&room, &carol).ok();
    bob.leave(&room).ok();
    let members = |query: &str| {
        let members = alice.room_get(&room, &format!("/members{query}")).ok();
        let mut keys: Vec<_> =
            members["chunk"].as_array().expect("a list").iter().map(|event| event["state_key"].clone()).collect();
        keys.sort_by_key(Value::to_string);
        keys
    };
    assert_eq!(members("").len(), 3);
    assert_eq!(members("?membership=join"), [json!(alice.id)]);
    assert_eq!(members("?membership=invite"), [json!(carol.id)]);
    assert_eq!(members("?not_membership=leave"), [json!(alice.id), json!(carol.id)]);
}

#[test]
fn members_can_be_asked_for_at_a_position() {
    let server = Server::start();
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let room = alice.create_room(&json!({"preset": "public_chat"}));
    let before = next_batch(&alice.sync("", ""));
    bob.join(&room).ok();
    let at = alice.room_get(&room, &format!("/members?at={}", engram_benches::http::encode(&before))).ok();
    assert_eq!(at["chunk"].as_array().map(Vec::len), Some(1), "{at}");
    assert_eq!(alice.room_get(&room, "/members").ok()["chunk"].as_array().map(Vec::len), Some(2));
}

#[test]
fn outsiders_see_no_members() {
    let server = Server::start();
    let (alice, oscar) = (server.user("alice"), server.user("oscar"));
    let room = alice.create_room(&json!({"preset": "private_chat"}));
    for rest in ["/members", "/joined_members", "/state", "/state/m.room.name"] {
        oscar.room_get(&room, rest).refused(403, "M_FORBIDDEN");
    }
}

#[test]
fn joined_members_have_names() {
    let server = Server::start();
    let alice = server.user("alice");
    let path = format!("/v3/profile/{}/displayname", engram_benches::http::encode(&alice.id));
    alice.put(&path, &json!({"displayname": "Alice L."})).ok();
    let room = alice.create_room(&json!({}));
    let joined = alice.room_get(&room, "/joined_members").ok();
    assert_eq!(joined["joined"][&alice.id]["display_name"], "Alice L.");
}
