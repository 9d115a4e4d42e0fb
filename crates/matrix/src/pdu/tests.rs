//! Parsing: what is found, what is refused.

use serde_json::{Value, json};

use super::{Pdu, PduError};
use crate::testing::{ALICE, TestRoom, version};

const ID: &str = "$acR1l0raoZnm60CBwAVgqbZqoO_mYU81xysh1u7XcJk";

fn event() -> Value {
    json!({
        "auth_events": ["$a", "$b"], "content": {"body": "x\"{", "n": [1]}, "depth": 5, "hashes": {"sha256": "h"},
        "origin_server_ts": 1_700_000_000_000_u64, "prev_events": ["$c"], "room_id": "!r:x.org",
        "sender": ALICE, "signatures": {}, "type": "m.room.message",
    })
}

fn parse(version_id: &str, value: &Value) -> Result<Pdu, PduError> {
    Pdu::parse(version(version_id), ID, "!r:x.org", value.to_string().into_bytes())
}

#[derive(serde::Deserialize)]
struct Body {
    body: String,
}

#[test]
fn fields_and_exact_bytes() {
    let pdu = parse("11", &event()).expect("parses");
    assert_eq!(pdu.event_id.as_str(), ID);
    assert_eq!(pdu.sender.as_str(), ALICE);
    assert_eq!((pdu.depth, pdu.origin_server_ts), (5, 1_700_000_000_000));
    assert_eq!(pdu.auth_events.iter().map(|id| id.as_str()).collect::<Vec<_>>(), ["$a", "$b"]);
    assert_eq!(pdu.prev_events.iter().map(|id| id.as_str()).collect::<Vec<_>>(), ["$c"]);
    assert_eq!(pdu.content_str(), r#"{"body":"x\"{","n":[1]}"#);
    assert_eq!(pdu.json(), event().to_string().as_bytes());
    assert!(!pdu.is_state() && !pdu.rejected && pdu.redacts.is_none());
    assert_eq!(pdu.content::<Body>().expect("a body").body, "x\"{");
}

#[test]
fn pairs_of_versions_1_and_2() {
    let mut value = event();
    value["auth_events"] = json!([["$a:x.org", {"sha256": "h"}], ["$b:x.org", {}]]);
    value["event_id"] = ID.into();
    let pdu = parse("1", &value).expect("parses");
    assert_eq!(pdu.auth_events.iter().map(|id| id.as_str()).collect::<Vec<_>>(), ["$a:x.org", "$b:x.org"]);
    value["event_id"] = "$other:x.org".into();
    assert!(matches!(parse("1", &value), Err(PduError::Mismatch { field: "event_id", .. })));
}

#[test]
fn redacts_is_where_the_version_puts_it() {
    let mut value = event();
    value["type"] = "m.room.redaction".into();
    value["redacts"] = "$top".into();
    value["content"] = json!({"redacts": "$content"});
    let redacts = |id: &str, value: &Value| parse(id, value).expect("parses").redacts.map(|id| id.to_string());
    assert_eq!(redacts("10", &value).as_deref(), Some("$top"));
    assert_eq!(redacts("11", &value).as_deref(), Some("$content"));
    value["content"]["redacts"] = 7.into();
    assert_eq!(redacts("11", &value), None);
    value["type"] = "m.room.message".into();
    assert_eq!(redacts("10", &value), None);
}

#[test]
fn limits_and_shapes() {
    let refused = |version_id: &str, key: &str, value: Value| {
        let mut event = event();
        event[key] = value;
        parse(version_id, &event).expect_err(key);
    };
    refused("11", "type", "a".repeat(256).into());
    refused("11", "state_key", "é".repeat(128).into());
    refused("11", "state_key", Value::Null);
    refused("11", "sender", format!("@{}:x.org", "a".repeat(250)).into());
    refused("11", "sender", "alice".into());
    refused("11", "room_id", "!other:x.org".into());
    refused("11", "prev_events", vec!["$a"; 21].into());
    refused("11", "auth_events", vec!["$a"; 11].into());
    refused("11", "auth_events", json!([7]));
    refused("11", "auth_events", json!([[]]));
    refused("11", "content", json!([]));
    refused("11", "depth", (-1).into());
    refused("11", "depth", (1_u64 << 53).into());
    refused("5", "depth", (1_u64 << 63).into());
    refused("11", "origin_server_ts", (1_u64 << 53).into());
    refused("11", "content", json!({"body": "a".repeat(65_536)}));
    for key in ["room_id", "sender", "type", "content", "depth", "prev_events", "auth_events", "origin_server_ts"] {
        let mut event = event();
        event.as_object_mut().expect("an object").remove(key);
        parse("11", &event).expect_err(key);
    }
    let mut deep = event();
    deep["depth"] = (1_u64 << 53).into();
    assert_eq!(parse("5", &deep).expect("version 5 allows it").depth, 1 << 53);
}

/// IDS-03: nobody gets such an ID any more, and events by those who have one are as good as any.
#[test]
fn historical_user_ids_are_senders_like_others() {
    for sender in ["@UPPER:x.org", "@:x.org", "@žluť 🦀!:x.org", "@a=b/c+d:x.org:8448"] {
        let mut event = event();
        event["sender"] = sender.into();
        assert_eq!(parse("11", &event).expect(sender).sender.as_str(), sender);
    }
}

/// IDS-09: lengths are counted in bytes, and what is just within them passes.
#[test]
fn the_longest_identifiers_pass() {
    let mut event = event();
    event["type"] = "é".repeat(127).into();
    event["state_key"] = "a".repeat(255).into();
    event["sender"] = format!("@{}:x.org", "a".repeat(248)).into();
    event["prev_events"] = vec!["$a"; 20].into();
    event["auth_events"] = vec!["$a"; 10].into();
    parse("11", &event).expect("within all limits");
}

#[test]
fn a_field_given_twice_is_refused() {
    let text = event().to_string().replacen("\"depth\":5", "\"depth\":5,\"sender\":\"@eve:x.org\"", 1);
    Pdu::parse(version("11"), ID, "!r:x.org", text.into_bytes()).expect_err("two senders");
    Pdu::parse(version("11"), ID, "!r:x.org", *b"\xff{}").expect_err("not UTF-8");
}

#[test]
fn create_of_version_12_has_a_room_all_the_same() {
    use ruma::state_res::Event;
    let room = TestRoom::empty("12", "{}");
    let create = room.events.values().next().expect("create");
    assert_eq!(Some(create.room_id.as_str()), room.room_id.as_deref());
    assert_eq!(Event::room_id(&**create), None, "the rules see that the event names no room");
}
