//! Joins, invitations, kicks, bans and the fight for power, in a room without branches.

use engram_log_format::v1;

use super::rig::{ALICE, BOB, CAROL, Made, Rig, VERSIONS};
use crate::delta::{MemberChange, RoomDelta};
use crate::query::{self, Verdict};
use crate::types::Membership;

fn check(rig: &Rig, made: &Made, verdict: Verdict) {
    assert_eq!(rig.verdict(made), verdict, "version {}: {}", rig.version.id(), rig.reason(made));
}

#[test]
fn a_room_begins_with_its_create_event() {
    for version in VERSIONS {
        let rig = Rig::room(version);
        let head = rig.head();
        assert_eq!((head.joined, head.invited, head.extremities.len()), (1, 0, 1));
        assert_eq!(rig.timeline().len(), 4);
        assert_eq!(head.latest, rig.last.clone().unwrap().offset);
        assert_eq!(head.latest_state, head.latest);
        let info = query::room(&*rig.snapshot(), &rig.room_id).unwrap().unwrap();
        assert_eq!((info.version.id(), info.room_id.as_str()), (version, rig.room_id.as_str()));
        assert_eq!(rig.current("m.room.create", ""), Some(info.create));
    }
}

#[test]
fn memberships_follow_the_rules() {
    for version in VERSIONS {
        let mut rig = Rig::room(version);
        let stranger = rig.message(BOB, "not a member");
        check(&rig, &stranger, Verdict::Rejected);
        assert!(rig.reason(&stranger).starts_with("by its auth events"), "{}", rig.reason(&stranger));
        rig.join(BOB);
        let first = rig.message(BOB, "a member");
        check(&rig, &first, Verdict::Accepted);
        let kick = rig.member(BOB, ALICE, "leave");
        check(&rig, &kick, Verdict::Rejected);
        let kick = rig.member(ALICE, BOB, "leave");
        check(&rig, &kick, Verdict::Accepted);
        let after = rig.message(BOB, "no longer a member");
        check(&rig, &after, Verdict::Rejected);
        rig.member(ALICE, CAROL, "invite");
        assert_eq!((rig.head().joined, rig.head().invited), (1, 1));
        rig.join(CAROL);
        rig.member(ALICE, BOB, "ban");
        let back = rig.join(BOB);
        check(&rig, &back, Verdict::Rejected);
        assert_eq!((rig.head().joined, rig.head().invited), (2, 0));
        assert_eq!((rig.membership(BOB), rig.membership(CAROL)), (Some("ban"), Some("join")));
        let joined = query::members(&*rig.snapshot(), rig.number(), Some(&[Membership::Join])).unwrap();
        let names: Vec<&str> = joined.iter().map(|member| member.user_id.as_str()).collect();
        assert_eq!(names, [ALICE, CAROL]);
        let rooms = query::rooms_of(&*rig.snapshot(), BOB).unwrap();
        assert_eq!((rooms.len(), rooms[0].membership, rooms[0].forgotten), (1, Membership::Ban, false));
    }
}

