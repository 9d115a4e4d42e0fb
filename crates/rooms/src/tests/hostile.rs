//! Rooms that are made to be expensive: what they owe puts their current state off, and never makes anybody guess.
//!
//! The rooms here may spend next to nothing; `examples/hostile_fork.rs` measures what servers allow.

use engram_base::block_on;
use engram_views::testing::TestViews;

use super::extremities::server;
use super::resolution::{by_the_book, whole};
use super::rig::{ALICE, BOB, Made, Rig, VERSIONS, rows};
use crate::projector::{Allowance, RoomsProjector, Step, Unresolved, resolution_before};
use crate::query::{self, Verdict};
use crate::writer::SendRequest;

/// One resolution of a small fork, and then it takes some events until the next.
const NARROW: Allowance = Allowance { owed_max: 1, paid_by_event: 20 };

fn room(version: &str) -> (Rig, Made) {
    let mut rig = Rig::allowed(version, NARROW);
    rig.power(ALICE, &[(BOB, 50)]);
    let base = rig.join(BOB);
    (rig, base)
}

fn custom(rig: &mut Rig, parent: &Made, sender: &str, entry: usize) -> Made {
    rig.state_on(&[parent], sender, "x.custom", &entry.to_string(), &format!(r#"{{"by":"{sender}"}}"#))
}

/// A branch of Bob's beside one of Alice's, until the current state is put off.
fn attacked(version: &str) -> (Rig, Made, Made) {
    let (mut rig, base) = room(version);
    let honest = custom(&mut rig, &base, ALICE, 1000);
    let mut branch = base;
    for entry in 0..40 {
        branch = custom(&mut rig, &branch, BOB, entry);
    }
    while rig.head().put_off < 2 {
        branch = custom(&mut rig, &branch, BOB, 2000);
    }
    (rig, honest, branch)
}

fn check_rebuild(rig: &Rig) {
    let log = rig.views.log.prefix(usize::MAX);
    for bytes in [0, 20_000, 8 << 20] {
        let projector = RoomsProjector::with_memo_bytes(bytes).with_allowance(NARROW);
        let rebuilt = TestViews::over(log.clone(), vec![Box::new(projector)], Vec::new());
        assert!(rows(&*rebuilt.settle()) == rows(&*rig.snapshot()), "with {bytes} bytes the rebuilt view differs");
    }
}

#[test]
fn what_is_put_off_is_made_up_for_exactly() {
    for version in VERSIONS {
        let (mut rig, _, mut branch) = attacked(version);
        let before = rig.head();
        assert!(before.owed.current >= NARROW.owed_max && before.put_off > 0);
        let mut events = 0;
        while rig.head().put_off > 0 {
            branch = rig.message_on(&[&branch], BOB, "x");
            events += 1;
            assert!(events < 100, "what is owed is paid in the end");
        }
        assert!(events > 1, "it was not paid at once");
        assert_eq!(whole(&rig.snapshot(), rig.head().state), by_the_book(&rig), "version {version}");
        check_rebuild(&rig);
    }
}

#[test]
fn a_writer_follows_what_the_current_state_comes_from() {
    let (rig, honest, branch) = attacked("12");
    let head = rig.head();
    let named: Vec<&str> = head.next.iter().map(|followed| followed.event_id.as_str()).collect();
    assert!(!named.contains(&branch.event_id.as_str()) && named.contains(&honest.event_id.as_str()), "{named:?}");
    let server = server(&rig);
    for event in 0..3 {
        let request = SendRequest {
            room_id: &rig.room_id,
            sender: ALICE,
            event_type: "x.custom",
            state_key: Some("Alice's"),
            content: &format!(r#"{{"event":{event}}}"#),
            transaction: None,
            redacts: None,
            timestamp_ms: None,
        };
        let before = rig.head();
        let sent = block_on(server.send(&request)).unwrap();
        rig.views.wait(sent.offset);
        let (number, snapshot) = (rig.number(), rig.snapshot());
        let stored = query::event(&*snapshot, number, sent.offset).unwrap().expect("it is stored");
        assert_eq!(stored.meta.verdict, Verdict::Accepted);
        let parents: Vec<String> = before.next.iter().map(|followed| followed.event_id.clone()).collect();
        assert_eq!(stored.pdu.prev_events.iter().map(ToString::to_string).collect::<Vec<_>>(), parents);
        assert_eq!(
            query::state_before(&*snapshot, number, &stored.meta).unwrap(),
            before.state,
            "and nothing was paid"
        );
        assert_eq!(query::unresolved(&*snapshot, number, sent.offset).unwrap(), None);
    }
    check_rebuild(&rig);
}

#[test]
fn a_join_that_cannot_be_paid_gets_the_current_state_and_loses_nobody() {
    for version in VERSIONS {
        let (mut rig, honest, mut branch) = attacked(version);
        // The joins' account is exhausted by joins.
        let mut joined = rig.message_on(&[&honest, &branch], BOB, "joined");
        branch = custom(&mut rig, &branch, BOB, 3000);
        let ban = rig.state_on(&[&branch], ALICE, "m.room.member", BOB, r#"{"membership":"ban"}"#);
        let mut rounds = 0;
        while query::unresolved(&*rig.snapshot(), rig.number(), joined.offset).unwrap().is_none() {
            branch = custom(&mut rig, &branch, BOB, 4000 + rounds);
            joined = rig.message_on(&[&honest, &branch], BOB, "joined");
            rounds += 1;
            assert!(rounds < 40, "an attack is not paid for without end");
        }
        let stored = rig.stored(&joined);
        let (why, owed) = query::unresolved(&*rig.snapshot(), rig.number(), joined.offset).unwrap().unwrap();
        assert!(why == Unresolved::Owing && owed >= NARROW.owed_max);
        assert!(query::unresolved_count(&*rig.snapshot()).unwrap() > 0);
        assert!(stored.meta.state_is_resolved);
        // What the state does not come from is there yet, the ban too, and wins when its time has come.
        let ends = rig.extremities();
        let followers = |id: &String| *id == ban.event_id || *id == branch.event_id;
        assert!(ends.iter().any(followers), "version {version}: {ends:?}");
        let mut events = 0;
        while rig.head().put_off > 0 {
            rig.message_on(&[&honest], ALICE, "x");
            events += 1;
            assert!(events < 200, "what is owed is paid in the end");
        }
        assert_eq!(whole(&rig.snapshot(), rig.head().state), by_the_book(&rig), "version {version}");
        assert_eq!(rig.membership(BOB), Some("ban"), "version {version}");
        check_rebuild(&rig);
    }
}

#[test]
fn a_bounded_fork_takes_bounded_work() {
    // Units, not time: three times the events take three times the work, and an event more as much as it adds.
    let spent = |entries: usize| {
        let mut rig = Rig::allowed("12", Allowance { owed_max: u64::MAX, paid_by_event: 0 });
        rig.power(ALICE, &[(BOB, 50)]);
        let base = rig.join(BOB);
        let honest = custom(&mut rig, &base, ALICE, 1000);
        let mut branch = base;
        for entry in 0..entries {
            branch = custom(&mut rig, &branch, BOB, entry);
        }
        let before = rig.head().owed.joins;
        rig.message_on(&[&honest, &branch], ALICE, "joined");
        let head = rig.head();
        // The same states once more are free.
        assert_eq!(head.owed.joins, before, "the current state was resolved already");
        let late = rig.state_on(&[&honest], ALICE, "x.custom", "late", "{}");
        rig.message_on(&[&late, &branch], ALICE, "joined");
        rig.head().owed.joins - head.owed.joins
    };
    let (small, large) = (spent(20), spent(60));
    assert!(small > 0 && large <= 4 * small && large <= 60 * 30, "{small} and {large} units");
}

#[test]
fn an_explanation_names_the_rivals_and_the_step() {
    for version in VERSIONS {
        let mut rig = Rig::room(version);
        rig.power(ALICE, &[(BOB, 50)]);
        let join = rig.join(BOB);
        let topic = rig.state_on(&[&join], BOB, "m.room.topic", "", r#"{"topic":"by Bob"}"#);
        let name = rig.state_on(&[&join], ALICE, "m.room.name", "", r#"{"name":"by Alice"}"#);
        let ban = rig.state_on(&[&name], ALICE, "m.room.member", BOB, r#"{"membership":"ban"}"#);
        let joined = rig.message_on(&[&topic, &ban], ALICE, "joined");
        let meta = rig.stored(&joined).meta;
        let told = resolution_before(&*rig.snapshot(), rig.number(), joined.offset, &meta, 10).unwrap().unwrap();
        assert_eq!((told.states, told.entries), (2, 3));
        let of = |kind: &str| told.contests.iter().find(|contest| contest.event_type == kind).expect("it is told of");
        let member = of("m.room.member");
        assert_eq!((member.winner, member.step), (Some(ban.offset), Some(Step::Power)));
        assert_eq!(member.candidates, [Some(join.offset), Some(ban.offset)]);
        assert_eq!((of("m.room.topic").winner, of("m.room.topic").step), (None, None));
        assert_eq!((of("m.room.name").winner, of("m.room.name").step), (Some(name.offset), Some(Step::Mainline)));
        let short = resolution_before(&*rig.snapshot(), rig.number(), joined.offset, &meta, 1).unwrap().unwrap();
        assert_eq!((short.contests.len(), short.entries), (1, 3), "bounded, and it says so");
    }
}

#[test]
fn a_wide_room_is_bounded_in_what_it_keeps() {
    let mut rig = Rig::room("12");
    rig.power(ALICE, &[(BOB, 50)]);
    let base = rig.join(BOB);
    for end in 0..400 {
        if end % 4 == 0 {
            rig.state_on(&[&base], BOB, "x.custom", &(end % 40).to_string(), &format!(r#"{{"end":{end}}}"#));
        } else {
            rig.message_on(&[&base], BOB, "x");
        }
    }
    assert_eq!(rig.extremities().len(), crate::limits::EXTREMITIES_MAX);
    assert_eq!(query::unresolved_count(&*rig.snapshot()).unwrap(), 0);
}
