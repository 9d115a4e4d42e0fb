//! The passes of version 1, sentence by sentence.

use ruma::OwnedEventId;

use super::sha1;
use crate::{
    resolve::tests::{ids, joined_room, resolve_branches},
    testing::{ALICE, BOB, TestRoom},
};

fn fork() -> (TestRoom, TestRoom) {
    let mut base = joined_room("1");
    base.state(ALICE, "m.room.power_levels", "", r#"{"users":{"@alice:x.org":100,"@bob:x.org":50}}"#);
    let (one, mut other) = (base.clone(), base);
    other.ts += 100; // The branches share a clock, which names events in version 1.
    (one, other)
}

#[track_caller]
fn check(branches: [&TestRoom; 2], event_type: &str, key: &str, expected: &OwnedEventId) {
    let [one, other] = branches;
    for branches in [[one, other], [other, one]] {
        let resolved = resolve_branches(&branches).expect("resolves");
        assert_eq!(&resolved[&(event_type.to_owned(), key.to_owned())], expected);
    }
}

#[test]
fn what_one_state_alone_has_is_no_conflict() {
    let (mut one, mut other) = fork();
    one.state(ALICE, "m.room.member", BOB, r#"{"membership":"ban"}"#);
    let topic = other.state(BOB, "m.room.topic", "", r#"{"topic":"mine"}"#);
    check([&one, &other], "m.room.topic", "", &topic.event_id);
    let resolved = resolve_branches(&[&one, &other]).expect("resolves");
    assert_eq!(resolved.len(), ids(&other).len(), "nothing is lost");
}

#[test]
fn power_levels_are_taken_by_depth_as_long_as_each_permits_the_next() {
    let (mut one, mut other) = fork();
    let demotion = one.state(ALICE, "m.room.power_levels", "", r#"{"users":{"@alice:x.org":100}}"#);
    other.send(BOB, "m.room.message", None, "{}").expect("allowed");
    let deeper = other.state(BOB, "m.room.power_levels", "", r#"{"users":{"@alice:x.org":100,"@bob:x.org":40}}"#);
    assert!(deeper.depth > demotion.depth);
    // The deeper one is Bob's, who has no power by the other.
    check([&one, &other], "m.room.power_levels", "", &demotion.event_id);
    let (mut one, mut other) = fork();
    one.state(ALICE, "m.room.power_levels", "", r#"{"users":{"@alice:x.org":100,"@bob:x.org":60}}"#);
    other.send(BOB, "m.room.message", None, "{}").expect("allowed");
    let deeper = other.state(ALICE, "m.room.power_levels", "", r#"{"users":{"@alice:x.org":100,"@bob:x.org":40}}"#);
    check([&one, &other], "m.room.power_levels", "", &deeper.event_id);
}

#[test]
fn members_are_judged_by_the_power_that_was_resolved_before() {
    let (mut one, mut other) = fork();
    one.state(ALICE, "m.room.power_levels", "", r#"{"users":{"@alice:x.org":100},"kick":70}"#);
    let leave = one.state(BOB, "m.room.member", BOB, r#"{"membership":"leave"}"#);
    other.send(BOB, "m.room.message", None, "{}").expect("allowed");
    other.send(BOB, "m.room.message", None, "{}").expect("allowed");
    let rename = other.state(BOB, "m.room.member", BOB, r#"{"membership":"join","displayname":"B"}"#);
    assert!(rename.depth > leave.depth);
    // A public room lets him in again, whatever the order.
    check([&one, &other], "m.room.member", BOB, &rename.event_id);
}

#[test]
fn other_entries_go_to_the_deepest_event_that_is_allowed() {
    let (mut one, mut other) = fork();
    one.state(ALICE, "m.room.power_levels", "", r#"{"users":{"@alice:x.org":100}}"#);
    let topic = one.state(ALICE, "m.room.topic", "", r#"{"topic":"hers"}"#);
    for _ in 0..3 {
        other.send(BOB, "m.room.message", None, "{}").expect("allowed");
    }
    let deeper = other.state(BOB, "m.room.topic", "", r#"{"topic":"his"}"#);
    assert!(deeper.depth > topic.depth);
    // Only one branch has other power levels than the base, and these are the deeper ones: Bob may not.
    check([&one, &other], "m.room.topic", "", &topic.event_id);
    let (mut one, mut other) = fork();
    one.state(ALICE, "m.room.topic", "", r#"{"topic":"hers"}"#);
    other.send(BOB, "m.room.message", None, "{}").expect("allowed");
    let deeper = other.state(BOB, "m.room.topic", "", r#"{"topic":"his"}"#);
    check([&one, &other], "m.room.topic", "", &deeper.event_id);
}

#[test]
fn of_equally_deep_events_the_smallest_hash_wins() {
    for step in 0..4 {
        let (mut one, mut other) = fork();
        other.ts += step;
        let a = one.state(ALICE, "m.room.topic", "", r#"{"topic":"a"}"#);
        let b = other.state(ALICE, "m.room.topic", "", r#"{"topic":"b"}"#);
        assert_eq!(a.depth, b.depth);
        let smallest = if sha1(&a.event_id) < sha1(&b.event_id) { &a } else { &b };
        check([&one, &other], "m.room.topic", "", &smallest.event_id);
    }
}
