//! The rules of rooms hold whichever way somebody comes: by the endpoint of that name, by `PUT /state`, by `/send`.

use engram_benches::http::encode;
use engram_tests::wait::eventually;
use engram_tests::{Server, User};
use serde_json::{Value, json};

/// A guest of a server that takes some.
fn guest(server: &Server) -> User {
    let account = server.call("POST", "/v3/register?kind=guest", &json!({})).ok();
    let member = |name: &str| account[name].as_str().expect("a guest's account").to_owned();
    let account = engram_benches::target::Account {
        user_id: member("user_id"),
        device_id: member("device_id"),
        token: member("access_token"),
    };
    User::new(server.address, account)
}

fn member(user: &User, room: &str, of: &User) -> Value {
    user.state(room, "m.room.member", &of.id).ok()
}

fn put_member(user: &User, room: &str, content: &Value) -> engram_tests::reply::Reply {
    user.set_state(room, "m.room.member", &user.id, content)
}

#[test]
fn what_only_a_server_may_say_is_taken_from_no_client() {
    let server = Server::start();
    for version in ["8", "10", "11", "12"] {
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let room = alice.create_room(&json!({"room_version": version, "preset": "public_chat"}));
        bob.join(&room).ok();
        for voucher in [json!("@x:other.example"), json!("unused"), json!(alice.id)] {
            for (user, membership) in [(&alice, "join"), (&bob, "join"), (&bob, "leave"), (&bob, "join")] {
                let content = json!({
                    "membership": membership, "displayname": voucher, "join_authorised_via_users_server": voucher,
                });
                put_member(user, &room, &content).ok();
                let shown = member(&alice, &room, user);
                assert_eq!(shown["membership"], membership, "version {version}");
                assert_eq!(shown["join_authorised_via_users_server"], Value::Null, "version {version}");
            }
        }
        let body = json!({"join_authorised_via_users_server": "@x:other.example"});
        bob.leave(&room).ok();
        bob.room_post(&room, "/join", &body).ok();
        assert_eq!(member(&bob, &room, &bob)["join_authorised_via_users_server"], Value::Null);
        // A member event that is none is nobody's to send.
        bob.send(&room, "m.room.member", &json!({"membership": "join"})).refused(400, "M_BAD_JSON");
    }
}

#[test]
fn guests_come_in_where_they_are_welcome_whichever_way_they_come() {
    let server = Server::start_with("registration.guests = true");
    let (alice, guest) = (server.user("alice"), guest(&server));
    let closed = alice.create_room(&json!({"preset": "public_chat"}));
    let knocking = json!([{"type": "m.room.join_rules", "content": {"join_rule": "knock"}}]);
    let knocked = alice.create_room(&json!({"preset": "private_chat", "initial_state": knocking}));
    let nowhere = "!nowhere:test.example";
    for room in [closed.as_str(), nowhere] {
        guest.join(room).refused(403, "M_GUEST_ACCESS_FORBIDDEN");
        put_member(&guest, room, &json!({"membership": "join"})).refused(403, "M_GUEST_ACCESS_FORBIDDEN");
    }
    guest.post(&format!("/v3/knock/{}", encode(&knocked)), &json!({})).refused(403, "M_GUEST_ACCESS_FORBIDDEN");
    put_member(&guest, &knocked, &json!({"membership": "knock"})).refused(403, "M_GUEST_ACCESS_FORBIDDEN");

    let welcome = json!([{"type": "m.room.guest_access", "content": {"guest_access": "can_join"}}]);
    let open = alice.create_room(&json!({"preset": "public_chat", "initial_state": welcome}));
    put_member(&guest, &open, &json!({"membership": "join"})).ok();
    guest.send(&open, "org.example.any", &json!({})).ok();
    for (path, content) in [("/invite", json!({"user_id": "@x:y"})), ("/kick", json!({"user_id": alice.id}))] {
        guest.room_post(&open, path, &content).refused(403, "M_GUEST_ACCESS_FORBIDDEN");
    }
    guest
        .set_state(&open, "m.room.member", "@x:y", &json!({"membership": "invite"}))
        .refused(403, "M_GUEST_ACCESS_FORBIDDEN");
    guest.post("/v3/createRoom", &json!({})).refused(403, "M_GUEST_ACCESS_FORBIDDEN");
}

