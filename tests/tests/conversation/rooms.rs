//! Creating rooms: presets, settings, versions.

use engram_benches::http::encode;
use engram_tests::{Server, unique};
use serde_json::{Value, json};

#[test]
fn presets_set_join_rule_history_and_guests() {
    let server = Server::start();
    let user = server.user("rita");
    for (preset, join_rule, guests) in [
        ("private_chat", "invite", "can_join"),
        ("trusted_private_chat", "invite", "can_join"),
        ("public_chat", "public", "forbidden"),
    ] {
        let room = user.create_room(&json!({"preset": preset}));
        assert_eq!(user.state(&room, "m.room.join_rules", "").ok()["join_rule"], join_rule, "{preset}");
        assert_eq!(user.state(&room, "m.room.history_visibility", "").ok()["history_visibility"], "shared", "{preset}");
        let guest_access = user.state(&room, "m.room.guest_access", "");
        // No event means the same as "forbidden".
        let guest_access =
            if guest_access.status == 404 { "forbidden".to_owned() } else { guest_access.string("guest_access") };
        assert_eq!(guest_access, guests, "{preset}");
    }
}

#[test]
fn visibility_chooses_the_preset() {
    let server = Server::start();
    let user = server.user("rita");
    let private = user.create_room(&json!({}));
    assert_eq!(user.state(&private, "m.room.join_rules", "").ok()["join_rule"], "invite");
    let public = user.create_room(&json!({"visibility": "public"}));
    assert_eq!(user.state(&public, "m.room.join_rules", "").ok()["join_rule"], "public");
}

#[test]
fn everything_asked_for_is_in_the_state() {
    let server = Server::start();
    let (rita, sam) = (server.user("rita"), server.user("sam"));
    let room = rita.create_room(&json!({
        "name": "A room", "topic": "With a topic",
        "creation_content": {"m.federate": false},
        "initial_state": [
            {"type": "m.room.join_rules", "state_key": "", "content": {"join_rule": "knock"}},
            {"type": "org.example.colour", "content": {"is": "green"}},
        ],
        "power_level_content_override": {"events_default": 7},
        "invite": [sam.id], "is_direct": true,
    }));
    assert_eq!(rita.state(&room, "m.room.name", "").ok(), json!({"name": "A room"}));
    assert_eq!(rita.state(&room, "m.room.topic", "").ok()["topic"], "With a topic");
    assert_eq!(rita.state(&room, "m.room.create", "").ok()["m.federate"], false);
    assert_eq!(rita.state(&room, "m.room.join_rules", "").ok()["join_rule"], "knock", "initial state wins over preset");
    assert_eq!(rita.state(&room, "org.example.colour", "").ok(), json!({"is": "green"}));
    assert_eq!(rita.state(&room, "m.room.power_levels", "").ok()["events_default"], 7);
    let invited = rita.state(&room, "m.room.member", &sam.id).ok();
    assert_eq!((&invited["membership"], &invited["is_direct"]), (&json!("invite"), &json!(true)));
}

#[test]
fn room_versions_differ_where_they_should() {
    let server = Server::start();
    let user = server.user("rita");
    for version in ["10", "11", "12"] {
        let room = user.create_room(&json!({"room_version": version}));
        let create = user.state(&room, "m.room.create", "").ok();
        assert_eq!(create["room_version"], version);
        assert_eq!(create["creator"].is_string(), version == "10", "creator in version {version}: {create}");
        let levels = user.state(&room, "m.room.power_levels", "").ok();
        let named = levels["users"][&user.id].is_i64();
        assert_eq!(named, version != "12", "creators of version 12 are above all levels: {levels}");
        assert_eq!(room.contains(':'), version != "12", "room IDs of version 12 have no domain: {room}");
    }
}

#[test]
fn creators_of_version_12_are_several_in_trusted_rooms() {
    let server = Server::start();
    let (rita, sam) = (server.user("rita"), server.user("sam"));
    let room = rita.create_room(&json!({"room_version": "12", "preset": "trusted_private_chat", "invite": [sam.id]}));
    let create = rita.state(&room, "m.room.create", "").ok();
    assert_eq!(create["additional_creators"], json!([sam.id]));
    sam.join(&room).ok();
    sam.set_state(&room, "m.room.name", "", &json!({"name": "Sam was here"})).ok();
}

#[test]
fn invitees_of_trusted_rooms_are_equals() {
    let server = Server::start();
    let (rita, sam) = (server.user("rita"), server.user("sam"));
    let room = rita.create_room(&json!({"room_version": "11", "preset": "trusted_private_chat", "invite": [sam.id]}));
    let levels = rita.state(&room, "m.room.power_levels", "").ok();
    assert_eq!(levels["users"][&sam.id], levels["users"][&rita.id], "{levels}");
}

#[test]
fn rooms_that_cannot_be_are_refused() {
    let server = Server::start();
    let user = server.user("rita");
    let refused = |body: Value, errcodes: &[&str]| {
        user.post("/v3/createRoom", &body).refused_as(400, errcodes);
    };
    refused(json!({"room_version": "no such version"}), &["M_UNSUPPORTED_ROOM_VERSION"]);
    refused(json!({"preset": "no such preset"}), &["M_BAD_JSON", "M_INVALID_PARAM", "M_UNKNOWN"]);
    refused(json!({"name": 5}), &["M_BAD_JSON", "M_INVALID_PARAM"]);
    refused(json!({"invite": "@not:a.list"}), &["M_BAD_JSON", "M_INVALID_PARAM"]);
    refused(
        json!({"initial_state": [{"type": "m.room.power_levels", "content": {"users_default": "many"}}]}),
        &["M_BAD_JSON", "M_INVALID_ROOM_STATE", "M_INVALID_PARAM"],
    );
    let rooms = user.get("/v3/joined_rooms").ok();
    assert_eq!(rooms["joined_rooms"], json!([]), "nothing is left of what was refused");
}

#[test]
fn joined_rooms_lists_what_is_joined() {
    let server = Server::start();
    let user = server.user("rita");
    let mut rooms = [user.create_room(&json!({})), user.create_room(&json!({}))];
    rooms.sort();
    let joined = user.get("/v3/joined_rooms").ok();
    let mut joined: Vec<_> =
        joined["joined_rooms"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    joined.sort_unstable();
    assert_eq!(joined, rooms);
    user.leave(&rooms[0]).ok();
    assert_eq!(user.get("/v3/joined_rooms").ok()["joined_rooms"], json!([rooms[1]]));
}

#[test]
fn rooms_that_do_not_exist_cannot_be_used() {
    let server = Server::start();
    let user = server.user("rita");
    let nowhere = format!("!nowhere{}:{}", unique(), user.server_name());
    for reply in [
        user.send(&nowhere, "m.room.message", &json!({"msgtype": "m.text", "body": "?"})),
        user.set_state(&nowhere, "m.room.name", "", &json!({"name": "?"})),
        user.room_get(&nowhere, "/state"),
        user.room_get(&nowhere, "/joined_members"),
        user.room_get(&nowhere, "/messages?dir=b"),
    ] {
        let answer = (reply.status, reply.body["errcode"].as_str().unwrap_or_default());
        assert!([(403, "M_FORBIDDEN"), (404, "M_NOT_FOUND")].contains(&answer), "{reply:?}");
    }
    user.join(&nowhere).refused(403, "M_FORBIDDEN");
    user.post(&format!("/v3/join/{}", encode("not a room")), &json!({}))
        .refused_as(400, &["M_INVALID_PARAM", "M_UNKNOWN"]);
}
