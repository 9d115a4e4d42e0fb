//! The client format, checked by parsing it back.

use serde_json::{Value, json};

use super::{Unsigned, render, stripped};
use crate::{
    Pdu,
    build::Draft,
    testing::{ALICE, TestRoom},
};

fn rendered(pdu: &Pdu, with_room_id: bool, unsigned: &Unsigned<'_>) -> Value {
    serde_json::from_str(&render(pdu, with_room_id, unsigned)).expect("JSON")
}

#[test]
fn exactly_the_fields_of_the_client_format() {
    let mut room = TestRoom::new("11");
    let pdu = room.send(ALICE, "m.room.message", None, r#"{"body":"\"x\""}"#).expect("allowed");
    let expected = json!({
        "content": {"body": "\"x\""}, "event_id": pdu.event_id, "origin_server_ts": pdu.origin_server_ts,
        "sender": ALICE, "type": "m.room.message",
    });
    assert_eq!(rendered(&pdu, false, &Unsigned::default()), expected);
    let topic = room.state(ALICE, "m.room.topic", "", r#"{"topic":"t"}"#);
    let value = rendered(&topic, true, &Unsigned::default());
    assert_eq!((&value["room_id"], &value["state_key"]), (&json!("!room:x.org"), &json!("")));
    assert_eq!(
        serde_json::from_str::<Value>(&stripped(&topic)).expect("JSON"),
        json!({"content": {"topic": "t"}, "sender": ALICE, "state_key": "", "type": "m.room.topic"})
    );
}

#[test]
fn unsigned_holds_what_is_given() {
    let mut room = TestRoom::new("11");
    let pdu = room.send(ALICE, "m.room.message", None, "{}").expect("allowed");
    let only_age = rendered(&pdu, false, &Unsigned { age: Some(-5), ..Unsigned::default() });
    assert_eq!(only_age["unsigned"], json!({"age": -5}));
    let only_text = rendered(&pdu, false, &Unsigned { transaction_id: Some("t\"1"), ..Unsigned::default() });
    assert_eq!(only_text["unsigned"], json!({"transaction_id": "t\"1"}));
    let unsigned = Unsigned {
        age: Some(1),
        transaction_id: Some("t"),
        prev_content: Some("{\"a\":1}"),
        prev_sender: Some("@b:x"),
        replaces_state: Some("$r"),
        redacted_because: Some("{\"type\":\"m.room.redaction\"}"),
        membership: Some("join"),
        relations: Some("{}"),
        invite_room_state: Some("[]"),
        knock_room_state: Some("[1]"),
    };
    assert_eq!(
        rendered(&pdu, false, &unsigned)["unsigned"],
        json!({
            "age": 1, "transaction_id": "t", "prev_content": {"a": 1}, "prev_sender": "@b:x", "replaces_state": "$r",
            "redacted_because": {"type": "m.room.redaction"}, "membership": "join", "m.relations": {},
            "invite_room_state": [], "knock_room_state": [1],
        })
    );
}

#[test]
fn redactions_name_their_target_in_both_places_in_every_version() {
    for version in crate::RoomVersion::supported() {
        let mut room = TestRoom::new(version.id());
        let target = room.head.clone().expect("a head");
        let built = room.build(&Draft {
            sender: ALICE,
            event_type: "m.room.redaction",
            state_key: None,
            content: r#"{"reason":"spam"}"#,
            redacts: Some(&target),
        });
        let pdu = Pdu::parse(version, &built.event_id, &built.room_id, built.json).expect("parses");
        let value = rendered(&pdu, false, &Unsigned::default());
        assert_eq!(value["redacts"], json!(target));
        assert_eq!(value["content"], json!({"reason": "spam", "redacts": target}));
    }
}
