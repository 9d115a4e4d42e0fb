//! What concerns devices.

use std::sync::Arc;

use engram_log::Input;
use engram_log_format::v1;
use engram_rooms::writer::Change;
use serde_json::{Value, json};

use super::rig::{ALICE, BOB, CAROL, LONG, Rig, next, request};
use crate::SyncRequest;

fn send_to_device(rig: &Rig, count: usize) {
    for number in 0..count {
        rig.record(v1::ToDeviceSent {
            sender: ALICE.to_owned(),
            event_type: "test".to_owned(),
            messages: vec![v1::ToDeviceMessage {
                user_id: BOB.to_owned(),
                device_id: "DEVICE".to_owned(),
                content: json!({"number": number}).to_string().into_bytes(),
            }],
            transaction: None,
        });
    }
}

#[tokio::test]
async fn messages_to_a_device_come_until_acknowledged() {
    let rig = Rig::new();
    let before = rig.sync(BOB, None).await;
    send_to_device(&rig, 1);
    let first = rig.sync(BOB, Some(next(&before))).await;
    assert_eq!(first["to_device"]["events"], json!([{"content": {"number": 0}, "sender": ALICE, "type": "test"}]));
    let repeated = rig.sync(BOB, Some(next(&before))).await;
    assert_eq!(repeated["to_device"], first["to_device"], "SYNC-18");
    assert!(rig.effects.received.lock().is_empty());
    let after = rig.sync(BOB, Some(next(&first))).await;
    assert_eq!(after.get("to_device"), None);
    let received = rig.effects.received.lock().clone();
    assert_eq!(received.len(), 1);
    assert_eq!((received[0].0.as_str(), received[0].1.as_str()), (BOB, "DEVICE"));
}

#[tokio::test]
async fn a_long_queue_comes_in_parts_and_nothing_is_lost() {
    let rig = Rig::new();
    let before = rig.sync(BOB, None).await;
    send_to_device(&rig, 250);
    let mut since = next(&before).to_owned();
    let mut numbers = Vec::new();
    for _ in 0..3 {
        let answer = rig.sync(BOB, Some(&since)).await;
        let events = answer["to_device"]["events"].as_array().cloned().unwrap_or_default();
        numbers.extend(events.iter().filter_map(|event| event["content"]["number"].as_u64()));
        next(&answer).clone_into(&mut since);
    }
    assert_eq!(numbers, (0..250).collect::<Vec<_>>());
    assert_eq!(rig.sync(BOB, Some(&since)).await.get("to_device"), None);
}