#[test]
fn guests_are_taken_out_when_the_door_closes_also_by_a_redaction() {
    let server = Server::start_with("registration.guests = true");
    let alice = server.user("alice");
    let welcome = json!([{"type": "m.room.guest_access", "content": {"guest_access": "can_join"}}]);
    for by_redaction in [false, true] {
        let guest = guest(&server);
        let room = alice.create_room(&json!({"preset": "public_chat", "initial_state": welcome}));
        guest.join(&room).ok();
        if by_redaction {
            let path = "/state/m.room.guest_access/?format=event";
            let door = alice.room_get(&room, path).ok()["event_id"].as_str().expect("an ID").to_owned();
            alice.redact(&room, &door).ok();
        } else {
            alice.set_state(&room, "m.room.guest_access", "", &json!({"guest_access": "forbidden"})).ok();
        }
        eventually("the guest is out", || (member(&alice, &room, &guest)["membership"] == "leave").then_some(()));
        guest.join(&room).refused(403, "M_GUEST_ACCESS_FORBIDDEN");
    }
}

fn set_up(user: &User, old: &str) {
    let path = format!("/v3/user/{}/rooms/{}/tags/u.work", encode(&user.id), encode(old));
    user.put(&path, &json!({"order": 0.5})).ok();
    user.put(&format!("/v3/pushrules/global/room/{}", encode(old)), &json!({"actions": []})).ok();
}

fn has_moved(user: &User, new: &str) {
    let path = format!("/v3/user/{}/rooms/{}/tags", encode(&user.id), encode(new));
    assert_eq!(user.get(&path).ok()["tags"]["u.work"]["order"], 0.5);
    user.get(&format!("/v3/pushrules/global/room/{}", encode(new))).ok();
}

/// ROOM-25, for whichever path leads to the join, and for a room that replaces another by its creator's word.
#[test]
fn what_was_set_for_a_room_moves_along_by_every_path() {
    let server = Server::start();
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let old = alice.create_room(&json!({"preset": "public_chat"}));
    bob.put(&format!("/v3/profile/{}/displayname", encode(&bob.id)), &json!({"displayname": "Bob"})).ok();
    set_up(&alice, &old);
    set_up(&bob, &old);
    let content = json!({"predecessor": {"room_id": old, "event_id": "$x"}});
    let new = alice.create_room(&json!({"preset": "public_chat", "creation_content": content}));
    has_moved(&alice, &new);
    put_member(&bob, &new, &json!({"membership": "join"})).ok();
    has_moved(&bob, &new);
    assert_eq!(member(&bob, &new, &bob)["displayname"], "Bob", "a join by `PUT /state` shows the profile too");
}

#[test]
fn a_name_that_was_set_for_one_room_outlives_a_new_avatar_and_a_second_join() {
    let server = Server::start();
    let alice = server.user("alice");
    let room = alice.create_room(&json!({}));
    put_member(&alice, &room, &json!({"membership": "join", "displayname": "Here", "org.example.mood": "fine"})).ok();
    let profile = format!("/v3/profile/{}", encode(&alice.id));
    alice.put(&format!("{profile}/avatar_url"), &json!({"avatar_url": "mxc://test/avatar"})).ok();
    let shown = member(&alice, &room, &alice);
    let expected = json!({
        "membership": "join", "displayname": "Here", "avatar_url": "mxc://test/avatar", "org.example.mood": "fine",
    });
    assert_eq!(shown, expected);
    alice.join(&room).ok();
    assert_eq!(member(&alice, &room, &alice)["displayname"], "Here");
    alice.put(&format!("{profile}/displayname"), &json!({"displayname": "Everywhere"})).ok();
    assert_eq!(member(&alice, &room, &alice)["displayname"], "Everywhere");
}

