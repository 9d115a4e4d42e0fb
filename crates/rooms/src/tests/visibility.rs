//! Who sees what, and what `unsigned` says to whom.

use engram_log_format::v1;

use super::rig::{ALICE, BOB, CAROL, Made, Rig, VERSIONS};
use crate::query;

/// Messages before Bob's invitation, while he is invited, while he is joined, and after he has left.
fn history(version: &str, visibility: &str) -> (Rig, [Made; 4]) {
    let mut rig = Rig::room(version);
    let content = format!(r#"{{"history_visibility":"{visibility}"}}"#);
    rig.state(ALICE, "m.room.history_visibility", "", &content);
    let before = rig.message(ALICE, "before");
    rig.member(ALICE, BOB, "invite");
    let invited = rig.message(ALICE, "invited");
    rig.join(BOB);
    let joined = rig.message(ALICE, "joined");
    rig.member(BOB, BOB, "leave");
    let left = rig.message(ALICE, "left");
    (rig, [before, invited, joined, left])
}

#[test]
fn visibility_is_judged_by_the_state_at_the_event() {
    let cases = [
        ("world_readable", [true, true, true, true], [true; 4]),
        ("shared", [true, true, true, false], [false; 4]),
        ("invited", [false, true, true, false], [false; 4]),
        ("joined", [false, false, true, false], [false; 4]),
        ("no such word", [true, true, true, false], [false; 4]),
    ];
    // The rules are the same in all versions; one each is enough.
    for ((visibility, bob, stranger), version) in cases.into_iter().zip(VERSIONS.into_iter().cycle()) {
        let (rig, events) = history(version, visibility);
        let sees = |user: &str| events.each_ref().map(|event| rig.sees(user, event));
        assert_eq!(sees(BOB), bob, "version {version}, {visibility}");
        assert_eq!(sees(CAROL), stranger, "version {version}, {visibility}, a stranger");
        assert_eq!(sees(ALICE), [true; 4]);
    }
}

#[test]
fn changes_of_visibility_and_own_memberships_are_seen_from_either_side() {
    let mut rig = Rig::room("12");
    let opened = rig.state(ALICE, "m.room.history_visibility", "", r#"{"history_visibility":"world_readable"}"#);
    let closed = rig.state(ALICE, "m.room.history_visibility", "", r#"{"history_visibility":"joined"}"#);
    let inside = rig.message(ALICE, "inside");
    assert_eq!((rig.sees(CAROL, &opened), rig.sees(CAROL, &closed), rig.sees(CAROL, &inside)), (true, true, false));
    let join = rig.join(BOB);
    let leave = rig.member(BOB, BOB, "leave");
    assert_eq!((rig.sees(BOB, &join), rig.sees(BOB, &leave)), (true, true));
    assert_eq!((rig.sees(CAROL, &join), rig.sees(CAROL, &leave)), (false, false));
}

#[test]
fn shared_history_is_seen_by_who_came_back() {
    let (mut rig, events) = history("11", "shared");
    rig.join(BOB);
    assert!(events.iter().all(|event| rig.sees(BOB, event)));
    rig.member(ALICE, BOB, "ban");
    assert!(events.iter().all(|event| rig.sees(BOB, event)), "what was shared with a member stays seen");
    let after = rig.message(ALICE, "after the ban");
    assert!(!rig.sees(BOB, &after));
}

#[test]
fn unsigned_tells_the_membership_at_the_event() {
    let (rig, events) = history("12", "world_readable");
    let membership = |user: &str| {
        events
            .each_ref()
            .map(|event| rig.render(event, user, None)["unsigned"]["membership"].as_str().map(str::to_owned))
    };
    let words = ["leave", "invite", "join", "leave"].map(|word| Some(word.to_owned()));
    assert_eq!(membership(BOB), words);
    assert_eq!(membership(CAROL), [const { "leave" }; 4].map(|word| Some(word.to_owned())));
}

#[test]
fn a_transaction_id_is_shown_to_the_device_that_sent_it() {
    let mut rig = Rig::room("12");
    let parents = [rig.last.clone().unwrap()];
    let draft = engram_matrix::build::Draft {
        sender: ALICE,
        event_type: "m.room.message",
        state_key: None,
        content: r#"{"body":"x"}"#,
        redacts: None,
    };
    let pdu = rig.build(&parents, &draft);
    let transaction =
        v1::Transaction { user_id: ALICE.to_owned(), device_id: "PHONE".to_owned(), transaction_id: "m1".to_owned() };
    let made = rig.append(v1::Pdu { transaction: Some(transaction), source: v1::PduSource::Local, ..pdu });
    let shown =
        |user, device| rig.render(&made, user, device)["unsigned"]["transaction_id"].as_str().map(str::to_owned);
    assert_eq!(shown(ALICE, Some("PHONE")).as_deref(), Some("m1"));
    assert_eq!((shown(ALICE, Some("TABLET")), shown(ALICE, None), shown(BOB, Some("PHONE"))), (None, None, None));
    let scope = query::TransactionScope {
        user_id: ALICE,
        device_id: "PHONE",
        transaction_id: "m1",
        room_id: &rig.room_id,
        event_type: "m.room.message",
        redacts: None,
    };
    let found = |scope: &query::TransactionScope<'_>| query::transaction(&*rig.snapshot(), scope).unwrap();
    assert_eq!(found(&scope), Some(made.offset));
    for other in [
        query::TransactionScope { transaction_id: "m2", ..scope },
        query::TransactionScope { device_id: "TABLET", ..scope },
        query::TransactionScope { user_id: BOB, ..scope },
        query::TransactionScope { room_id: "!other:one.test", ..scope },
        query::TransactionScope { event_type: "m.other", ..scope },
        query::TransactionScope { redacts: Some("$event"), ..scope },
    ] {
        assert_eq!(found(&other), None, "{other:?}");
    }
    assert_eq!(rig.render(&made, ALICE, None)["unsigned"]["age"], 5);
}

#[test]
fn who_is_invited_gets_the_stripped_state() {
    let mut rig = Rig::room("12");
    rig.state(ALICE, "m.room.name", "", r#"{"name":"Engine room"}"#);
    rig.state(ALICE, "m.room.secret", "", r#"{"not":"shown"}"#);
    let invite = rig.member(ALICE, BOB, "invite");
    rig.state(ALICE, "m.room.name", "", r#"{"name":"Renamed"}"#);
    let stripped = query::stripped_state(&*rig.snapshot(), rig.number(), BOB, invite.offset).unwrap();
    let events: Vec<serde_json::Value> = stripped.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    let kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["m.room.create", "m.room.join_rules", "m.room.name", "m.room.member", "m.room.member"]);
    assert_eq!(events[2]["content"]["name"], "Engine room");
    assert_eq!((&events[3]["state_key"], &events[4]["state_key"]), (&ALICE.into(), &BOB.into()));
    assert!(events.iter().all(|event| event.as_object().unwrap().len() == 4));
}
