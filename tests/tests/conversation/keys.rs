//! Keys of devices for end-to-end encryption. The server checks shape and ownership, not mathematics.

use engram_benches::http::encode;
use engram_tests::user::next_batch;
use engram_tests::{Server, User};
use serde_json::{Value, json};

const KEY: &str = "qPZVK4h2Kpo1eBG9XZPf3YQJq6l9x0WmNk7c2fRr1Aw";

fn device_keys(user: &User) -> Value {
    let (user_id, device) = (&user.id, &user.device);
    json!({
        "user_id": user_id, "device_id": device,
        "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
        "keys": {format!("curve25519:{device}"): KEY, format!("ed25519:{device}"): KEY},
        "signatures": {user_id: {format!("ed25519:{device}"): "c2lnbmF0dXJl"}},
    })
}

fn one_time_key(text: &str) -> Value {
    json!({"key": format!("{text}{}", &KEY[text.len()..]), "signatures": {}})
}

fn upload(user: &User, body: &Value) -> Value {
    user.post("/v3/keys/upload", body).ok()
}

fn claim(user: &User, from: &User) -> Value {
    let wanted = json!({"one_time_keys": {&from.id: {&from.device: "signed_curve25519"}}});
    let claimed = user.post("/v3/keys/claim", &wanted).ok();
    claimed["one_time_keys"][&from.id][&from.device].clone()
}

#[test]
fn device_keys_are_found_by_everybody() {
    let server = Server::start();
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    upload(&alice, &json!({"device_keys": device_keys(&alice)}));
    let query = |devices: &[&str]| {
        let found = bob.post("/v3/keys/query", &json!({"device_keys": {&alice.id: devices}})).ok();
        found["device_keys"][&alice.id].clone()
    };
    let found = query(&[]);
    assert_eq!(found[&alice.device]["keys"], device_keys(&alice)["keys"]);
    assert_eq!(found[&alice.device]["signatures"], device_keys(&alice)["signatures"]);
    assert_eq!(query(&[&alice.device]), found);
    assert!(query(&["ANOTHER"]).as_object().is_none_or(serde_json::Map::is_empty));
}

#[test]
fn nobody_has_no_keys() {
    let server = Server::start();
    let alice = server.user("alice");
    let nobody = format!("@nobody:{}", alice.server_name());
    let found = alice.post("/v3/keys/query", &json!({"device_keys": {&nobody: []}})).ok();
    assert!(found["device_keys"][&nobody].as_object().is_none_or(serde_json::Map::is_empty), "{found}");
}

#[test]
fn keys_of_another_device_are_refused() {
    let server = Server::start();
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let codes = ["M_INVALID_PARAM", "M_BAD_JSON", "M_UNKNOWN", "M_FORBIDDEN"];
    let reply = alice.post("/v3/keys/upload", &json!({"device_keys": device_keys(&bob)}));
    assert!([400, 403].contains(&reply.status), "{reply:?}");
    alice.post("/v3/keys/upload", &json!({"one_time_keys": "none"})).refused_as(400, &codes);
    let found = alice.post("/v3/keys/query", &json!({"device_keys": {&bob.id: []}})).ok();
    assert!(found["device_keys"][&bob.id].as_object().is_none_or(serde_json::Map::is_empty), "{found}");
}

#[test]
fn a_one_time_key_is_given_away_once() {
    let server = Server::start();
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let keys: serde_json::Map<String, Value> =
        (0..5).map(|number| (format!("signed_curve25519:K{number}"), one_time_key(&number.to_string()))).collect();
    let counts = upload(&alice, &json!({"device_keys": device_keys(&alice), "one_time_keys": keys}));
    assert_eq!(counts["one_time_key_counts"]["signed_curve25519"], 5);
    let mut claimed = Vec::new();
    for _ in 0..5 {
        let key = claim(&bob, &alice);
        let (id, value) = key.as_object().and_then(|keys| keys.iter().next()).expect("a key");
        assert_eq!(value["key"], keys[id]["key"]);
        claimed.push(id.clone());
    }
    claimed.sort();
    claimed.dedup();
    assert_eq!(claimed.len(), 5, "five different keys");
    assert!(claim(&bob, &alice).as_object().is_none_or(serde_json::Map::is_empty), "there is no sixth");
}

