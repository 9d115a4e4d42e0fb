//! Levels as versions differ, and what clients may set.

use serde_json::json;

use super::{Creation, Level, PowerError, PowerLevels, check_client_content};
use crate::testing::{ALICE, BOB, TestRoom, version};

fn creation(room: &TestRoom) -> Creation {
    Creation::parse(&room.state[&("m.room.create".to_owned(), String::new())]).expect("well-formed")
}

fn levels(version_id: &str, content: &str) -> Result<PowerLevels, PowerError> {
    let mut room = TestRoom::empty(version_id, "{}");
    let event = room.make(ALICE, "m.room.power_levels", Some(""), content);
    PowerLevels::parse(version(version_id), Some(&event), &creation(&room))
}

#[test]
fn without_an_event_the_creator_rules() {
    for id in ["1", "11", "12"] {
        let room = TestRoom::empty(id, "{}");
        let power = PowerLevels::parse(version(id), None, &creation(&room)).expect("defaults");
        let expected = if id == "12" { Level::Infinite } else { Level::Finite(100) };
        assert_eq!(power.user_level(ALICE), expected);
        assert_eq!(power.user_level(BOB), 0);
        assert_eq!((power.ban, power.kick, power.redact, power.invite), (50, 50, 50, 0));
        assert_eq!((power.required_for("x", true), power.required_for("x", false)), (50, 0));
        assert!(power.can_kick(ALICE, BOB) && !power.can_kick(BOB, ALICE));
    }
}

#[test]
fn version_12_creators_are_above_all_numbers() {
    let room = TestRoom::empty("12", &json!({"additional_creators": [BOB]}).to_string());
    let creation = creation(&room);
    assert!(creation.is_creator(ALICE) && creation.is_creator(BOB) && !creation.is_creator("@c:x.org"));
    let mut room = room;
    let top = i64::from(i32::MAX);
    let event =
        room.make(ALICE, "m.room.power_levels", Some(""), &json!({"users": {"@c:x.org": top}, "ban": top}).to_string());
    let power = PowerLevels::parse(version("12"), Some(&event), &creation).expect("well-formed");
    assert!(power.can_ban(BOB, "@c:x.org"));
    assert!(!power.can_ban(BOB, ALICE), "creators are equals");
    assert!(power.can_send(BOB, "x", true));
}

#[test]
fn strings_and_floats_by_version() {
    let content = r#"{"users":{"@bob:x.org":" +042 "},"ban":"-7"}"#;
    let power = levels("9", content).expect("strings pass to version 9");
    assert_eq!(power.user_level(BOB), 42);
    assert_eq!(power.ban, -7);
    levels("10", content).expect_err("integers only from version 10");
    levels("9", r#"{"ban":"high"}"#).expect_err("not a number");
    let float: super::Loose = serde_json::from_str("50.9").expect("floats are truncated");
    assert_eq!(i64::from(float), 50);
}

#[test]
fn clients_set_integers_for_users() {
    let room = TestRoom::empty("12", "{}");
    let creation = creation(&room);
    let check =
        |id: &str, content: serde_json::Value| check_client_content(version(id), &content.to_string(), &creation);
    check("9", json!({"users": {ALICE: 100, BOB: 0}, "ban": 50, "events": {"x": 1}, "other": "y"})).expect("fine");
    assert!(matches!(check("9", json!({"ban": "50"})), Err(PowerError::NotInteger(key)) if key == "ban"));
    assert!(matches!(check("9", json!({"users": {BOB: "1"}})), Err(PowerError::NotInteger(_))));
    assert!(matches!(check("11", json!({"notifications": {"room": true}})), Err(PowerError::NotInteger(_))));
    assert!(matches!(check("11", json!({"users": []})), Err(PowerError::NotObject(_))));
    assert!(matches!(check("11", json!({"users": {"bob": 1}})), Err(PowerError::UserId(_))));
    assert!(matches!(check("12", json!({"users": {ALICE: 1}})), Err(PowerError::Creator(_))));
    check("11", json!({"users": {ALICE: 1}})).expect("before version 12 creators have entries");
    assert!(matches!(check("11", json!({"kick": 0.5})), Err(PowerError::Content(_))));
}
