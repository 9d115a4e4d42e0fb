//! What rooms do beyond sending and receiving: upgrades, guests, aliases that go, old clients' event stream.

mod common;

use axum::http::StatusCode;
use common::{CONFIG, Server, ask, register};
use engram_http::Front;
use serde_json::{Value, json};

const V3: &str = "/_matrix/client/v3";

/// A request that has to succeed.
async fn good(api: &Front, token: &str, method: &str, path: &str, body: &Value) -> Value {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let (status, answer) = ask(api, token, method, &format!("{V3}{path}"), &body).await;
    assert_eq!(status, StatusCode::OK, "{method} {path} {answer}");
    answer
}

async fn create(api: &Front, token: &str, request: &Value) -> String {
    let created = good(api, token, "POST", "/createRoom", request).await;
    created["room_id"].as_str().expect("an ID").to_owned()
}

async fn state(api: &Front, token: &str, room: &str, event_type: &str) -> Value {
    good(api, token, "GET", &format!("/rooms/{room}/state/{event_type}"), &Value::Null).await
}

async fn guest(api: &Front) -> (String, String) {
    let registered = good(api, "", "POST", "/register?kind=guest", &json!({})).await;
    let text = |key: &str| registered[key].as_str().expect("text").to_owned();
    (text("user_id"), text("access_token"))
}

/// ROOM-21 to ROOM-25.
#[tokio::test(flavor = "multi_thread")]
async fn an_upgraded_room_is_the_old_one_again_in_another_version() {
    for (old_version, new_version) in [("10", "11"), ("11", "12"), ("12", "12"), ("12", "11")] {
        let server = Server::start(CONFIG);
        let api = server.api();
        let (alice, bob) = (register(&api, "alice").await, register(&api, "bob").await);
        let request = json!({
            "preset": "public_chat", "visibility": "public", "room_version": old_version, "name": "Name",
            "room_alias_name": "here", "creation_content": { "type": "m.space" },
            "initial_state": [{ "type": "org.custom", "content": { "a": 1 } }],
        });
        let old = create(&api, &alice, &request).await;
        good(&api, &bob, "POST", &format!("/join/{old}"), &json!({})).await;
        let ban = json!({ "user_id": "@eve:localhost", "reason": "noise" });
        good(&api, &alice, "POST", &format!("/rooms/{old}/ban"), &ban).await;
        let tag = format!("/user/@bob:localhost/rooms/{old}/tags/m.favourite");
        good(&api, &bob, "PUT", &tag, &json!({ "order": 0.5 })).await;
        let rule = json!({ "actions": ["notify"] });
        good(&api, &bob, "PUT", &format!("/pushrules/global/room/{old}"), &rule).await;

        let path = format!("{V3}/rooms/{old}/upgrade");
        let (status, refused) = ask(&api, &bob, "POST", &path, &json!({ "new_version": "11" }).to_string()).await;
        assert_eq!((status, &refused["errcode"]), (StatusCode::FORBIDDEN, &json!("M_FORBIDDEN")));
        let (_, refused) = ask(&api, &alice, "POST", &path, &json!({ "new_version": "odd" }).to_string()).await;
        assert_eq!(refused["errcode"], "M_UNSUPPORTED_ROOM_VERSION");
        let wanted = json!({ "new_version": new_version, "additional_creators": ["@bob:localhost"] });
        let upgraded = good(&api, &alice, "POST", &format!("/rooms/{old}/upgrade"), &wanted).await;
        let new = upgraded["replacement_room"].as_str().expect("an ID").to_owned();

        let create = state(&api, &alice, &new, "m.room.create").await;
        assert_eq!(create["predecessor"]["room_id"], json!(old));
        assert_eq!((&create["type"], &create["room_version"]), (&json!("m.space"), &json!(new_version)));
        let creators = if new_version == "12" { json!(["@bob:localhost"]) } else { Value::Null };
        assert_eq!(create["additional_creators"], creators, "{old_version} to {new_version}");
        assert_eq!(state(&api, &alice, &old, "m.room.tombstone").await["replacement_room"], json!(new));
        assert_eq!(state(&api, &alice, &new, "m.room.name").await["name"], "Name");
        assert_eq!(state(&api, &alice, &new, "m.room.member/@eve:localhost").await["membership"], "ban");
        let (status, _) = ask(&api, &alice, "GET", &format!("{V3}/rooms/{new}/state/org.custom"), "").await;
        assert_eq!(status, StatusCode::NOT_FOUND, "what depends on its sender stays behind");
        let users = state(&api, &alice, &new, "m.room.power_levels").await["users"].clone();
        let expected = match (old_version, new_version) {
            (_, "12") => json!({}),
            // A tombstone takes 150 in version 12, and whoever could send one still can.
            ("12", _) => json!({ "@alice:localhost": 150 }),
            _ => json!({ "@alice:localhost": 100 }),
        };
        assert_eq!(users, expected, "{old_version} to {new_version}");

        let alias = good(&api, &bob, "GET", "/directory/room/%23here:localhost", &Value::Null).await;
        assert_eq!(alias["room_id"], json!(new));
        assert_eq!(state(&api, &alice, &old, "m.room.canonical_alias").await, json!({}));
        assert_eq!(state(&api, &alice, &new, "m.room.canonical_alias").await["alias"], "#here:localhost");
        for (room, visibility) in [(&old, "private"), (&new, "public")] {
            let listed = good(&api, &alice, "GET", &format!("/directory/list/room/{room}"), &Value::Null).await;
            assert_eq!(listed["visibility"], visibility);
        }
        let levels = state(&api, &alice, &old, "m.room.power_levels").await;
        assert_eq!((&levels["events_default"], &levels["invite"]), (&json!(50), &json!(50)));

        good(&api, &bob, "POST", &format!("/join/{new}"), &json!({})).await;
        let tags = good(&api, &bob, "GET", &format!("/user/@bob:localhost/rooms/{new}/tags"), &Value::Null).await;
        assert_eq!(tags["tags"]["m.favourite"]["order"], 0.5);
        let rule = good(&api, &bob, "GET", &format!("/pushrules/global/room/{new}"), &Value::Null).await;
        assert_eq!(rule["actions"], json!(["notify"]));
    }
}