/// API-11 and API-12: the scope of a transaction is the device and the endpoint, also after a restart.
#[test]
fn transactions_are_scoped_by_path_and_device_and_outlive_a_restart() {
    let mut server = Server::start();
    let alice = server.user("alice");
    let (one, two) = (alice.create_room(&json!({})), alice.create_room(&json!({})));
    let text = json!({"msgtype": "m.text", "body": "once"});
    let send = |user: &User, room: &str, event_type: &str| {
        user.room_put(room, &format!("/send/{event_type}/1"), &text).string("event_id")
    };
    let redact = |room: &str, event_id: &str| {
        alice.room_put(room, &format!("/redact/{}/1", encode(event_id)), &json!({})).string("event_id")
    };
    let targets = [alice.say(&one, "a"), alice.say(&one, "b")];
    let all = |user: &User| {
        let mut sent = vec![send(user, &one, "m.room.message"), send(user, &one, "m.other")];
        sent.push(send(user, &two, "m.room.message"));
        sent.extend(targets.iter().map(|target| redact(&one, target)));
        sent
    };
    let first = all(&alice);
    let mut distinct = first.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), first.len(), "each endpoint is a scope of its own");
    assert_eq!(all(&alice), first);
    for round in 0..50 {
        alice.room_put(&two, &format!("/send/m.room.message/more{round}"), &text).ok();
    }
    assert_eq!(all(&alice), first);
    server.kill();
    server.start_again();
    let again = User::new(
        server.address,
        engram_benches::target::Account {
            user_id: alice.id.clone(),
            device_id: alice.device.clone(),
            token: alice.token.clone(),
        },
    );
    for (at, room, event_type) in [(0, &one, "m.room.message"), (1, &one, "m.other"), (2, &two, "m.room.message")] {
        assert_eq!(send(&again, room, event_type), first[at]);
    }
    let tablet = again.log_in();
    assert_ne!(send(&tablet, &one, "m.room.message"), first[0], "another device");
}

/// A transaction ends with its device: a later one of the same name begins anew (API-12).
#[test]
fn transactions_end_with_the_device() {
    let server = Server::start();
    let alice = server.user("alice");
    let room = alice.create_room(&json!({}));
    let text = json!({"msgtype": "m.text", "body": "hello"});
    let log_in = || {
        let identifier = json!({"type": "m.id.user", "user": alice.id});
        let body = json!({
            "type": "m.login.password", "identifier": identifier, "password": engram_tests::user::PASSWORD,
            "device_id": "PHONE",
        });
        let login = alice.post("/v3/login", &body).ok();
        let token = login["access_token"].as_str().expect("a token").to_owned();
        let account =
            engram_benches::target::Account { user_id: alice.id.clone(), device_id: "PHONE".to_owned(), token };
        User::new(server.address, account)
    };
    let send = |user: &User| user.room_put(&room, "/send/m.room.message/1", &text).string("event_id");
    let phone = log_in();
    let first = send(&phone);
    let same = log_in();
    assert_eq!(send(&same), first, "a new token for the same device");
    same.post("/v3/logout", &json!({})).ok();
    assert_ne!(send(&log_in()), first, "another device of the same name");
}