#[test]
fn claims_at_the_same_time_get_different_keys() {
    let server = Server::start();
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let keys: serde_json::Map<String, Value> =
        (10..50).map(|number| (format!("signed_curve25519:K{number}"), one_time_key(&number.to_string()))).collect();
    upload(&alice, &json!({"device_keys": device_keys(&alice), "one_time_keys": keys}));
    let claimants: Vec<_> = (0..8)
        .map(|_| {
            let (alice, bob) = (alice.clone(), bob.clone());
            std::thread::spawn(move || (0..5).map(|_| claim(&bob, &alice).to_string()).collect::<Vec<_>>())
        })
        .collect();
    let mut claimed: Vec<String> = claimants.into_iter().flat_map(|thread| thread.join().expect("claims")).collect();
    claimed.sort();
    claimed.dedup();
    assert_eq!(claimed.len(), 40, "every claim got a key of its own");
}

#[test]
fn the_fallback_key_stays() {
    let server = Server::start();
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let mut fallback = one_time_key("fallback");
    fallback["fallback"] = json!(true);
    upload(&alice, &json!({"device_keys": device_keys(&alice), "fallback_keys": {"signed_curve25519:F": fallback}}));
    let sync = alice.sync("", "");
    assert_eq!(sync["device_unused_fallback_key_types"], json!(["signed_curve25519"]), "{sync}");
    for _ in 0..2 {
        assert_eq!(claim(&bob, &alice)["signed_curve25519:F"]["key"], fallback["key"]);
    }
    assert_eq!(alice.sync("", "")["device_unused_fallback_key_types"], json!([]));
}

#[test]
fn a_key_id_is_not_used_for_two_keys() {
    let server = Server::start();
    let alice = server.user("alice");
    let body = |text: &str| json!({"one_time_keys": {"signed_curve25519:A": one_time_key(text)}});
    upload(&alice, &body("one"));
    assert_eq!(upload(&alice, &body("one"))["one_time_key_counts"]["signed_curve25519"], 1, "the same again is fine");
    alice.post("/v3/keys/upload", &body("two")).refused_as(400, &["M_INVALID_PARAM", "M_UNKNOWN"]);
}

#[test]
fn counts_are_in_every_sync() {
    let server = Server::start();
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let since = alice.sync_token();
    upload(
        &alice,
        &json!({"device_keys": device_keys(&alice), "one_time_keys": {"signed_curve25519:A": one_time_key("a")}}),
    );
    let sync = alice.sync(&since, "");
    assert_eq!(sync["device_one_time_keys_count"]["signed_curve25519"], 1, "{sync}");
    claim(&bob, &alice);
    let sync = alice.sync(&next_batch(&sync), "");
    assert_eq!(sync["device_one_time_keys_count"]["signed_curve25519"].as_u64().unwrap_or(0), 0, "{sync}");
}

#[test]
fn those_who_share_a_room_hear_of_new_devices() {
    let server = Server::start();
    let (alice, bob, carol) = (server.user("alice"), server.user("bob"), server.user("carol"));
    let room = alice.create_room(&json!({"preset": "public_chat"}));
    bob.join(&room).ok();
    let (bobs, carols) = (bob.sync_token(), carol.sync_token());
    upload(&alice, &json!({"device_keys": device_keys(&alice)}));
    let changed =
        |sync: &Value| sync["device_lists"]["changed"].as_array().is_some_and(|users| users.contains(&json!(alice.id)));
    bob.sync_until(&bobs, "Alice's device is news to Bob", changed);
    assert!(!changed(&carol.sync(&carols, "")), "Carol shares no room with Alice");
    let since = bob.sync_token();
    bob.leave(&room).ok();
    let sync = bob.sync(&since, "");
    assert_eq!(sync["device_lists"]["left"], json!([alice.id]), "{sync}");
}

#[test]
fn keys_go_with_their_device() {
    let server = Server::start();
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    upload(&alice, &json!({"device_keys": device_keys(&alice)}));
    alice.post("/v3/logout", &json!({})).ok();
    let found = bob.post("/v3/keys/query", &json!({"device_keys": {&alice.id: []}})).ok();
    assert!(found["device_keys"][&alice.id].as_object().is_none_or(serde_json::Map::is_empty), "{found}");
    bob.get(&format!("/v3/profile/{}", encode(&alice.id)));
}
