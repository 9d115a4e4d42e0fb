//! `/sync`: from the beginning and on, waiting, gaps, memberships, filters.

use std::thread;

use engram_benches::http::encode;
use engram_tests::user::{next_batch, texts, timeline};
use engram_tests::{Server, User};
use serde_json::{Value, json};

fn filter(definition: &Value) -> String {
    format!("&filter={}", encode(&definition.to_string()))
}

fn state_of<'s>(room: &'s Value, event_type: &str) -> Vec<&'s Value> {
    let events = room["state"]["events"].as_array();
    events.into_iter().flatten().filter(|event| event["type"] == event_type).collect()
}

#[test]
fn a_first_sync_has_state_and_timeline() {
    let server = Server::start();
    let alice = server.user("alice");
    let room = alice.create_room(&json!({"name": "Here"}));
    for number in 0..30 {
        alice.say(&room, &format!("message {number}"));
    }
    let sync = alice.sync("", &filter(&json!({"room": {"timeline": {"limit": 5}}})));
    let joined = &sync["rooms"]["join"][&room];
    assert_eq!(joined["timeline"]["limited"], true);
    assert_eq!(texts(timeline(&sync, &room)).len(), 5);
    assert_eq!(texts(timeline(&sync, &room))[4], "message 29");
    assert_eq!(state_of(joined, "m.room.create").len(), 1, "{joined}");
    assert_eq!(state_of(joined, "m.room.name")[0]["content"]["name"], "Here");
    assert_eq!(state_of(joined, "m.room.member").len(), 1);
}

#[test]
fn what_is_in_the_timeline_is_not_in_the_state() {
    let server = Server::start();
    let alice = server.user("alice");
    let room = alice.create_room(&json!({}));
    alice.say(&room, "before");
    alice.set_state(&room, "m.room.name", "", &json!({"name": "fresh"})).ok();
    let sync = alice.sync("", &filter(&json!({"room": {"timeline": {"limit": 1}}})));
    assert_eq!(timeline(&sync, &room)[0]["type"], "m.room.name");
    let joined = &sync["rooms"]["join"][&room];
    assert!(state_of(joined, "m.room.name").is_empty(), "state is that at the start of the timeline: {joined}");
}

#[test]
fn nothing_new_is_an_empty_response() {
    let server = Server::start();
    let alice = server.user("alice");
    alice.create_room(&json!({}));
    let since = alice.sync_token();
    let sync = alice.sync(&since, "");
    assert!(sync["rooms"]["join"].as_object().is_none_or(serde_json::Map::is_empty), "{sync}");
    let again = alice.sync(&next_batch(&sync), "");
    assert!(again["rooms"]["join"].as_object().is_none_or(serde_json::Map::is_empty), "{again}");
}

#[test]
fn every_message_arrives_once_and_in_order() {
    let server = Server::start();
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let room = alice.create_room(&json!({"preset": "public_chat"}));
    bob.join(&room).ok();
    let mut since = bob.sync_token();
    let sender = thread::spawn({
        let (alice, room) = (alice.clone(), room.clone());
        move || (0..100).for_each(|number| drop(alice.say(&room, &number.to_string())))
    });
    let mut heard = Vec::new();
    let wide = filter(&json!({"room": {"timeline": {"limit": 100}}}));
    while heard.len() < 100 {
        let sync = bob.get(&format!("/v3/sync?timeout=30000&since={}{wide}", encode(&since))).ok();
        assert_ne!(sync["rooms"]["join"][&room]["timeline"]["limited"], true, "there is no gap: {sync}");
        heard.extend(texts(timeline(&sync, &room)).into_iter().map(str::to_owned));
        since = next_batch(&sync);
    }
    sender.join().expect("the sender succeeds");
    let said: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    assert_eq!(heard, said);
}

#[test]
fn a_waiting_sync_is_woken_by_what_concerns_it() {
    let server = Server::start();
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let room = alice.create_room(&json!({"preset": "public_chat"}));
    bob.join(&room).ok();
    let since = bob.sync_token();
    let waiting = thread::spawn({
        let (bob, room) = (bob.clone(), room.clone());
        move || {
            let quiet = filter(&json!({"presence": {"not_types": ["*"]}}));
            let sync = bob.get(&format!("/v3/sync?timeout=60000&since={}{quiet}", encode(&since))).ok();
            assert_eq!(texts(timeline(&sync, &room)), ["wake up"], "{sync}");
        }
    });
    alice.say(&room, "wake up");
    waiting.join().expect("the sync returns with the message");
}

#[test]
fn a_sync_sees_what_its_user_has_just_done() {
    let server = Server::start();
    let alice = server.user("alice");
    let mut since = alice.sync_token();
    let room = alice.create_room(&json!({}));
    for number in 0..20 {
        let event_id = alice.say(&room, &number.to_string());
        let sync = alice.sync(&since, "");
        let last = timeline(&sync, &room).last().expect("the event is there at once");
        assert_eq!(last["event_id"], event_id.as_str());
        since = next_batch(&sync);
    }
}