/// Whoever is not in a room is not told whether there is one (HIST-11, and its like on every other endpoint).
#[test]
fn a_private_room_and_none_are_answered_alike() {
    let server = Server::start();
    let (alice, mallory) = (server.user("alice"), server.user("mallory"));
    let private = alice.create_room(&json!({"preset": "private_chat"}));
    let event = encode(&alice.say(&private, "secret"));
    let nowhere = format!("!nowhere:{}", alice.server_name());
    let alias = encode(&format!("#taken{}:{}", mallory.localpart(), alice.server_name()));
    let me = json!({"membership": "join"});
    let about = json!({"user_id": alice.id});
    let requests: Vec<(&str, String, Value)> = vec![
        ("PUT", "/rooms/R/send/m.room.message/1".to_owned(), json!({"body": "?"})),
        ("PUT", "/rooms/R/state/m.room.name".to_owned(), json!({"name": "?"})),
        ("PUT", format!("/rooms/R/state/m.room.member/{}", encode(&mallory.id)), me),
        ("PUT", format!("/rooms/R/redact/{event}/1"), json!({})),
        ("POST", "/rooms/R/invite".to_owned(), about.clone()),
        ("POST", "/rooms/R/kick".to_owned(), about.clone()),
        ("POST", "/rooms/R/ban".to_owned(), about.clone()),
        ("POST", "/rooms/R/unban".to_owned(), about),
        ("POST", "/rooms/R/leave".to_owned(), json!({})),
        ("POST", "/rooms/R/forget".to_owned(), json!({})),
        ("POST", "/rooms/R/join".to_owned(), json!({})),
        ("POST", "/join/R".to_owned(), json!({})),
        ("POST", "/knock/R".to_owned(), json!({})),
        ("POST", "/rooms/R/upgrade".to_owned(), json!({"new_version": "11"})),
        ("PUT", format!("/directory/room/{alias}"), json!({"room_id": "R"})),
        ("PUT", "/directory/list/room/R".to_owned(), json!({"visibility": "public"})),
        ("GET", format!("/rooms/R/context/{event}"), Value::Null),
        ("GET", format!("/rooms/R/event/{event}"), Value::Null),
        ("GET", "/rooms/R/state".to_owned(), Value::Null),
        ("GET", "/rooms/R/members".to_owned(), Value::Null),
        ("GET", "/rooms/R/joined_members".to_owned(), Value::Null),
        ("GET", "/rooms/R/messages?dir=b".to_owned(), Value::Null),
        ("GET", "/rooms/R/initialSync".to_owned(), Value::Null),
        ("GET", "/rooms/R/aliases".to_owned(), Value::Null),
    ];
    for (method, path, body) in &requests {
        let ask = |room: &str| {
            let path = format!("/v3{}", path.replace("/R", &format!("/{}", encode(room))));
            let body: Value =
                serde_json::from_str(&body.to_string().replace("\"R\"", &format!("{room:?}"))).expect("JSON");
            let reply = mallory.try_call(method, &path, Some(&body).filter(|body| !body.is_null())).expect("an answer");
            (reply.status, reply.body.to_string().replace(room, "R"))
        };
        let (there, gone) = (ask(&private), ask(&nowhere));
        assert_eq!(there, gone, "{method} {path}");
        assert!([403, 404].contains(&there.0), "{method} {path}: {there:?}");
    }
    mallory.room_get(&private, &format!("/context/{event}")).refused(404, "M_NOT_FOUND");
}

#[test]
fn whoever_declined_an_invitation_gets_no_state_with_an_event() {
    let server = Server::start();
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let history = json!([{"type": "m.room.history_visibility", "content": {"history_visibility": "invited"}}]);
    for way in ["leave", "kick", "ban"] {
        let room = alice.create_room(&json!({"preset": "private_chat", "initial_state": history}));
        alice.invite(&room, &bob).ok();
        let event = alice.say(&room, "while Bob was invited");
        match way {
            "leave" => bob.leave(&room).ok(),
            way => alice.moderate(&room, way, &bob).ok(),
        };
        bob.room_get(&room, "/state").refused(403, "M_FORBIDDEN");
        bob.room_get(&room, &format!("/context/{}", encode(&event))).refused(403, "M_FORBIDDEN");
    }
}

#[test]
fn a_room_that_was_forgotten_shows_no_event_any_more() {
    let server = Server::start();
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let room = alice.create_room(&json!({"preset": "public_chat"}));
    bob.join(&room).ok();
    let event = encode(&bob.say(&room, "mine"));
    bob.leave(&room).ok();
    bob.room_get(&room, &format!("/event/{event}")).ok();
    bob.room_post(&room, "/forget", &json!({})).ok();
    bob.room_get(&room, &format!("/event/{event}")).refused(404, "M_NOT_FOUND");
    bob.get(&format!("/v3/events/{event}")).refused(404, "M_NOT_FOUND");
    bob.room_get(&room, &format!("/context/{event}")).refused(403, "M_FORBIDDEN");
}

