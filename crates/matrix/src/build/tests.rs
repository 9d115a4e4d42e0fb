//! Built events against the specification's vectors and against ruma.

use proptest::prelude::*;
use ruma::{CanonicalJsonObject, signatures};

use super::{BuildError, Draft, Position, build};
use crate::{
    Pdu, RoomVersion, canonical, hash,
    keys::tests::spec_key,
    pdu, redact,
    testing::{ALICE, SERVER, TestRoom, key, public_keys, version},
    verify::{self, Verified},
};

/// The specification signs these two as room version 1.
#[test]
fn spec_vectors_for_event_hashes_and_signatures() {
    let check = |event: &str, content_hash: &str, signature: &str| {
        assert_eq!(hash::content_hash(version("1"), event.as_bytes()).expect("an event"), content_hash);
        let mut event = canonical::Object::parse(event).expect("an object");
        let mut hashes = canonical::Object::default();
        hashes.insert("sha256", canonical::Tree::String(content_hash.into()));
        event.insert("hashes", canonical::Tree::Object(hashes));
        redact::redact_object(version("1"), &mut event);
        let mut text = String::new();
        event.write_without(&mut text, &["signatures", "unsigned"]);
        assert_eq!(spec_key().sign_base64(text.as_bytes()), signature);
    };
    check(
        r#"{"room_id":"!x:domain","sender":"@a:domain","origin":"domain","origin_server_ts":1000000,"signatures":{},
            "hashes":{},"type":"X","content":{},"prev_events":[],"auth_events":[],"depth":3,"unsigned":{"age_ts":1000000}}"#,
        "5jM4wQpv6lnBo7CLIghJuHdW+s2CMBJPUOGOC89ncos",
        "KxwGjPSDEtvnFgU00fwFz+l6d2pJM6XBIaMEn81SXPTRl16AqLAYqfIReFGZlHi5KLjAWbOoMszkwsQma+lYAg",
    );
    check(
        r#"{"content":{"body":"Here is the message content"},"event_id":"$0:domain","origin":"domain",
            "origin_server_ts":1000000,"type":"m.room.message","room_id":"!r:domain","sender":"@u:domain",
            "signatures":{},"unsigned":{"age_ts":1000000}}"#,
        "onLKD1bGljeBWQhWZ1kaP9SorVmRQNdN5aM2JYU2n/g",
        "Wm+VzmOUOz08Ds+0NTWb1d4CZrVsJSikkeRxh6aCcUwu6pNC78FunoD7KNWzqFn241eYHYMGCA5McEiVPdhzBA",
    );
}

/// What ruma and our own second path say about a built event.
fn cross_check(version: &'static RoomVersion, built: &super::BuiltEvent) {
    let object: CanonicalJsonObject = serde_json::from_slice(&built.json).expect("canonical JSON");
    let text = serde_json::to_string(&object).expect("serialises");
    assert_eq!(text.as_bytes(), built.json, "the bytes are canonical");
    if !version.event_id_in_event() {
        let hash = signatures::reference_hash(&object, version.rules()).expect("hashes");
        assert_eq!(built.event_id, format!("${hash}"));
    }
    assert_eq!(pdu::event_id(version, &built.json).expect("an event"), built.event_id);
    let verified = verify::verify_event(version, &built.json, &public_keys()).expect("verifies");
    assert_eq!(verified, Verified::Whole);
    assert!(verify::content_hash_matches(version, &built.json).expect("an event"));
    Pdu::parse(version, &built.event_id, &built.room_id, built.json.as_slice()).expect("parses");
}

