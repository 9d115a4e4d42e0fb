//! Rooms with branches: soft failure, state resolution, current state over time.

use engram_log::Offset;

use super::rig::{ALICE, BOB, CAROL, Rig, VERSIONS};
use crate::delta::RoomDelta;
use crate::query::{self, Verdict};

#[test]
fn two_messages_on_one_event_are_two_extremities_until_one_joins_them() {
    for version in VERSIONS {
        let mut rig = Rig::room(version);
        let base = rig.last.clone().unwrap();
        let state = rig.head().state;
        let left = rig.message_on(&[&base], ALICE, "left");
        let right = rig.message_on(&[&base], ALICE, "right");
        assert_eq!(rig.extremities(), [left.event_id.clone(), right.event_id.clone()]);
        let joined = rig.message_on(&[&left, &right], ALICE, "joined");
        assert_eq!(rig.extremities(), std::slice::from_ref(&joined.event_id));
        assert_eq!(rig.head().state, state);
        assert_eq!(rig.root_after(&joined), state);
        assert_eq!(rig.timeline()[4..], [left.offset, right.offset, joined.offset]);
        let next = rig.message_on(&[&joined], ALICE, "next");
        assert_eq!(rig.verdict(&next), Verdict::Accepted);
        assert_eq!(rig.render(&next, ALICE, None)["unsigned"]["membership"], "join");
    }
}

#[test]
fn what_the_current_state_forbids_is_soft_failed() {
    for version in VERSIONS {
        let mut rig = Rig::room(version);
        let join = rig.join(BOB);
        let ban = rig.member(ALICE, BOB, "ban");
        let state = rig.head().state;
        let late = rig.message_on(&[&join], BOB, "I was still a member");
        assert_eq!(rig.verdict(&late), Verdict::SoftFailed, "{}", rig.reason(&late));
        assert!(rig.reason(&late).starts_with("by the room's current state"));
        assert_eq!(rig.extremities(), std::slice::from_ref(&ban.event_id));
        let topic = rig.state_on(&[&join], BOB, "m.room.member", BOB, r#"{"membership":"join","displayname":"B"}"#);
        assert_eq!(rig.verdict(&topic), Verdict::SoftFailed);
        assert_eq!(rig.head().state, state);
        assert_eq!(query::state_at(&*rig.snapshot(), rig.number(), topic.offset).unwrap(), state);
        assert!(!rig.timeline().contains(&late.offset));
        // An event that builds on both brings the soft-failed one into state resolution: the ban wins.
        let joined = rig.message_on(&[&ban, &topic], ALICE, "joined");
        assert_eq!(rig.verdict(&joined), Verdict::Accepted, "{}", rig.reason(&joined));
        assert_eq!(rig.membership(BOB), Some("ban"));
        assert_eq!(rig.extremities(), [joined.event_id]);
    }
}

#[test]
fn a_ban_beats_what_the_banned_did_meanwhile() {
    for version in VERSIONS {
        let mut rig = Rig::room(version);
        rig.power(ALICE, &[(BOB, 50)]);
        let join = rig.join(BOB);
        let topic = rig.state_on(&[&join], BOB, "m.room.topic", "", r#"{"topic":"by Bob"}"#);
        assert_eq!(rig.current("m.room.topic", ""), Some(topic.offset));
        let ban = rig.state_on(&[&join], ALICE, "m.room.member", BOB, r#"{"membership":"ban"}"#);
        assert_eq!(rig.verdict(&ban), Verdict::Accepted);
        // Bob's topic came before the ban on its branch, but resolution puts the power event first.
        assert_eq!(rig.current("m.room.topic", ""), None, "version {version}");
        assert_eq!(rig.membership(BOB), Some("ban"));
        assert_eq!(rig.head().joined, 1);
        let snapshot = rig.snapshot();
        assert_eq!(query::state_at(&*snapshot, rig.number(), ban.offset).unwrap(), rig.head().state);
        let before = query::state_at(&*snapshot, rig.number(), topic.offset).unwrap();
        assert_eq!(before, rig.root_after(&topic));
        let deltas = rig.deltas.lock();
        let told = deltas.iter().any(|(at, delta)| *at == ban.offset && matches!(delta, RoomDelta::State { .. }));
        assert!(told, "the lost topic is told of");
    }
}

#[test]
fn the_later_of_two_rival_power_levels_by_the_rules_holds_on_every_side() {
    for version in VERSIONS {
        let results: Vec<Option<String>> = [false, true]
            .into_iter()
            .map(|swapped| {
                let mut rig = Rig::room(version);
                rig.join(BOB);
                let base = rig.power(ALICE, &[(BOB, 90)]);
                let by_alice = (ALICE, rig.levels(&[(BOB, 0)]));
                let by_bob = (BOB, rig.levels(&[(BOB, 90), (CAROL, 80)]));
                let drafts = [by_alice, by_bob].map(|(sender, content)| {
                    let draft = engram_matrix::build::Draft {
                        sender,
                        event_type: "m.room.power_levels",
                        state_key: Some(""),
                        content: &content,
                        redacts: None,
                    };
                    rig.build(std::slice::from_ref(&base), &draft)
                });
                let [first, second] = drafts;
                let (first, second) = if swapped { (second, first) } else { (first, second) };
                let first = rig.append(first);
                let second = rig.append(second);
                let _ = (first, second);
                let winner = rig.current("m.room.power_levels", "").unwrap();
                Some(query::pdu(&*rig.snapshot(), winner).unwrap().sender.to_string())
            })
            .collect();
        // Alice has more power, so hers comes first; Bob's fails after it. If hers was applied first, his was
        // soft-failed.
        assert_eq!(results, [Some(ALICE.to_owned()), Some(ALICE.to_owned())], "version {version}");
    }
}

#[test]
fn current_state_can_be_asked_for_at_any_position() {
    let mut rig = Rig::room("11");
    let mut expected = Vec::new();
    let mut note = |rig: &Rig| {
        let head = rig.head();
        // While it is current the head answers, later the rows of the past have to.
        let at = rig.views.log.len() as u64;
        assert_eq!(query::state_at(&*rig.snapshot(), rig.number(), Offset(at)).unwrap(), head.state);
        expected.push((at, head.state));
    };
    rig.join(BOB);
    note(&rig);
    let base = rig.message(ALICE, "base");
    note(&rig);
    let left = rig.state_on(&[&base], ALICE, "m.room.name", "", r#"{"name":"left"}"#);
    note(&rig);
    let right = rig.state_on(&[&base], ALICE, "m.room.topic", "", r#"{"topic":"right"}"#);
    note(&rig);
    let rival = rig.state_on(&[&base], ALICE, "m.room.name", "", r#"{"name":"rival"}"#);
    note(&rig);
    rig.message_on(&[&left], ALICE, "on the left");
    note(&rig);
    let joined = rig.state_on(&[&left, &right, &rival], ALICE, "m.room.name", "", r#"{"name":"joined"}"#);
    note(&rig);
    assert_eq!(rig.current("m.room.name", ""), Some(joined.offset));
    assert_eq!(rig.current("m.room.topic", ""), Some(right.offset));
    for (offset, root) in expected {
        let found = query::state_at(&*rig.snapshot(), rig.number(), Offset(offset)).unwrap();
        assert_eq!(found, root, "at {offset}");
    }
}