/// GUEST-06: guests come in where `guest_access` says so, and go when it no longer does.
#[tokio::test(flavor = "multi_thread")]
async fn guests_are_where_they_may_be_and_can_become_full_users() {
    let server = Server::start("registration = { open = true, guests = true }\npassword_hash.cost = \"minimal\"");
    let api = server.api();
    let alice = register(&api, "alice").await;
    let room = create(&api, &alice, &json!({ "preset": "public_chat" })).await;
    let (guest_id, token) = guest(&api).await;
    let join = format!("/rooms/{room}/join");
    let (status, refused) = ask(&api, &token, "POST", &format!("{V3}{join}"), "{}").await;
    assert_eq!((status, &refused["errcode"]), (StatusCode::FORBIDDEN, &json!("M_GUEST_ACCESS_FORBIDDEN")));

    let access = format!("/rooms/{room}/state/m.room.guest_access");
    good(&api, &alice, "PUT", &access, &json!({ "guest_access": "can_join" })).await;
    good(&api, &token, "POST", &join, &json!({ "org.mood": "curious" })).await;
    let member = format!("m.room.member/{guest_id}");
    assert_eq!(state(&api, &alice, &room, &member).await["org.mood"], "curious", "a join says what the client wants");
    good(&api, &alice, "PUT", &access, &json!({ "guest_access": "forbidden" })).await;
    assert_eq!(server.node.app.rooms.dismiss_guests().await, 1);
    let after = format!("/rooms/{room}/send/m.room.message/1");
    good(&api, &alice, "PUT", &after, &json!({ "msgtype": "m.text", "body": "what comes after is applied after" }))
        .await;
    assert_eq!(state(&api, &alice, &room, &member).await["membership"], "leave");
    assert_eq!(state(&api, &alice, &room, "m.room.member/@alice:localhost").await["membership"], "join");

    let localpart = guest_id.strip_prefix('@').and_then(|id| id.split_once(':')).expect("a user ID").0;
    let (_, other) = guest(&api).await;
    let upgrade = |token: &str| {
        json!({ "username": localpart, "password": "secret", "guest_access_token": token,
            "auth": { "type": "m.login.dummy" } })
    };
    let (status, _) = ask(&api, "", "POST", &format!("{V3}/register"), &upgrade(&other).to_string()).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "the token is somebody else's");
    let full = good(&api, "", "POST", "/register", &upgrade(&token)).await;
    assert_eq!(full["user_id"], json!(guest_id));
    let now = full["access_token"].as_str().expect("a token");
    good(&api, now, "POST", &join, &json!({})).await;
    let (status, _) = ask(&api, &token, "GET", &format!("{V3}/account/whoami"), "").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "the guest's session is over");
    let (status, _) = ask(&api, "", "POST", &format!("{V3}/register"), &upgrade(now).to_string()).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "once is enough");
}