#[tokio::test]
async fn new_keys_are_told_to_those_who_share_a_room() {
    let rig = Rig::new();
    let room = rig.room();
    let alone = rig.sync(ALICE, None).await;
    rig.join(&room, BOB);
    let together = rig.sync(ALICE, Some(next(&alone))).await;
    assert_eq!(together["device_lists"]["changed"], json!([BOB]));
    rig.record(v1::DeviceKeysUploaded {
        user_id: BOB.to_owned(),
        device_id: "DEVICE".to_owned(),
        device_keys: Some(br#"{"user_id":"@bob:test","device_id":"DEVICE","keys":{}}"#.to_vec()),
        one_time_keys: vec![v1::NamedJson { name: "signed_curve25519:A".to_owned(), json: b"{}".to_vec() }],
        fallback_keys: Vec::new(),
    });
    for rig in [&rig, &rig.restarted()] {
        let answer = rig.sync(ALICE, Some(next(&together))).await;
        assert_eq!(answer["device_lists"], json!({"changed": [BOB], "left": []}));
        let own = rig.sync(BOB, None).await;
        assert_eq!(own["device_one_time_keys_count"], json!({"signed_curve25519": 1}));
    }
}

fn upload(user_id: &str, device_id: &str, own: bool, one_time: Option<&str>, fallback: Option<&str>) -> Input {
    let named = |name: Option<&str>| {
        name.map(|name| v1::NamedJson { name: name.to_owned(), json: b"{}".to_vec() }).into_iter().collect()
    };
    let device_keys = json!({"user_id": user_id, "device_id": device_id, "keys": {}}).to_string();
    let uploaded = v1::DeviceKeysUploaded {
        user_id: user_id.to_owned(),
        device_id: device_id.to_owned(),
        device_keys: own.then(|| device_keys.into_bytes()),
        one_time_keys: named(one_time),
        fallback_keys: named(fallback),
    };
    uploaded.into()
}

fn claim(key_id: &str, fallback: bool) -> Input {
    let (user_id, device_id) = (BOB.to_owned(), "DEVICE".to_owned());
    v1::KeysClaimed { claims: vec![v1::KeyClaim { user_id, device_id, key_id: key_id.to_owned(), fallback }] }.into()
}

/// A client that is not told that its keys run out uploads no more, and nobody can begin to talk to it.
#[tokio::test]
async fn what_changes_the_keys_of_a_device_ends_its_waiting_poll() {
    let rig = Rig::new();
    let mut since = next(&rig.sync(BOB, None).await).to_owned();
    let (one, fallback) = ("signed_curve25519:A", "signed_curve25519:F");
    for (input, count, unused) in [
        (upload(BOB, "DEVICE", false, Some(one), Some(fallback)), Some(1), json!(["signed_curve25519"])),
        (claim(one, false), Some(0), json!(["signed_curve25519"])),
        (claim(fallback, true), Some(0), json!([])),
    ] {
        let (server, asked) = (Arc::clone(&rig.server), request(BOB, Some(&since)));
        let asleep = tokio::spawn(async move { server.sync(SyncRequest { timeout: LONG, ..asked }).await });
        tokio::task::yield_now().await;
        rig.record(input);
        let body = asleep.await.expect("no panic").expect("an answer");
        let answer: Value = serde_json::from_slice(&body).expect("valid");
        let left = answer["device_one_time_keys_count"]["signed_curve25519"].as_u64();
        assert_eq!(left, count, "{answer}");
        assert_eq!(answer["device_unused_fallback_key_types"], unused);
        next(&answer).clone_into(&mut since);
    }
}

#[tokio::test]
async fn the_keys_of_another_device_and_a_second_use_of_a_fallback_key_are_no_news() {
    let rig = Rig::new();
    rig.log_in(BOB, "OTHER");
    rig.record(upload(BOB, "DEVICE", false, None, Some("signed_curve25519:F")));
    rig.record(claim("signed_curve25519:F", true));
    let before = rig.sync(BOB, None).await;
    rig.record(upload(BOB, "OTHER", false, Some("signed_curve25519:B"), None));
    rig.record(claim("signed_curve25519:F", true));
    let asked = request(BOB, Some(next(&before)));
    let other = SyncRequest { device_id: "OTHER".to_owned(), ..asked.clone() };
    assert!(rig.server.sleeps(asked).await, "its own keys are as they were");
    assert!(!rig.server.sleeps(other).await, "and the other device is told of its own");
}

/// E2E-11, E2E-12: whatever happens between two tokens, both ways to ask give the same lists, now and later.
#[tokio::test]
async fn keys_changes_says_what_sync_said() {
    for seed in 1..=12_u64 {
        let rig = Rig::new();
        let rooms = [rig.room(), rig.room()];
        let mut random = seed;
        let mut below = move |count: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from((random >> 33) % count).expect("small")
        };
        let mut last = rig.sync(ALICE, None).await;
        let mut told = Vec::new();
        for _ in 0..12 {
            for _ in 0..below(4) {
                let (room, user_id) = (&rooms[below(2)], [ALICE, BOB, CAROL][below(3)]);
                match below(3) {
                    0 => _ = rig.record(upload(user_id, "DEVICE", true, None, None)),
                    1 if rig.is_in(room, user_id) && user_id != ALICE => {
                        _ = rig.change(room, user_id, user_id, Change::Leave);
                    }
                    _ if rig.is_in(room, user_id) => _ = rig.message(room, user_id, &format!("m{}", rig.log.len())),
                    _ => _ = rig.join(room, user_id),
                }
            }
            let answer = rig.sync(ALICE, Some(next(&last))).await;
            told.push((next(&last).to_owned(), next(&answer).to_owned(), answer["device_lists"].clone()));
            last = answer;
        }
        for rig in [&rig, &rig.restarted()] {
            for (from, to, lists) in &told {
                let token = |text: &str| text.parse().expect("a token");
                let asked = rig.server.device_lists(ALICE, token(from), token(to)).expect("answers");
                let list = |name: &str| lists[name].as_array().cloned().unwrap_or_default();
                assert_eq!(json!(asked.changed), json!(list("changed")), "seed {seed}, {from} to {to}");
                assert_eq!(json!(asked.left), json!(list("left")), "seed {seed}, {from} to {to}");
            }
        }
    }
}
