//! Rooms that are made to be expensive: beyond the bounds one of the states stands for all, the same one in every rebuild.
//!
//! Tests have smaller bounds than servers; `examples/hostile_rooms.rs` measures the real ones.

use engram_views::testing::TestViews;

use super::resolution::{by_the_book, whole};
use super::rig::{ALICE, BOB, Made, Rig, rows};
use crate::counters;
use crate::limits::{AUTH_CHAIN_EVENTS_MAX, CONFLICTED_ENTRIES_MAX};
use crate::projector::RoomsProjector;
use crate::query::Verdict;

fn room(version: &str) -> (Rig, Made) {
    let mut rig = Rig::room(version);
    rig.power(ALICE, &[(BOB, 50)]);
    let base = rig.join(BOB);
    (rig, base)
}

/// A branch that sets so many entries.
fn branch(rig: &mut Rig, base: &Made, sender: &str, entries: usize) -> Made {
    (0..entries).fold(base.clone(), |last, entry| {
        rig.state_on(&[&last], sender, "x.custom", &entry.to_string(), &format!(r#"{{"by":"{sender}"}}"#))
    })
}

fn unresolved(rig: &Rig) -> u32 {
    counters::value(&*rig.snapshot(), "unresolved").unwrap()
}

fn check_rebuild(rig: &Rig) {
    let log = rig.views.log.prefix(usize::MAX);
    let rebuilt = TestViews::over(log, vec![Box::new(RoomsProjector::with_memo_bytes(0))], Vec::new());
    assert!(rows(&*rebuilt.settle()) == rows(&*rig.snapshot()), "the rebuilt view differs");
}

#[test]
fn states_that_differ_in_too_much_are_not_resolved() {
    for version in ["11", "12"] {
        let (mut rig, base) = room(version);
        let left = branch(&mut rig, &base, ALICE, CONFLICTED_ENTRIES_MAX);
        let right = branch(&mut rig, &base, BOB, CONFLICTED_ENTRIES_MAX);
        assert_eq!(unresolved(&rig), 0);
        assert_eq!(whole(&rig.snapshot(), rig.head().state), by_the_book(&rig));
        let left = rig.state_on(&[&left], ALICE, "x.custom", "one more", "{}");
        assert!(unresolved(&rig) > 0);
        let one = [rig.root_after(&left), rig.root_after(&right)];
        assert!(one.contains(&rig.head().state), "one of the states stands for all");
        let joined = rig.message_on(&[&left, &right], ALICE, "joined");
        assert_eq!(rig.verdict(&joined), Verdict::Accepted);
        assert_eq!(rig.extremities(), [joined.event_id]);
        check_rebuild(&rig);
    }
}

#[test]
fn auth_chains_may_be_deep_but_not_endless() {
    for version in ["11", "12"] {
        let (mut rig, _) = room(version);
        let mut last = rig.last.clone().unwrap();
        for depth in 0..AUTH_CHAIN_EVENTS_MAX / 2 {
            last = rig.power(ALICE, &[(BOB, if depth % 2 == 0 { 50 } else { 51 })]);
        }
        // What is not about power stops at the power levels that all agree on.
        let topic = rig.state_on(&[&last], ALICE, "m.room.topic", "", r#"{"topic":"a"}"#);
        rig.state_on(&[&last], BOB, "m.room.topic", "", r#"{"topic":"b"}"#);
        assert_eq!(whole(&rig.snapshot(), rig.head().state), by_the_book(&rig));
        assert_eq!(unresolved(&rig), 0);
        // Rival power levels are compared down to the first ones; and there are as many on each side.
        let mut tops = vec![topic.clone(), topic];
        let levels = rig.levels(&[(BOB, 50)]);
        for _ in 0..2 {
            for top in &mut tops {
                *top = rig.state_on(&[top], ALICE, "m.room.power_levels", "", &levels);
            }
        }
        assert!(unresolved(&rig) > 0, "version {version}");
        let joined = rig.message_on(&[&tops[0], &tops[1]], ALICE, "joined");
        assert_eq!(rig.verdict(&joined), Verdict::Accepted, "{}", rig.reason(&joined));
        check_rebuild(&rig);
    }
}

#[test]
fn a_wide_room_is_bounded_in_what_it_keeps() {
    let (mut rig, base) = room("12");
    for end in 0..400 {
        if end % 4 == 0 {
            rig.state_on(&[&base], BOB, "x.custom", &(end % 40).to_string(), &format!(r#"{{"end":{end}}}"#));
        } else {
            rig.message_on(&[&base], BOB, "x");
        }
    }
    assert_eq!(rig.extremities().len(), crate::limits::EXTREMITIES_MAX);
    assert_eq!(unresolved(&rig), 0);
    check_rebuild(&rig);
}
