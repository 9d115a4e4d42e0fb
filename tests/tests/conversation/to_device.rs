//! Messages from device to device: delivered in order, kept until they are acknowledged, then gone.

use engram_benches::http::encode;
use engram_tests::user::next_batch;
use engram_tests::{Server, User, unique};
use serde_json::{Value, json};

fn send(from: &User, to: &User, device: &str, content: &Value) {
    let path = format!("/v3/sendToDevice/org.example.note/t{}", unique());
    from.put(&path, &json!({"messages": {&to.id: {device: content}}})).ok();
}

fn received(sync: &Value) -> Vec<Value> {
    sync["to_device"]["events"].as_array().cloned().unwrap_or_default()
}

#[test]
fn messages_arrive_in_order_until_acknowledged() {
    let server = Server::start();
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let since = bob.sync_token();
    for number in 0..10 {
        send(&alice, &bob, &bob.device, &json!({"number": number}));
    }
    let sync = bob.sync_until(&since, "all notes", |sync| received(sync).len() == 10);
    let expected: Vec<Value> = (0..10)
        .map(|number| json!({"type": "org.example.note", "sender": alice.id, "content": {"number": number}}))
        .collect();
    let shown = |sync: &Value| {
        received(sync)
            .into_iter()
            .map(|event| json!({"type": event["type"], "sender": event["sender"], "content": event["content"]}))
            .collect::<Vec<_>>()
    };
    assert_eq!(shown(&sync), expected);
    assert_eq!(shown(&bob.sync(&since, "")), expected, "not acknowledged: delivered again");
    let after = bob.sync(&next_batch(&sync), "");
    assert!(received(&after).is_empty(), "acknowledged: gone: {after}");
}

#[test]
fn a_star_means_every_device() {
    let server = Server::start();
    let (alice, desk) = (server.user("alice"), server.user("bob"));
    let phone = desk.log_in();
    let since = [desk.sync_token(), phone.sync_token()];
    send(&alice, &desk, "*", &json!({"to": "all"}));
    send(&alice, &desk, &phone.device, &json!({"to": "phone"}));
    desk.sync_until(&since[0], "one note", |sync| received(sync).len() == 1);
    phone.sync_until(&since[1], "two notes", |sync| received(sync).len() == 2);
}

#[test]
fn a_transaction_is_done_once() {
    let server = Server::start();
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let since = bob.sync_token();
    for _ in 0..3 {
        alice
            .put("/v3/sendToDevice/org.example.note/same", &json!({"messages": {&bob.id: {&bob.device: {"n": 1}}}}))
            .ok();
    }
    send(&alice, &bob, &bob.device, &json!({"n": 2}));
    let sync = bob.sync_until(&since, "the last note", |sync| !received(sync).is_empty());
    let numbers: Vec<Value> = received(&sync).iter().map(|event| event["content"]["n"].clone()).collect();
    assert_eq!(numbers, [json!(1), json!(2)]);
}

#[test]
fn a_waiting_sync_is_woken_by_a_message() {
    let server = Server::start();
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let since = bob.sync_token();
    let waiting = std::thread::spawn({
        let bob = bob.clone();
        let quiet = encode(&json!({"presence": {"not_types": ["*"]}}).to_string());
        move || bob.get(&format!("/v3/sync?timeout=60000&filter={quiet}&since={}", encode(&since))).ok()
    });
    send(&alice, &bob, &bob.device, &json!({"n": 1}));
    assert_eq!(received(&waiting.join().expect("the sync returns")).len(), 1);
}

#[test]
fn messages_to_nobody_are_accepted_and_malformed_ones_are_not() {
    let server = Server::start();
    let alice = server.user("alice");
    let nobody = format!("@nobody:{}", alice.server_name());
    let put = |body: Value| alice.put(&format!("/v3/sendToDevice/org.example.note/t{}", unique()), &body);
    put(json!({"messages": {nobody: {"DEVICE": {}}}})).ok();
    let codes = ["M_BAD_JSON", "M_MISSING_PARAM", "M_INVALID_PARAM"];
    put(json!({})).refused_as(400, &codes);
    put(json!({"messages": []})).refused_as(400, &codes);
}
