//! `/messages`: pagination in both directions.

use engram_benches::http::encode;
use engram_tests::user::texts;
use engram_tests::{Server, User};
use serde_json::{Value, json};

fn page(user: &User, room: &str, query: &str) -> Value {
    user.room_get(room, &format!("/messages?{query}")).ok()
}

fn chunk(page: &Value) -> Vec<Value> {
    page["chunk"].as_array().expect("a chunk").clone()
}

fn speak(user: &User, room: &str, count: usize) -> Vec<String> {
    let said: Vec<String> = (0..count).map(|number| format!("message {number}")).collect();
    for text in &said {
        user.say(room, text);
    }
    said
}

#[test]
fn pages_of_any_size_join_to_the_whole_history() {
    let server = Server::start();
    let alice = server.user("alice");
    let room = alice.create_room(&json!({}));
    let said = speak(&alice, &room, 25);
    let whole = alice.history(&room);
    assert_eq!(texts(&whole), said);
    assert_eq!(whole[0]["type"], "m.room.create", "history begins with the creation");
    for limit in [1, 7, 10] {
        let mut events = Vec::new();
        let mut from = String::new();
        loop {
            let page = page(&alice, &room, &format!("dir=b&limit={limit}{from}"));
            assert!(chunk(&page).len() <= limit, "at most {limit}: {page}");
            events.extend(chunk(&page));
            let Some(end) = page["end"].as_str() else { break };
            from = format!("&from={}", encode(end));
        }
        events.reverse();
        let ids = |events: &[Value]| events.iter().map(|event| event["event_id"].clone()).collect::<Vec<_>>();
        assert_eq!(ids(&events), ids(&whole), "in pages of {limit}");
    }
}

#[test]
fn forwards_is_backwards_reversed() {
    let server = Server::start();
    let alice = server.user("alice");
    let room = alice.create_room(&json!({}));
    speak(&alice, &room, 12);
    let mut forwards = Vec::new();
    let mut from = String::new();
    loop {
        let page = page(&alice, &room, &format!("dir=f&limit=5{from}"));
        let events = chunk(&page);
        forwards.extend(events.iter().map(|event| event["event_id"].clone()));
        match page["end"].as_str() {
            Some(end) if !events.is_empty() => from = format!("&from={}", encode(end)),
            _ => break,
        }
    }
    let backwards: Vec<Value> = alice.history(&room).iter().map(|event| event["event_id"].clone()).collect();
    assert_eq!(forwards, backwards);
}

#[test]
fn a_gap_in_a_sync_is_filled_from_prev_batch() {
    let server = Server::start();
    let alice = server.user("alice");
    let room = alice.create_room(&json!({}));
    let since = alice.sync_token();
    let said = speak(&alice, &room, 15);
    let filter = encode(&json!({"room": {"timeline": {"limit": 4}}}).to_string());
    let sync = alice.sync(&since, &format!("&filter={filter}"));
    let timeline = &sync["rooms"]["join"][&room]["timeline"];
    assert_eq!(timeline["limited"], true, "{timeline}");
    let newest = timeline["events"].as_array().expect("events");
    assert_eq!(texts(newest), said[11..]);
    let prev_batch = timeline["prev_batch"].as_str().expect("prev_batch");
    let gap = page(&alice, &room, &format!("dir=b&from={}&to={}&limit=100", encode(prev_batch), encode(&since)));
    let mut filled = chunk(&gap);
    filled.reverse();
    assert_eq!(texts(&filled), said[..11], "exactly what lies between");
}

#[test]
fn a_filter_chooses_types_and_senders() {
    let server = Server::start();
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let room = alice.create_room(&json!({"preset": "public_chat"}));
    bob.join(&room).ok();
    alice.say(&room, "Alice's");
    bob.say(&room, "Bob's");
    let chosen = |filter: Value| {
        let page = page(&alice, &room, &format!("dir=b&limit=100&filter={}", encode(&filter.to_string())));
        chunk(&page)
    };
    assert_eq!(texts(&chosen(json!({"types": ["m.room.message"]}))), ["Bob's", "Alice's"]);
    assert_eq!(texts(&chosen(json!({"types": ["m.room.message"], "not_senders": [alice.id]}))), ["Bob's"]);
    assert!(texts(&chosen(json!({"not_types": ["m.room.*"]}))).is_empty());
}

#[test]
fn who_has_left_sees_history_up_to_leaving() {
    let server = Server::start();
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let room = alice.create_room(&json!({"preset": "public_chat"}));
    bob.join(&room).ok();
    alice.say(&room, "before");
    bob.leave(&room).ok();
    alice.say(&room, "after");
    assert_eq!(texts(&bob.history(&room)), ["before"]);
}

#[test]
fn bad_questions_about_history_are_refused() {
    let server = Server::start();
    let alice = server.user("alice");
    let room = alice.create_room(&json!({}));
    for query in ["", "?dir=sideways", "?dir=b&from=not-a-token", "?dir=b&limit=many", "?dir=b&filter=%7B"] {
        let codes = ["M_MISSING_PARAM", "M_INVALID_PARAM", "M_UNKNOWN", "M_BAD_JSON", "M_NOT_JSON"];
        alice.room_get(&room, &format!("/messages{query}")).refused_as(400, &codes);
    }
}

#[test]
fn the_event_closest_to_a_time_is_one_that_the_user_may_see() {
    let server = Server::start();
    let (alice, bob, carol) = (server.user("alice"), server.user("bob"), server.user("carol"));
    let room = alice.create_room(&json!({"preset": "public_chat"}));
    alice.room_put(&room, "/state/m.room.history_visibility", &json!({"history_visibility": "joined"})).ok();
    speak(&alice, &room, 3);
    let mut hidden = alice.history(&room);
    hidden.retain(|event| event["type"] == "m.room.message");
    bob.join(&room).ok();
    speak(&alice, &room, 2);
    let all = alice.history(&room);
    let closest = |user: &User, ts: u64, dir: &str| {
        user.get(&format!("/v1/rooms/{}/timestamp_to_event?ts={ts}&dir={dir}", encode(&room)))
    };
    let first = &all[0];
    let found = closest(&alice, 0, "f").ok();
    assert_eq!((&found["event_id"], &found["origin_server_ts"]), (&first["event_id"], &first["origin_server_ts"]));
    assert_eq!(closest(&alice, u64::MAX >> 12, "b").ok()["event_id"], all[all.len() - 1]["event_id"]);
    let then = hidden[0]["origin_server_ts"].as_u64().expect("a time");
    let seen = closest(&bob, then, "f").ok();
    assert!(hidden.iter().all(|event| event["event_id"] != seen["event_id"]), "bob was not there: {seen}");
    for event in &all {
        let ts = event["origin_server_ts"].as_u64().expect("a time");
        assert_eq!(closest(&alice, ts, "f").ok()["origin_server_ts"], ts, "as close as can be");
        assert_eq!(closest(&alice, ts, "b").ok()["origin_server_ts"], ts);
    }
    assert_eq!(closest(&alice, 0, "b").body["errcode"], "M_NOT_FOUND", "nothing is older");
    assert_eq!(closest(&carol, 0, "f").body["errcode"], "M_FORBIDDEN");
    assert_eq!(closest(&alice, 0, "x").status, 400);
}