#[test]
fn a_room_is_created_once() {
    let server = Server::start();
    let alice = server.user("alice");
    for version in ["10", "11", "12"] {
        let room = alice.create_room(&json!({"room_version": version}));
        let content = json!({"room_version": version, "creator": alice.id});
        alice.set_state(&room, "m.room.create", "", &content).refused(400, "M_INVALID_PARAM");
        alice.set_state(&room, "m.room.create", "other", &content).refused(400, "M_INVALID_PARAM");
        alice.send(&room, "m.room.create", &content).refused(400, "M_INVALID_PARAM");
    }
}

/// Upgrades back to versions without unlimited creators leave somebody who can do everything (room upgrades, step 3).
#[test]
fn after_an_upgrade_somebody_can_ban_set_levels_and_upgrade_again() {
    let server = Server::start();
    let (alice, bob, carol) = (server.user("alice"), server.user("bob"), server.user("carol"));
    let overrides = json!({"ban": 101, "events": {"m.room.power_levels": 150, "m.room.tombstone": 150}});
    for levels in [json!({}), overrides] {
        let content = json!({"additional_creators": [bob.id]});
        let room = alice.create_room(&json!({
            "room_version": "12", "preset": "public_chat", "creation_content": content,
            "power_level_content_override": levels,
        }));
        let upgrade = |user: &User, room: &str, version: &str| {
            user.room_post(room, "/upgrade", &json!({"new_version": version})).string("replacement_room")
        };
        let next = upgrade(&alice, &room, "11");
        bob.join(&next).ok();
        carol.join(&next).ok();
        for user in [&alice, &bob] {
            let mut levels = user.state(&next, "m.room.power_levels", "").ok();
            assert_eq!(levels["users"][&alice.id], 150, "{levels}");
            levels["redact"] = json!(levels["redact"].as_i64().unwrap_or(50) + 1);
            user.set_state(&next, "m.room.power_levels", "", &levels).ok();
        }
        alice.moderate(&next, "ban", &carol).ok();
        let last = upgrade(&bob, &next, "10");
        assert_eq!(bob.state(&last, "m.room.power_levels", "").ok()["users"][&alice.id], 150);
    }
}

#[test]
fn the_directory_of_nothing_at_a_time_has_an_end() {
    let server = Server::start();
    let alice = server.user("alice");
    alice.create_room(&json!({"visibility": "public"}));
    alice.create_room(&json!({"visibility": "public"}));
    let page = alice.get("/v3/publicRooms?limit=0").ok();
    assert_eq!((&page["chunk"], &page["next_batch"]), (&json!([]), &Value::Null));
    let all = alice.get("/v3/publicRooms?since=").ok();
    assert_eq!(all["total_room_count_estimate"], 2);
    let network = alice.post("/v3/publicRooms", &json!({"third_party_instance_id": "irc"})).ok();
    assert_eq!((&network["chunk"], &network["total_room_count_estimate"]), (&json!([]), &json!(0)));
    let both = json!({"third_party_instance_id": "irc", "include_all_networks": true});
    alice.post("/v3/publicRooms", &both).refused(400, "M_INVALID_PARAM");
}

#[test]
fn there_is_no_rule_of_a_kind_that_there_is_not() {
    let server = Server::start();
    let alice = server.user("alice");
    for path in ["postcontent/x", "postcontent", "postcontent/x/enabled"] {
        alice.get(&format!("/v3/pushrules/global/{path}")).refused(404, "M_NOT_FOUND");
    }
    alice.delete("/v3/pushrules/global/postcontent/x").refused(404, "M_NOT_FOUND");
}
