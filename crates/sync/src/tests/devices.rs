//! What concerns devices.

use engram_log_format::v1;
use serde_json::json;

use super::rig::{ALICE, BOB, Rig, next};

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
