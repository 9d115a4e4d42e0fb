//! Aliases and the directory of public rooms.

use engram_benches::http::encode;
use engram_tests::{Server, User, fresh};
use serde_json::json;

fn alias(user: &User) -> (String, String) {
    let alias = format!("#{}:{}", fresh("place"), user.server_name());
    let path = format!("/v3/directory/room/{}", encode(&alias));
    (alias, path)
}

#[test]
fn an_alias_leads_to_its_room() {
    let server = Server::start();
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let room = alice.create_room(&json!({"preset": "public_chat"}));
    let (alias, path) = alias(&alice);
    alice.get(&path).refused(404, "M_NOT_FOUND");
    alice.put(&path, &json!({"room_id": room})).ok();
    assert_eq!(server.get(&path).ok()["room_id"], room.as_str(), "aliases are public");
    alice.put(&path, &json!({"room_id": room})).refused_as(409, &["M_UNKNOWN"]);
    assert_eq!(bob.join(&alias).ok()["room_id"], room.as_str());
    bob.delete(&path).refused(403, "M_FORBIDDEN");
    alice.delete(&path).ok();
    alice.get(&path).refused(404, "M_NOT_FOUND");
}

#[test]
fn a_room_can_be_created_with_an_alias() {
    let server = Server::start();
    let alice = server.user("alice");
    let name = fresh("place");
    let room = alice.create_room(&json!({"room_alias_name": name}));
    let alias = format!("#{name}:{}", alice.server_name());
    assert_eq!(alice.state(&room, "m.room.canonical_alias", "").ok()["alias"], alias.as_str());
    assert_eq!(alice.room_get(&room, "/aliases").ok()["aliases"], json!([alias]));
    alice.post("/v3/createRoom", &json!({"room_alias_name": name})).refused_as(400, &["M_ROOM_IN_USE"]);
}

#[test]
fn public_rooms_are_listed() {
    let server = Server::start();
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let name = fresh("Concert hall");
    let room = alice.create_room(&json!({"visibility": "public", "name": name, "topic": "Music"}));
    let hidden = alice.create_room(&json!({"preset": "public_chat", "name": fresh("Cellar")}));
    let search = json!({"filter": {"generic_search_term": name}, "limit": 10});
    let found = bob.post("/v3/publicRooms", &search).ok();
    assert_eq!(found["chunk"][0]["room_id"], room.as_str(), "{found}");
    assert_eq!(found["chunk"][0]["num_joined_members"], 1);
    let listed = bob.get("/v3/publicRooms").ok();
    let ids: Vec<_> = listed["chunk"].as_array().into_iter().flatten().map(|entry| &entry["room_id"]).collect();
    assert!(!ids.contains(&&json!(hidden)), "who may join is not who is listed: {listed}");
}