/// ROOM-16, and that a room's answers name no event of another.
#[tokio::test(flavor = "multi_thread")]
async fn an_alias_that_is_removed_is_no_canonical_alias_any_more() {
    let server = Server::start(CONFIG);
    let api = server.api();
    let alice = register(&api, "alice").await;
    let room = create(&api, &alice, &json!({ "room_alias_name": "one" })).await;
    let two = "/directory/room/%23two:localhost";
    good(&api, &alice, "PUT", two, &json!({ "room_id": room })).await;
    let canonical = json!({ "alias": "#one:localhost", "alt_aliases": ["#two:localhost"] });
    let path = format!("/rooms/{room}/state/m.room.canonical_alias");
    good(&api, &alice, "PUT", &path, &canonical).await;
    good(&api, &alice, "DELETE", two, &Value::Null).await;
    assert_eq!(state(&api, &alice, &room, "m.room.canonical_alias").await, json!({ "alias": "#one:localhost" }));
    good(&api, &alice, "DELETE", "/directory/room/%23one:localhost", &Value::Null).await;
    assert_eq!(state(&api, &alice, &room, "m.room.canonical_alias").await, json!({}));

    let other = create(&api, &alice, &json!({})).await;
    let sent =
        good(&api, &alice, "POST", &format!("/rooms/{other}/send/m.room.message"), &json!({ "body": "x" })).await;
    let event_id = sent["event_id"].as_str().expect("an ID");
    let redact = format!("{V3}/rooms/{room}/redact/{event_id}/1");
    assert_eq!(ask(&api, &alice, "PUT", &redact, "{}").await.0, StatusCode::BAD_REQUEST);
    let tombstone = format!("{V3}/rooms/{room}/state/m.room.tombstone");
    let itself = json!({ "body": "", "replacement_room": room }).to_string();
    assert_eq!(ask(&api, &alice, "PUT", &tombstone, &itself).await.0, StatusCode::BAD_REQUEST);
}

