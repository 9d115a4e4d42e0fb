//! Who gets to see what: redacted content nowhere, erased accounts, ignored users, and the past by the rules of the
//! past (HIST-01 to HIST-11, RED-06 to RED-08).

use engram_benches::http::encode;
use engram_tests::user::{PASSWORD, next_batch, texts, timeline};
use engram_tests::{Server, User};
use serde_json::{Value, json};

/// What must not be seen.
const MARK: &str = "forget-me";

fn close_and_erase(user: &User) {
    let refused = user.post("/v3/account/deactivate", &json!({}));
    let identifier = json!({"type": "m.id.user", "user": user.id});
    let auth = json!({"type": "m.login.password", "identifier": identifier, "password": PASSWORD,
        "session": refused.body["session"]});
    user.post("/v3/account/deactivate", &json!({"erase": true, "auth": auth})).ok();
}

/// Everything that a member gets to see of a room, by every endpoint that shows any of it.
fn everything(user: &User, room: &str, event_ids: &[String]) -> Vec<(String, Value)> {
    let mut seen = Vec::new();
    let federation = encode(&json!({"event_format": "federation", "room": {"timeline": {"limit": 100}}}).to_string());
    let long = encode(&json!({"room": {"timeline": {"limit": 100}}}).to_string());
    let lazy = encode(&json!({"lazy_load_members": true}).to_string());
    let mut paths = vec![
        "/v3/sync?timeout=0".to_owned(),
        "/v3/sync?timeout=0&full_state=true".to_owned(),
        "/v3/sync?timeout=0&use_state_after=true".to_owned(),
        format!("/v3/sync?timeout=0&filter={long}"),
        format!("/v3/sync?timeout=0&filter={federation}"),
        "/v3/initialSync?limit=100".to_owned(),
        "/v3/publicRooms".to_owned(),
        format!("/v3/events?timeout=0&from=s0&room_id={}", encode(room)),
    ];
    let within = [
        "/messages?dir=b&limit=100",
        "/messages?dir=f&limit=100",
        &format!("/messages?dir=b&limit=100&filter={lazy}"),
        "/state",
        "/members",
        "/joined_members",
        "/initialSync?limit=100",
    ];
    paths.extend(within.iter().map(|rest| format!("/v3/rooms/{}{rest}", encode(room))));
    for event_id in event_ids {
        let event_id = encode(event_id);
        paths.push(format!("/v3/rooms/{}/event/{event_id}", encode(room)));
        paths.push(format!("/v3/rooms/{}/context/{event_id}?limit=100", encode(room)));
        paths.push(format!("/v3/events/{event_id}"));
    }
    for event_type in ["m.room.name", "m.room.topic", "m.room.avatar"] {
        paths.push(format!("/v3/rooms/{}/state/{event_type}", encode(room)));
        paths.push(format!("/v3/rooms/{}/state/{event_type}?format=event", encode(room)));
    }
    for path in paths {
        let reply = user.get(&path);
        seen.push((path, reply.body));
    }
    seen
}

fn mentions(seen: &[(String, Value)]) -> Vec<&str> {
    seen.iter().filter(|(_, body)| body.to_string().contains(MARK)).map(|(path, _)| path.as_str()).collect()
}

