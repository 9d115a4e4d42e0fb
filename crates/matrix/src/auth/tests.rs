//! The rules in a room's life, and the short check against ruma's full one.

use std::sync::Arc;

use proptest::prelude::*;
use ruma::{UserId, events::TimelineEventType, state_res};
use serde_json::{Value, json};

use super::{
    Creation, PowerLevels, StateMap, auth_types, check_dependent, check_independent, check_ordinary, is_ordinary,
};
use crate::{
    Pdu, RoomVersion,
    build::Draft,
    membership::Membership,
    testing::{ALICE, BOB, TestRoom, version},
};

const JOIN: &str = r#"{"membership":"join"}"#;

#[test]
fn a_room_in_every_version() {
    for version in RoomVersion::supported() {
        let mut room = TestRoom::new(version.id());
        room.send(BOB, "m.room.message", None, "{}").expect_err("Bob has not joined");
        room.send(ALICE, "m.room.member", Some(BOB), JOIN).expect_err("nobody joins for another");
        room.state(BOB, "m.room.member", BOB, JOIN);
        room.send(BOB, "m.room.message", None, "{}").expect("joined members may speak");
        room.send(BOB, "m.room.topic", Some(""), "{}").expect_err("state needs 50");
        room.send(BOB, "m.room.power_levels", Some(""), &json!({"users": {BOB: 100}}).to_string()).expect_err("0 < 50");
        room.state(ALICE, "m.room.member", BOB, r#"{"membership":"ban"}"#);
        room.send(BOB, "m.room.member", Some(BOB), JOIN).expect_err("banned");
        if !version.create_is_room_id() {
            room.send(ALICE, "m.room.create", Some(""), "{}").expect_err("one create event is enough");
        }
    }
}

#[test]
fn rooms_that_are_not_federated_keep_others_out() {
    let mut room = TestRoom::empty("11", r#"{"m.federate":false}"#);
    room.state(ALICE, "m.room.member", ALICE, JOIN);
    room.state(ALICE, "m.room.join_rules", "", r#"{"join_rule":"public"}"#);
    let error = room.send("@eve:other.org", "m.room.member", Some("@eve:other.org"), JOIN).expect_err("other server");
    assert!(error.reason().contains("federated"), "{error}");
    room.state(BOB, "m.room.member", BOB, JOIN);
}

#[test]
fn auth_events_are_judged_on_their_own() {
    let mut room = TestRoom::new("11");
    let message = room.make(ALICE, "m.room.message", None, "{}");
    let check = |tamper: &dyn Fn(&str) -> Option<Arc<Pdu>>| check_independent(room.version, &message, tamper);
    check(&|id| room.events.get(id).cloned()).expect("all are there");
    check(&|_| None).expect_err("none is there");
    check(&|id| room.events.get(id).map(|pdu| Arc::new((**pdu).clone().into_rejected()))).expect_err("rejected");
    let join_rules = room.state[&("m.room.join_rules".to_owned(), String::new())].clone();
    check(&|_| Some(join_rules.clone())).expect_err("join rules do not permit a message");
}

#[test]
fn create_must_name_its_version() {
    let mut room = TestRoom::empty("11", "{}");
    let create = room.state[&("m.room.create".to_owned(), String::new())].clone();
    check_independent(version("11"), &create, &|_| None).expect("as declared");
    check_independent(version("10"), &create, &|_| None).expect_err("declares 11");
    room.head = None;
    let draft =
        |content| Draft { sender: ALICE, event_type: "m.room.create", state_key: Some(""), content, redacts: None };
    let built = room.build(&draft(r#"{"room_version":"made.up"}"#));
    let create = Pdu::parse(room.version, &built.event_id, &built.room_id, built.json).expect("parses");
    check_independent(version("11"), &create, &|_| None).expect_err("unknown version");
}

#[test]
fn auth_types_equal_ruma() {
    let user = <&UserId>::try_from(ALICE).expect("a user");
    for version in RoomVersion::supported() {
        for (event_type, state_key, content) in [
            ("m.room.create", Some(""), "{}"),
            ("m.room.message", None, "{}"),
            ("m.room.power_levels", Some(""), "{}"),
            ("m.room.member", Some(ALICE), JOIN),
            ("m.room.member", Some(BOB), r#"{"membership":"invite","third_party_invite":{"signed":{"token":"t"}}}"#),
            ("m.room.member", Some(ALICE), r#"{"membership":"join","join_authorised_via_users_server":"@bob:x.org"}"#),
            ("m.room.member", Some(BOB), r#"{"membership":"ban"}"#),
        ] {
            let raw = serde_json::from_str(content).expect("JSON");
            let kind = TimelineEventType::from(event_type);
            let rules = &version.rules().authorization;
            let theirs = state_res::auth_types_for_event(&kind, user, state_key, raw, rules).expect("well-formed");
            let theirs: Vec<_> = theirs.into_iter().map(|(kind, key)| (kind.to_string(), key)).collect();
            assert_eq!(auth_types(version, event_type, ALICE, state_key, content), theirs);
        }
    }
    assert_eq!(auth_types(version("11"), "m.room.member", ALICE, Some(ALICE), "{}").len(), 3);
}

/// A state with exactly these events, allowed or not.
struct Given(std::collections::BTreeMap<(String, String), Arc<Pdu>>);

impl StateMap for Given {
    fn get(&self, event_type: &str, state_key: &str) -> Option<Arc<Pdu>> {
        StateMap::get(&self.0, event_type, state_key)
    }
}

const TYPES: &[&str] = &["m.room.message", "m.room.topic", "org.x"];
const PEOPLE: [&str; 3] = [ALICE, BOB, "@eve:other.org"];

fn any_levels(stringy: bool) -> impl Strategy<Value = Value> {
    let level = (-2_i64..=2, any::<bool>()).prop_map(move |(level, text)| {
        if stringy && text { Value::from(format!(" {level:+} ")) } else { level.into() }
    });
    let map = |keys: &'static [&'static str], level: BoxedStrategy<Value>| {
        prop::collection::btree_map(prop::sample::select(keys), level, 0..3)
    };
    let level = level.boxed();
    (
        prop::option::of(map(&PEOPLE, level.clone())),
        prop::option::of(map(TYPES, level.clone())),
        prop::collection::btree_map(
            prop::sample::select(&["users_default", "events_default", "state_default", "ban"][..]),
            level,
            0..4,
        ),
    )
        .prop_map(|(users, events, scalars)| {
            let mut content = json!(scalars);
            if let Some(users) = users {
                content["users"] = json!(users);
            }
            if let Some(events) = events {
                content["events"] = json!(events);
            }
            content
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn the_short_check_agrees_with_ruma(
        (version, levels) in prop::sample::select(RoomVersion::supported().collect::<Vec<_>>())
            .prop_flat_map(|version| {
                let stringy = !version.rules().authorization.integer_power_levels;
                (Just(version), prop::option::of(any_levels(stringy)))
            }),
        federate in prop::option::of(any::<bool>()),
        second_creator in any::<bool>(),
        membership in prop::option::of(prop::sample::select(&["join", "leave", "ban", "invite", "knock"][..])),
        sender in prop::sample::select(&PEOPLE[..]),
        event_type in prop::sample::select(&["m.room.message", "m.room.topic", "org.x", "m.room.aliases", "m.room.redaction"][..]),
        state_key in prop::option::of(prop::sample::select(&["", ALICE, BOB, "k"][..])),
    ) {
        prop_assume!(is_ordinary(version, event_type));
        let mut create = json!({});
        if let Some(federate) = federate {
            create["m.federate"] = federate.into();
        }
        if second_creator {
            create["additional_creators"] = json!([BOB]);
        }
        let mut room = TestRoom::empty(version.id(), &create.to_string());
        if let Some(levels) = &levels {
            let event = room.make(ALICE, "m.room.power_levels", Some(""), &levels.to_string());
            room.state.insert(("m.room.power_levels".to_owned(), String::new()), event);
        }
        if let Some(membership) = membership {
            let event = room.make(ALICE, "m.room.member", Some(sender), &json!({"membership": membership}).to_string());
            room.state.insert(("m.room.member".to_owned(), sender.to_owned()), event);
        }
        let event = room.make(sender, event_type, state_key, "{}");
        let given = Given(room.state);
        let theirs = check_dependent(version, &event, &given);

        let creation = Creation::parse(&given.get("m.room.create", "").expect("created")).expect("well-formed");
        let levels_event = given.get("m.room.power_levels", "");
        let power = PowerLevels::parse(version, levels_event.as_deref(), &creation).expect("well-formed");
        let membership = Membership::in_state(given.get("m.room.member", sender).as_deref());
        let ours = check_ordinary(&event, &creation, &power, membership);
        prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "ours {:?}, ruma's {:?}", ours, theirs);
    }
}