#[test]
fn a_room_that_is_joined_comes_with_all_its_state() {
    let server = Server::start();
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let room = alice.create_room(&json!({"preset": "public_chat", "name": "Here"}));
    for number in 0..30 {
        alice.say(&room, &number.to_string());
    }
    let since = bob.sync_token();
    bob.join(&room).ok();
    let sync = bob.sync(&since, "");
    let joined = &sync["rooms"]["join"][&room];
    assert_eq!(state_of(joined, "m.room.name")[0]["content"]["name"], "Here");
    assert!(joined["timeline"]["prev_batch"].is_string(), "{joined}");
}

#[test]
fn invitations_come_with_stripped_state() {
    let server = Server::start();
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let since = bob.sync_token();
    let room = alice.create_room(&json!({"name": "Come in", "invite": [bob.id]}));
    for sync in [bob.sync(&since, ""), bob.sync("", "")] {
        let events =
            sync["rooms"]["invite"][&room]["invite_state"]["events"].as_array().expect("stripped state").clone();
        let of = |event_type: &str| events.iter().find(|event| event["type"] == event_type);
        assert_eq!(of("m.room.name").expect("a name")["content"]["name"], "Come in");
        let invitation = events.iter().find(|event| event["state_key"] == bob.id.as_str()).expect("the invitation");
        assert_eq!(invitation["content"]["membership"], "invite");
        assert!(of("m.room.create").is_some(), "{events:?}");
    }
    bob.leave(&room).ok();
    assert!(bob.sync("", "")["rooms"]["invite"][&room].is_null());
}

#[test]
fn a_room_that_is_left_comes_once_more() {
    let server = Server::start();
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let room = alice.create_room(&json!({"preset": "public_chat"}));
    bob.join(&room).ok();
    let since = bob.sync_token();
    alice.say(&room, "goodbye");
    alice.moderate(&room, "kick", &bob).ok();
    alice.say(&room, "he is gone");
    let sync = bob.sync(&since, "");
    let left = &sync["rooms"]["leave"][&room];
    let events = left["timeline"]["events"].as_array().expect("a timeline").clone();
    assert_eq!(texts(&events), ["goodbye"], "up to the kick and no further: {left}");
    assert_eq!(events.last().expect("the kick")["content"]["membership"], "leave");
    assert!(bob.sync(&next_batch(&sync), "")["rooms"]["leave"][&room].is_null());
    let with_left = bob.sync("", &filter(&json!({"room": {"include_leave": true}})));
    assert!(with_left["rooms"]["leave"][&room].is_object(), "{with_left}");
}

#[test]
fn members_are_loaded_lazily() {
    let server = Server::start();
    let users: Vec<User> = (0..10).map(|number| server.user(&format!("user{number}"))).collect();
    let room = users[0].create_room(&json!({"preset": "public_chat"}));
    users[1..].iter().for_each(|user| drop(user.join(&room).ok()));
    for _ in 0..12 {
        users[9].say(&room, "the last of them speaks");
    }
    let lazy = filter(&json!({"room": {"state": {"lazy_load_members": true}, "timeline": {"limit": 5}}}));
    let sync = users[0].sync("", &lazy);
    let joined = &sync["rooms"]["join"][&room];
    let members: Vec<&Value> = state_of(joined, "m.room.member").iter().map(|event| &event["state_key"]).collect();
    assert!(members.contains(&&json!(users[9].id)), "who has spoken: {members:?}");
    assert!(members.len() <= 7, "the reader, the speaker, and at most five heroes: {members:?}");
    assert_eq!(joined["summary"]["m.joined_member_count"], 10, "{}", joined["summary"]);
    let everybody = users[0].sync("", &filter(&json!({"room": {"timeline": {"limit": 5}}})));
    assert_eq!(state_of(&everybody["rooms"]["join"][&room], "m.room.member").len(), 10);
}

#[test]
fn full_state_brings_everything_again() {
    let server = Server::start();
    let alice = server.user("alice");
    let room = alice.create_room(&json!({"name": "Here"}));
    let since = alice.sync_token();
    let sync = alice.sync(&since, "&full_state=true");
    assert_eq!(state_of(&sync["rooms"]["join"][&room], "m.room.name").len(), 1, "{sync}");
}

#[test]
fn stored_filters_are_used_by_their_id() {
    let server = Server::start();
    let alice = server.user("alice");
    let room = alice.create_room(&json!({}));
    let definition = json!({"room": {"timeline": {"limit": 1}, "rooms": [room]}});
    let path = format!("/v3/user/{}/filter", encode(&alice.id));
    let id = alice.post(&path, &definition).string("filter_id");
    assert_eq!(alice.get(&format!("{path}/{id}")).ok()["room"]["timeline"]["limit"], 1);
    let other = alice.create_room(&json!({}));
    let sync = alice.sync("", &format!("&filter={id}"));
    assert_eq!(timeline(&sync, &room).len(), 1);
    assert!(sync["rooms"]["join"][&other].is_null(), "{sync}");
}

#[test]
fn bad_questions_are_refused() {
    let server = Server::start();
    let alice = server.user("alice");
    let codes = ["M_INVALID_PARAM", "M_UNKNOWN", "M_BAD_JSON", "M_NOT_JSON", "M_NOT_FOUND"];
    for query in
        ["since=no-such-token", "timeout=soon", "filter=%7B%22room%22%3A5%7D", "filter=%7B", "set_presence=dancing"]
    {
        alice.get(&format!("/v3/sync?{query}")).refused_as(400, &codes);
    }
}