#[test]
fn redacted_content_is_served_nowhere() {
    let server = Server::start();
    for version in ["10", "11", "12"] {
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let room = alice.create_room(
            &json!({"preset": "public_chat", "visibility": "public", "room_version": version, "name": MARK, "topic": MARK}),
        );
        alice.set_state(&room, "m.room.avatar", "", &json!({"url": format!("mxc://x/{MARK}")})).ok();
        bob.put(&format!("/v3/profile/{}/displayname", encode(&bob.id)), &json!({"displayname": MARK})).ok();
        bob.join(&room).ok();
        let said = bob.say(&room, MARK);
        let edited = json!({"body": MARK, "m.relates_to": {"rel_type": "m.replace", "event_id": said},
            "m.new_content": {"body": MARK}});
        let edited = bob.send(&room, "m.room.message", &edited).string("event_id");
        let since = alice.sync_token();
        let mut targets = vec![said, edited];
        let member = format!("m.room.member/{}", encode(&bob.id));
        for state in ["m.room.name/", "m.room.topic/", "m.room.avatar/", &member] {
            let event = alice.room_get(&room, &format!("/state/{state}?format=event")).ok();
            targets.push(event["event_id"].as_str().expect("an ID").to_owned());
        }
        assert!(!mentions(&everything(&alice, &room, &targets)).is_empty(), "it is there before");
        for target in &targets {
            alice.redact(&room, target).ok();
        }
        let seen = everything(&alice, &room, &targets);
        assert_eq!(mentions(&seen), [""; 0], "version {version}");
        assert!(!alice.sync(&since, "").to_string().contains(MARK), "in an incremental sync");
        let carol = server.user("carol");
        alice.invite(&room, &carol).ok();
        assert!(!carol.sync("", "").to_string().contains(MARK), "in an invitation");
        let upgraded = alice.room_post(&room, "/upgrade", &json!({"new_version": "11"})).string("replacement_room");
        assert_eq!(mentions(&everything(&alice, &upgraded, &[])), [""; 0], "in the room that replaces it");
        // What was taken away can be said again.
        alice.set_state(&upgraded, "m.room.topic", "", &json!({"topic": "said again"})).ok();
        let first = alice.room_get(&upgraded, "/state/m.room.topic/?format=event").string("event_id");
        alice.redact(&upgraded, &first).ok();
        let again = alice.set_state(&upgraded, "m.room.topic", "", &json!({"topic": "said again"})).string("event_id");
        assert_ne!(first, again);
        assert_eq!(alice.state(&upgraded, "m.room.topic", "").ok()["topic"], "said again");
    }
}

#[test]
fn erased_users_are_seen_by_those_who_were_there_only() {
    let server = Server::start();
    let (alice, bob, carol) = (server.user("alice"), server.user("bob"), server.user("carol"));
    let room = alice.create_room(&json!({"preset": "public_chat", "name": "The room's name"}));
    bob.join(&room).ok();
    let event_id = alice.say(&room, MARK);
    carol.join(&room).ok();
    assert_eq!(texts(&carol.history(&room)), [MARK]);
    close_and_erase(&alice);
    for path in [format!("/event/{}", encode(&event_id)), format!("/context/{}?limit=100", encode(&event_id))] {
        assert!(bob.room_get(&room, &path).ok().to_string().contains(MARK), "{path}: Bob was there");
        assert!(!carol.room_get(&room, &path).ok().to_string().contains(MARK), "{path}: Carol came later");
    }
    assert_eq!(texts(&bob.history(&room)), [MARK]);
    assert!(texts(&carol.history(&room)).is_empty());
    let seen = everything(&carol, &room, std::slice::from_ref(&event_id));
    assert_eq!(mentions(&seen), [""; 0]);
    let stripped = carol.room_get(&room, &format!("/event/{}", encode(&event_id))).ok();
    assert_eq!((&stripped["content"], &stripped["sender"]), (&json!({}), &json!(alice.id)));
    assert_eq!(carol.state(&room, "m.room.name", "").ok()["name"], "The room's name", "state is the room's");
    let after = carol.sync("", "");
    assert!(timeline(&after, &room).iter().any(|event| event["event_id"] == event_id.as_str()), "{after}");
}

#[test]
fn ignored_users_are_silent_but_their_state_holds() {
    let server = Server::start();
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let room = alice.create_room(&json!({"preset": "public_chat"}));
    bob.join(&room).ok();
    let hers = alice.say(&room, "heard");
    let ignored = json!({"ignored_users": {alice.id.clone(): {}}});
    bob.put(&format!("/v3/user/{}/account_data/m.ignored_user_list", encode(&bob.id)), &ignored).ok();
    let since = bob.sync_token();
    alice.say(&room, "unheard");
    alice.set_state(&room, "m.room.topic", "", &json!({"topic": "seen"})).ok();
    let his = bob.say(&room, "his own");
    let sync = bob.sync_until(&since, "his own message", |sync| !texts(timeline(sync, &room)).is_empty());
    assert_eq!(texts(timeline(&sync, &room)), ["his own"]);
    assert_eq!(texts(&bob.history(&room)), ["his own"]);
    assert_eq!(bob.state(&room, "m.room.topic", "").ok()["topic"], "seen");
    assert!(bob.history(&room).iter().any(|event| event["type"] == "m.room.topic"), "state events are sent");
    let around = bob.room_get(&room, &format!("/context/{}?limit=20", encode(&his))).ok();
    assert!(!around["events_before"].to_string().contains("heard"), "{around}");
    let elsewhere = alice.create_room(&json!({}));
    alice.invite(&elsewhere, &bob).ok();
    for path in ["/v3/sync?timeout=0", "/v3/initialSync", "/v3/events?timeout=0&from=s0"] {
        assert!(!bob.get(path).ok().to_string().contains(&elsewhere), "{path}: no invitations from her");
    }
    bob.put(&format!("/v3/user/{}/account_data/m.ignored_user_list", encode(&bob.id)), &json!({"ignored_users": {}}))
        .ok();
    assert!(bob.history(&room).iter().any(|event| event["event_id"] == hers.as_str()), "heard again");
}

