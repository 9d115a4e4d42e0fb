//! What a user keeps on the server: profile, account data, filters, push rules.

use engram_benches::http::encode;
use engram_tests::user::next_batch;
use engram_tests::{Server, User, unique};
use serde_json::{Value, json};

fn profile(user: &User, rest: &str) -> String {
    format!("/v3/profile/{}{rest}", encode(&user.id))
}

#[test]
fn profiles_are_set_by_their_owner_and_read_by_all() {
    let server = Server::start();
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    alice.put(&profile(&alice, "/displayname"), &json!({"displayname": "Alice L."})).ok();
    alice.put(&profile(&alice, "/avatar_url"), &json!({"avatar_url": "mxc://example.org/a"})).ok();
    let whole = bob.get(&profile(&alice, "")).ok();
    assert_eq!((&whole["displayname"], &whole["avatar_url"]), (&json!("Alice L."), &json!("mxc://example.org/a")));
    assert_eq!(bob.get(&profile(&alice, "/displayname")).ok(), json!({"displayname": "Alice L."}));
    bob.put(&profile(&alice, "/displayname"), &json!({"displayname": "Mallory"})).refused(403, "M_FORBIDDEN");
    let nobody = format!("/v3/profile/{}", encode(&format!("@nobody{}:{}", unique(), alice.server_name())));
    bob.get(&nobody).refused(404, "M_NOT_FOUND");
}

#[test]
fn a_new_name_shows_in_rooms() {
    let server = Server::start();
    let alice = server.user("alice");
    let room = alice.create_room(&json!({}));
    alice.put(&profile(&alice, "/displayname"), &json!({"displayname": "Alice M."})).ok();
    let member = engram_tests::eventually("the member event has the name", || {
        Some(alice.state(&room, "m.room.member", &alice.id).ok()).filter(|member| member["displayname"] == "Alice M.")
    });
    assert_eq!(member["membership"], "join");
}

#[test]
fn names_have_to_be_strings() {
    let server = Server::start();
    let alice = server.user("alice");
    let codes = ["M_BAD_JSON", "M_INVALID_PARAM", "M_MISSING_PARAM", "M_UNKNOWN"];
    alice.put(&profile(&alice, "/displayname"), &json!({"displayname": 5})).refused_as(400, &codes);
    alice.put(&profile(&alice, "/avatar_url"), &json!({"avatar_url": ["x"]})).refused_as(400, &codes);
}

#[test]
fn account_data_is_kept_and_synced() {
    let server = Server::start();
    let alice = server.user("alice");
    let room = alice.create_room(&json!({}));
    let global = format!("/v3/user/{}/account_data/org.example.colour", encode(&alice.id));
    let local = format!("/v3/user/{}/rooms/{}/account_data/org.example.colour", encode(&alice.id), encode(&room));
    alice.get(&global).refused(404, "M_NOT_FOUND");
    alice.get(&local).refused(404, "M_NOT_FOUND");
    let since = alice.sync_token();
    alice.put(&global, &json!({"is": "green"})).ok();
    alice.put(&local, &json!({"is": "blue"})).ok();
    assert_eq!(alice.get(&global).ok(), json!({"is": "green"}));
    assert_eq!(alice.get(&local).ok(), json!({"is": "blue"}));
    let expected = |colour: &str| json!({"type": "org.example.colour", "content": {"is": colour}});
    let has = |events: &Value, colour: &str| events.as_array().is_some_and(|events| events.contains(&expected(colour)));
    for sync in [alice.sync(&since, ""), alice.sync("", "")] {
        assert!(has(&sync["account_data"]["events"], "green"), "{sync}");
        assert!(has(&sync["rooms"]["join"][&room]["account_data"]["events"], "blue"), "{sync}");
    }
    let after = alice.sync(&next_batch(&alice.sync(&since, "")), "");
    assert!(!has(&after["account_data"]["events"], "green"), "once is enough: {after}");
}

#[test]
fn account_data_is_private() {
    let server = Server::start();
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let path = format!("/v3/user/{}/account_data/org.example.colour", encode(&alice.id));
    alice.put(&path, &json!({"is": "green"})).ok();
    bob.get(&path).refused(403, "M_FORBIDDEN");
    bob.put(&path, &json!({"is": "red"})).refused(403, "M_FORBIDDEN");
    let filters = format!("/v3/user/{}/filter", encode(&alice.id));
    bob.post(&filters, &json!({})).refused(403, "M_FORBIDDEN");
}

#[test]
fn account_data_of_the_server_is_not_set_by_clients() {
    let server = Server::start();
    let alice = server.user("alice");
    for event_type in ["m.fully_read", "m.push_rules"] {
        let room = alice.create_room(&json!({}));
        let rooms = format!("/v3/user/{}/rooms/{}/account_data/{event_type}", encode(&alice.id), encode(&room));
        alice.put(&rooms, &json!({})).refused_as(405, &["M_BAD_JSON", "M_UNRECOGNIZED"]);
    }
}

#[test]
fn filters_are_kept_as_they_were_given() {
    let server = Server::start();
    let alice = server.user("alice");
    let path = format!("/v3/user/{}/filter", encode(&alice.id));
    let filter = json!({"room": {"timeline": {"limit": 7, "types": ["m.room.message"]}}, "event_format": "client"});
    let id = alice.post(&path, &filter).string("filter_id");
    assert!(!id.starts_with('{'), "an ID must not look like a filter");
    assert_eq!(alice.get(&format!("{path}/{id}")).ok(), filter);
    alice.get(&format!("{path}/999999")).refused(404, "M_NOT_FOUND");
    let codes = ["M_BAD_JSON", "M_INVALID_PARAM"];
    alice.post(&path, &json!({"room": {"timeline": {"limit": "many"}}})).refused_as(400, &codes);
}

#[test]
fn push_rules_have_their_defaults() {
    let server = Server::start();
    let alice = server.user("alice");
    let rules = alice.get("/v3/pushrules/").ok();
    let kinds = &rules["global"];
    let has = |kind: &str, id: &str| {
        kinds[kind].as_array().is_some_and(|rules| rules.iter().any(|rule| rule["rule_id"] == id))
    };
    for (kind, id) in [
        ("override", ".m.rule.master"),
        ("override", ".m.rule.suppress_notices"),
        ("override", ".m.rule.invite_for_me"),
        ("override", ".m.rule.is_user_mention"),
        ("underride", ".m.rule.message"),
        ("underride", ".m.rule.encrypted"),
    ] {
        assert!(has(kind, id), "{kind} {id} is missing: {rules}");
    }
    let sync = alice.sync("", "");
    let events = sync["account_data"]["events"].as_array().cloned().unwrap_or_default();
    assert!(events.iter().any(|event| event["type"] == "m.push_rules"), "a first sync has the rules: {sync}");
}