#[test]
fn every_version_verifies_with_ruma() {
    for version in RoomVersion::supported() {
        let mut room = TestRoom::new(version.id());
        let redacts = room.head.clone().expect("the room has events");
        for (event_type, state_key, content, redacts) in [
            ("m.room.message", None, r#"{"body":"hi \u0007 ☃","msgtype":"m.text","n":-0}"#, None),
            ("m.room.redaction", None, r#"{"reason":"spam"}"#, Some(redacts.as_str())),
            ("m.room.member", Some(ALICE), r#"{"membership":"join","displayname":"A","reason":"x"}"#, None),
            ("m.room.join_rules", Some(""), r#"{"join_rule":"restricted","allow":[],"x":1}"#, None),
            ("m.room.power_levels", Some(""), r#"{"users":{},"invite":1,"notifications":{"room":1}}"#, None),
            ("m.room.topic", Some("k\"ey\n"), r#"{"topic":"t"}"#, None),
        ] {
            let built = room.build(&Draft { sender: ALICE, event_type, state_key, content, redacts });
            cross_check(version, &built);
            let pdu = Pdu::parse(version, &built.event_id, &built.room_id, built.json).expect("parses");
            assert_eq!(pdu.redacts.as_ref().map(|id| id.as_str()), redacts, "version {}", version.id());
        }
        for event in room.events.values() {
            let built = super::BuiltEvent {
                event_id: event.event_id.to_string(),
                room_id: event.room_id.to_string(),
                json: event.json().to_vec(),
            };
            cross_check(version, &built);
        }
    }
}

#[test]
fn version_12_create_names_its_room() {
    let room = TestRoom::empty("12", "{}");
    let create = room.events.values().next().expect("the create event");
    assert_eq!(create.room_id.as_str()[1..], create.event_id.as_str()[1..]);
    assert!(!std::str::from_utf8(create.json()).expect("UTF-8").contains("room_id"));
    assert_eq!(pdu::create_event_id_of_room(create.room_id.as_str()).as_deref(), Some(create.event_id.as_str()));
}

const MESSAGE: Draft<'static> =
    Draft { sender: ALICE, event_type: "m.room.message", state_key: None, content: "{}", redacts: None };
const PLACE: Position<'static> = Position {
    room_id: Some("!room:x.org"),
    prev_events: &[],
    auth_events: &[],
    depth: 1,
    origin_server_ts: 1,
    event_id: None,
    reference_hashes: &[],
};

fn build_11(draft: &Draft<'_>, position: &Position<'_>) -> Result<super::BuiltEvent, BuildError> {
    build(version("11"), draft, position, SERVER, &key())
}

#[test]
fn sizes_are_bytes_and_exact() {
    let empty = build_11(&Draft { content: r#"{"body":""}"#, ..MESSAGE }, &PLACE).expect("builds").json.len();
    let with_body = |bytes: usize| format!(r#"{{"body":"{}"}}"#, "a".repeat(bytes));
    let largest = with_body(65_536 - empty);
    assert_eq!(build_11(&Draft { content: &largest, ..MESSAGE }, &PLACE).expect("fits").json.len(), 65_536);
    let over = with_body(65_537 - empty);
    assert!(matches!(build_11(&Draft { content: &over, ..MESSAGE }, &PLACE), Err(BuildError::TooLarge(65_537))));

    let key_255 = "é".repeat(127) + "a";
    build_11(&Draft { state_key: Some(&key_255), ..MESSAGE }, &PLACE).expect("255 bytes fit");
    let key_256 = "é".repeat(128);
    let error = build_11(&Draft { state_key: Some(&key_256), ..MESSAGE }, &PLACE).expect_err("256 bytes");
    assert!(matches!(error, BuildError::TooLong { field: "state_key", length: 256, max: 255 }));
    let kind = "a".repeat(256);
    build_11(&Draft { event_type: &kind, ..MESSAGE }, &PLACE).expect_err("type too long");
}

#[test]
fn reference_counts_and_depth() {
    let ids = ["$a"; 21];
    build_11(&MESSAGE, &Position { prev_events: &ids[..20], auth_events: &ids[..10], ..PLACE }).expect("within limits");
    build_11(&MESSAGE, &Position { prev_events: &ids, ..PLACE }).expect_err("21 previous events");
    build_11(&MESSAGE, &Position { auth_events: &ids[..11], ..PLACE }).expect_err("11 auth events");
    let built = build_11(&MESSAGE, &Position { depth: u64::MAX, ..PLACE }).expect("capped");
    let text = String::from_utf8(built.json).expect("UTF-8");
    assert!(text.contains("\"depth\":9007199254740991,"), "{text}");
}

#[test]
fn malformed_drafts_are_refused() {
    for content in ["[]", "7", "{", r#"{"a":1.5}"#, r#"{"a":9007199254740992}"#] {
        let result = build_11(&Draft { content, ..MESSAGE }, &PLACE);
        assert!(matches!(result, Err(BuildError::Content(_))), "{content}: {result:?}");
    }
    build_11(&Draft { sender: "alice", ..MESSAGE }, &PLACE).expect_err("no user ID");
    build_11(&Draft { redacts: Some("nothing"), ..MESSAGE }, &PLACE).expect_err("no event ID");
    build_11(&MESSAGE, &Position { room_id: None, ..PLACE }).expect_err("no room");
    build_11(&MESSAGE, &Position { event_id: Some("$own:x.org"), ..PLACE }).expect_err("version 11 derives IDs");
    let create = Draft { event_type: "m.room.create", state_key: Some(""), ..MESSAGE };
    build(version("12"), &create, &PLACE, SERVER, &key()).expect_err("version 12 derives the room");
    build(version("1"), &MESSAGE, &PLACE, SERVER, &key()).expect_err("version 1 needs an ID");
}

const TYPES: [&str; 9] = [
    "m.room.member",
    "m.room.create",
    "m.room.join_rules",
    "m.room.power_levels",
    "m.room.history_visibility",
    "m.room.redaction",
    "m.room.aliases",
    "m.room.server_acl",
    "m.room.message",
];
const KEYS: [&str; 26] = [
    "membership",
    "join_authorised_via_users_server",
    "third_party_invite",
    "signed",
    "creator",
    "join_rule",
    "allow",
    "ban",
    "events",
    "events_default",
    "kick",
    "redact",
    "state_default",
    "users",
    "users_default",
    "invite",
    "history_visibility",
    "redacts",
    "aliases",
    "content",
    "room_version",
    "origin",
    "prev_state",
    "unsigned",
    "notifications",
    "event_id",
];

fn any_object() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![any::<i32>().prop_map(serde_json::Value::from), ".{0,6}".prop_map(serde_json::Value::from)];
    let key = prop::sample::select(&KEYS[..]).prop_map(str::to_owned);
    let object = move |value: BoxedStrategy<serde_json::Value>| {
        prop::collection::vec((key.clone(), value), 0..8).prop_map(|entries| entries.into_iter().collect()).boxed()
    };
    let inner = object(leaf.boxed());
    object(prop_oneof![inner, any::<i32>().prop_map(serde_json::Value::from)].boxed())
}

fn with_hashed_ids() -> Vec<&'static RoomVersion> {
    RoomVersion::supported().filter(|version| !version.event_id_in_event()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn redaction_equals_ruma(
        version in prop::sample::select(RoomVersion::supported().collect::<Vec<_>>()),
        event_type in prop::sample::select(&TYPES[..]),
        content in any_object(),
        top in any_object(),
    ) {
        let mut event = top;
        event["type"] = event_type.into();
        event["content"] = content;
        let text = event.to_string();
        let ours = redact::redact(version, text.as_bytes()).expect("redacts");
        let object: CanonicalJsonObject = serde_json::from_str(&text).expect("canonical");
        let theirs = ruma::canonical_json::redact(object.clone(), &version.rules().redaction, None).expect("redacts");
        prop_assert_eq!(String::from_utf8(ours).expect("UTF-8"), serde_json::to_string(&theirs).expect("serialises"));
        prop_assert_eq!(
            hash::reference_hash(version, text.as_bytes()).expect("hashes"),
            signatures::reference_hash(&object, version.rules()).expect("hashes")
        );
    }

    #[test]
    fn built_events_verify_with_ruma(
        version in prop::sample::select(with_hashed_ids()),
        event_type in prop::sample::select(&TYPES[..]),
        state_key in prop::option::of(".{0,20}"),
        content in any_object(),
        ts in 0_u64..=9_007_199_254_740_991,
        depth in any::<u32>(),
    ) {
        prop_assume!(event_type != "m.room.member", "ruma looks into member contents for required signatures");
        let makes_room = version.create_is_room_id() && event_type == "m.room.create" && state_key.as_deref() == Some("");
        let draft = Draft { event_type, state_key: state_key.as_deref(), content: &content.to_string(), ..MESSAGE };
        let room_id = if version.create_is_room_id() { "!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM" } else { "!room:x.org" };
        let position = Position {
            room_id: (!makes_room).then_some(room_id),
            prev_events: &["$acR1l0raoZnm60CBwAVgqbZqoO_mYU81xysh1u7XcJk"],
            auth_events: &["$acR1l0raoZnm60CBwAVgqbZqoO_mYU81xysh1u7XcJk", "$b"],
            depth: u64::from(depth),
            origin_server_ts: ts,
            ..PLACE
        };
        cross_check(version, &build(version, &draft, &position, SERVER, &key()).expect("builds"));
    }
}