/// SYNC-20.
#[tokio::test(flavor = "multi_thread")]
async fn old_clients_follow_one_stream_of_events() {
    let server = Server::start(CONFIG);
    let api = server.api();
    let (alice, bob) = (register(&api, "alice").await, register(&api, "bob").await);
    let open = json!([{ "type": "m.room.history_visibility", "content": { "history_visibility": "world_readable" } }]);
    let room = create(&api, &alice, &json!({ "preset": "public_chat", "initial_state": open })).await;
    let closed = create(&api, &alice, &json!({ "preset": "public_chat" })).await;
    let initial = good(&api, &alice, "GET", "/initialSync?limit=1", &Value::Null).await;
    assert_eq!(initial["rooms"].as_array().map(Vec::len), Some(2));
    assert_eq!(initial["rooms"][0]["messages"]["chunk"].as_array().map(Vec::len), Some(1));
    let end = initial["end"].as_str().expect("a token");

    // Bob looks in without joining, and sleeps until something is said.
    let from = good(&api, &bob, "GET", &format!("/rooms/{room}/initialSync"), &Value::Null).await;
    let from = from["messages"]["end"].as_str().expect("a token").to_owned();
    let asleep = format!("{V3}/events?room_id={room}&from={from}&timeout=30000");
    let (sleeper, sleeper_token) = (api.clone(), bob.clone());
    let sleeping = tokio::spawn(async move { ask(&sleeper, &sleeper_token, "GET", &asleep, "").await });
    let sent = good(&api, &alice, "POST", &format!("/rooms/{room}/send/m.room.message"), &json!({ "body": "x" })).await;
    let (status, woken) = sleeping.await.expect("no panic");
    assert_eq!((status, &woken["chunk"][0]["event_id"]), (StatusCode::OK, &sent["event_id"]));
    assert_eq!(woken["chunk"][0]["room_id"], json!(room));
    for path in [format!("/events?room_id={closed}"), format!("/rooms/{closed}/initialSync")] {
        assert_eq!(ask(&api, &bob, "GET", &format!("{V3}{path}"), "").await.0, StatusCode::FORBIDDEN, "{path}");
    }

    let news = good(&api, &alice, "GET", &format!("/events?from={end}&timeout=0"), &Value::Null).await;
    let messages: Vec<&Value> = news["chunk"].as_array().expect("a list").iter().collect();
    let said = messages.iter().find(|event| event["type"] == "m.room.message").expect("the message");
    assert_eq!((&said["user_id"], &said["event_id"]), (&json!("@alice:localhost"), &sent["event_id"]));
    let event_id = sent["event_id"].as_str().expect("an ID");
    let single = good(&api, &bob, "GET", &format!("/events/{event_id}"), &Value::Null).await;
    assert_eq!(single["content"]["body"], "x");
    let end = news["end"].as_str().expect("a token");
    let nothing = good(&api, &alice, "GET", &format!("/events?from={end}&timeout=0"), &Value::Null).await;
    assert_eq!(nothing["chunk"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_is_new_to_a_client_comes_with_a_gap_and_with_who_is_there() {
    let server = Server::start(CONFIG);
    let api = server.api();
    let (alice, bob) = (register(&api, "alice").await, register(&api, "bob").await);
    let room = create(&api, &alice, &json!({ "preset": "public_chat" })).await;
    let before = good(&api, &bob, "GET", "/sync?set_presence=offline", &Value::Null).await;
    good(&api, &bob, "POST", &format!("/join/{room}"), &json!({})).await;
    let since = before["next_batch"].as_str().expect("a token");
    let path = format!("/sync?set_presence=offline&since={since}");
    let news = good(&api, &bob, "GET", &path, &Value::Null).await;
    assert_eq!(news["rooms"]["join"][&room]["timeline"]["limited"], true);
    let present: Vec<&Value> = news["presence"]["events"].as_array().expect("a list").iter().collect();
    assert!(present.iter().any(|event| event["sender"] == "@alice:localhost"), "{present:?}");
}

/// What everybody can read in the state is no secret in the timeline; what was said meanwhile is.
#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_is_shown_the_current_state_but_not_what_was_said() {
    let server = Server::start(CONFIG);
    let api = server.api();
    let alice = register(&api, "alice").await;
    let (bob, carol) = (register(&api, "bob").await, register(&api, "carol").await);
    let joined = json!([{ "type": "m.room.history_visibility", "content": { "history_visibility": "joined" } }]);
    let room = create(&api, &alice, &json!({ "preset": "public_chat", "initial_state": joined })).await;
    good(&api, &bob, "POST", &format!("/join/{room}"), &json!({})).await;
    let before = good(&api, &bob, "GET", "/sync", &Value::Null).await;
    good(&api, &bob, "POST", &format!("/rooms/{room}/leave"), &json!({})).await;
    good(&api, &carol, "POST", &format!("/join/{room}"), &json!({})).await;
    good(&api, &alice, "POST", &format!("/rooms/{room}/send/m.room.message"), &json!({ "body": "secret" })).await;
    good(&api, &bob, "POST", &format!("/join/{room}"), &json!({})).await;
    let since = before["next_batch"].as_str().expect("a token");
    let news = good(&api, &bob, "GET", &format!("/sync?since={since}"), &Value::Null).await;
    let timeline = news["rooms"]["join"][&room]["timeline"]["events"].as_array().expect("a list").clone();
    assert!(timeline.iter().any(|event| event["state_key"] == "@carol:localhost"), "{timeline:?}");
    assert!(timeline.iter().all(|event| event["type"] != "m.room.message"), "{timeline:?}");
}

/// UIA-12: a request that was let in before an account was closed may join a room after; nobody stays there for good.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_closes_their_account_while_they_join_rooms_is_in_none() {
    let server = Server::start(CONFIG);
    let api = server.api();
    let (alice, bob) = (register(&api, "alice").await, register(&api, "bob").await);
    let mut rooms = Vec::new();
    for _ in 0..12 {
        rooms.push(create(&api, &alice, &json!({ "preset": "public_chat" })).await);
    }
    let close = format!("{V3}/account/deactivate");
    let (_, challenge) = ask(&api, &bob, "POST", &close, "{}").await;
    let auth = json!({
        "type": "m.login.password", "identifier": { "type": "m.id.user", "user": "bob" }, "password": "secret",
        "session": challenge["session"],
    });
    let body = json!({ "auth": auth }).to_string();
    let mut joins = tokio::task::JoinSet::new();
    for (number, room) in rooms.iter().enumerate() {
        let (api, bob, room) = (api.clone(), bob.clone(), room.clone());
        joins.spawn(async move {
            if number % 2 == 0 {
                return ask(&api, &bob, "POST", &format!("{V3}/join/{room}"), "{}").await.0;
            }
            let path = format!("{V3}/rooms/{room}/state/m.room.member/@bob:localhost");
            ask(&api, &bob, "PUT", &path, r#"{"membership":"join"}"#).await.0
        });
    }
    let (status, _) = ask(&api, &bob, "POST", &close, &body).await;
    assert_eq!(status, StatusCode::OK);
    joins.join_all().await;
    for room in &rooms {
        let joined = good(&api, &alice, "GET", &format!("/rooms/{room}/joined_members"), &Value::Null).await;
        assert_eq!(joined["joined"].as_object().expect("members").len(), 1, "{joined}");
    }
}