#[test]
fn nobody_gets_more_power_than_those_who_give_it() {
    for version in VERSIONS {
        let mut rig = Rig::room(version);
        rig.join(BOB);
        rig.join(CAROL);
        let grab = rig.power(BOB, &[(BOB, 100)]);
        check(&rig, &grab, Verdict::Rejected);
        rig.power(ALICE, &[(BOB, 50)]);
        let promote = rig.power(BOB, &[(BOB, 50), (CAROL, 60)]);
        check(&rig, &promote, Verdict::Rejected);
        let promote = rig.power(BOB, &[(BOB, 50), (CAROL, 40)]);
        check(&rig, &promote, Verdict::Accepted);
        let topic = rig.state(CAROL, "m.room.topic", "", r#"{"topic":"mine"}"#);
        check(&rig, &topic, Verdict::Rejected);
        let topic = rig.state(BOB, "m.room.topic", "", r#"{"topic":"ours"}"#);
        check(&rig, &topic, Verdict::Accepted);
        assert_eq!(rig.current("m.room.topic", ""), Some(topic.offset));
        if rig.version.create_is_room_id() {
            continue;
        }
        // A second create event in the room never counts; from version 12 on it would make another room.
        let create = rig.state_on(&[], ALICE, "m.room.create", "", &format!(r#"{{"room_version":"{version}"}}"#));
        check(&rig, &create, Verdict::Rejected);
        assert_ne!(rig.current("m.room.create", ""), Some(create.offset));
    }
}

#[test]
fn what_is_rejected_leaves_no_trace_in_the_room() {
    let mut rig = Rig::room("11");
    let head = rig.head();
    let rejected = rig.state(BOB, "m.room.topic", "", r#"{"topic":"?"}"#);
    check(&rig, &rejected, Verdict::Rejected);
    assert_eq!(rig.head().extremities[0].event_id, head.extremities[0].event_id);
    assert_eq!((rig.head().state, rig.head().latest), (head.state, head.latest));
    assert!(!rig.timeline().contains(&rejected.offset));
    // An event on a rejected one has the state before that, and may be fine (AUTH-20).
    let on_it = rig.message_on(&[&rejected], ALICE, "on a rejected event");
    check(&rig, &on_it, Verdict::Accepted);
    assert_eq!(rig.root_after(&on_it), head.state);
    assert!(!rig.sees(ALICE, &rejected));
}

#[test]
fn events_before_which_something_is_missing_are_kept_apart() {
    let mut rig = Rig::room("10");
    let unknown = Made { event_id: format!("${}", "A".repeat(43)), ..rig.last.clone().unwrap() };
    let message = rig.message_on(&[&unknown], ALICE, "too early");
    check(&rig, &message, Verdict::Outlier);
    assert_eq!(rig.reason(&message), "an event before it is not known");
    assert!(!rig.timeline().contains(&message.offset));
    assert_eq!(rig.extremities(), [rig.last.clone().unwrap().event_id]);
}

#[test]
fn an_outlier_gets_its_place_when_it_arrives_in_order() {
    let mut rig = Rig::room("10");
    let parents = [rig.last.clone().unwrap()];
    let content = r#"{"body":"hello"}"#;
    let draft = engram_matrix::build::Draft {
        sender: ALICE,
        event_type: "m.room.message",
        state_key: None,
        content,
        redacts: None,
    };
    let pdu = rig.build(&parents, &draft);
    let apart = rig.append(v1::Pdu { source: v1::PduSource::Outlier, ..pdu.clone() });
    check(&rig, &apart, Verdict::Outlier);
    let placed = rig.append(pdu);
    check(&rig, &placed, Verdict::Accepted);
    let located = query::locate(&*rig.snapshot(), &placed.event_id).unwrap();
    assert_eq!(located, Some((rig.number(), placed.offset)));
    // States from before name it where it was.
    let moved = query::placed(&*rig.snapshot(), rig.number(), apart.offset).unwrap();
    assert_eq!(moved.map(|(offset, meta)| (offset, meta.verdict)), Some((placed.offset, Verdict::Accepted)));
}

#[test]
fn what_the_log_holds_that_is_no_event_is_passed_over() {
    let mut rig = Rig::room("12");
    let head = rig.head();
    let good = rig.redaction(ALICE, &head.extremities[0].event_id);
    let bad = [
        v1::Pdu { json: b"{}".to_vec(), event_id: "$a".to_owned(), ..good.clone() },
        v1::Pdu { json: vec![0xff, 0xfe], event_id: "$b".to_owned(), ..good.clone() },
        v1::Pdu { room_version: "99".to_owned(), event_id: "$c".to_owned(), ..good.clone() },
        v1::Pdu { room_version: "11".to_owned(), event_id: "$d".to_owned(), ..good.clone() },
        v1::Pdu { room_id: String::new(), event_id: "$e".to_owned(), ..good.clone() },
        v1::Pdu { event_id: String::new(), ..good.clone() },
        v1::Pdu { event_id: "no sigil".to_owned(), ..good },
    ];
    let count = bad.len();
    for pdu in bad {
        rig.append(pdu);
    }
    assert_eq!(crate::counters::value(&*rig.snapshot(), "malformed").unwrap(), count as u32);
    assert_eq!(rig.head().extremities[0].event_id, head.extremities[0].event_id);
}

#[test]
fn deltas_tell_of_memberships() {
    let mut rig = Rig::room("12");
    rig.join(BOB);
    let leave = rig.member(BOB, BOB, "leave");
    let message = rig.message(ALICE, "alone");
    let deltas = rig.deltas.lock();
    let told = |made: &Made| {
        let found = deltas.iter().find(|(offset, _)| *offset == made.offset).map(|(_, delta)| delta.clone());
        let Some(RoomDelta::Event { membership, pdu, .. }) = found else { panic!("no delta at {}", made.offset) };
        assert_eq!(pdu.event_id, *made.event_id);
        membership
    };
    let left = MemberChange {
        user_id: BOB.into(),
        before: Some(Membership::Join),
        after: Some((Membership::Leave, leave.offset)),
    };
    assert_eq!(told(&leave), Some(left));
    assert_eq!(told(&message), None);
}