#[test]
fn events_tell_the_membership_of_their_time() {
    let server = Server::start();
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let room = alice.create_room(&json!({"preset": "private_chat"}));
    let mut said = vec![(alice.say(&room, "before"), "leave")];
    alice.invite(&room, &bob).ok();
    said.push((alice.say(&room, "invited"), "invite"));
    bob.join(&room).ok();
    said.push((alice.say(&room, "joined"), "join"));
    let filter = encode(&json!({"room": {"timeline": {"limit": 100}}}).to_string());
    let sync = bob.sync("", &format!("&filter={filter}"));
    let since = next_batch(&sync);
    let history = bob.history(&room);
    let of = |events: &[Value], event_id: &str| {
        let event = events.iter().find(|event| event["event_id"] == event_id).expect("it is there");
        event["unsigned"]["membership"].clone()
    };
    for (event_id, membership) in &said {
        let event = bob.room_get(&room, &format!("/event/{}", encode(event_id))).ok();
        let context = bob.room_get(&room, &format!("/context/{}?limit=0", encode(event_id))).ok();
        assert_eq!(event["unsigned"]["membership"], *membership);
        assert_eq!(context["event"]["unsigned"]["membership"], *membership);
        assert_eq!(of(&history, event_id), *membership);
        assert_eq!(of(timeline(&sync, &room), event_id), *membership);
    }
    let live = alice.say(&room, "live");
    let sync = bob.sync_until(&since, "the message", |sync| !timeline(sync, &room).is_empty());
    assert_eq!(of(timeline(&sync, &room), &live), "join");
}

#[test]
fn what_cannot_be_seen_is_not_told_from_what_is_not_there() {
    let server = Server::start();
    let (alice, bob, carol) = (server.user("alice"), server.user("bob"), server.user("carol"));
    let hidden =
        json!({"type": "m.room.history_visibility", "state_key": "", "content": {"history_visibility": "joined"}});
    let room = alice.create_room(&json!({"preset": "public_chat", "initial_state": [hidden]}));
    let early = alice.say(&room, "early");
    bob.join(&room).ok();
    bob.leave(&room).ok();
    let late = alice.say(&room, "late");
    for user in [&bob, &carol] {
        for event_id in [&early, &late, &"$nothing".to_owned()] {
            user.room_get(&room, &format!("/event/{}", encode(event_id))).refused(404, "M_NOT_FOUND");
        }
    }
    for event_id in [&early, &late, &"$nothing".to_owned()] {
        let path = format!("/context/{}", encode(event_id));
        bob.room_get(&room, &path).refused(404, "M_NOT_FOUND");
        carol.room_get(&room, &path).refused(404, "M_NOT_FOUND");
    }
}

#[test]
fn paging_back_from_a_whole_room_tells_what_there_is_and_ends() {
    let server = Server::start();
    let alice = server.user("alice");
    let room = alice.create_room(&json!({"preset": "public_chat"}));
    alice.say(&room, "all there is");
    let sync = alice.sync("", "");
    let batch = sync["rooms"]["join"][&room]["timeline"]["prev_batch"].as_str().expect("prev_batch").to_owned();
    let page = alice.room_get(&room, &format!("/messages?dir=b&from={}", encode(&batch))).ok();
    assert_eq!(texts(page["chunk"].as_array().expect("a chunk")), ["all there is"]);
    let end = page["end"].as_str().expect("where to go on").to_owned();
    let rest = alice.room_get(&room, &format!("/messages?dir=b&from={}", encode(&end))).ok();
    assert_eq!((&rest["chunk"], &rest["end"]), (&json!([]), &Value::Null));
}
