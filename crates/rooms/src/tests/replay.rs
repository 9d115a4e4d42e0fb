//! Same log, same views: live, replayed, with and without memos, with events twice.

use engram_log::{Log as _, Offset};
use engram_log_format::Input;
use engram_views::testing::{MemoryLog, TestViews};
use proptest::prelude::*;

use super::rig::{ALICE, BOB, CAROL, Rig, rows};
use crate::projector::RoomsProjector;
use crate::query;

/// A room with something of everything.
fn eventful(version: &str) -> Rig {
    let mut rig = Rig::room(version);
    let join = rig.join(BOB);
    rig.message(BOB, "one");
    rig.power(ALICE, &[(BOB, 50)]);
    let secret = rig.message(BOB, "two");
    rig.redact(ALICE, &secret.event_id);
    rig.message(CAROL, "rejected");
    let base = rig.last.clone().unwrap();
    let left = rig.state_on(&[&base], BOB, "m.room.topic", "", r#"{"topic":"left"}"#);
    let right = rig.state_on(&[&base], ALICE, "m.room.member", BOB, r#"{"membership":"ban"}"#);
    rig.message_on(&[&join], BOB, "soft-failed");
    let joined = rig.message_on(&[&left, &right], ALICE, "joined");
    rig.last = Some(joined);
    for count in 0..20 {
        rig.message(ALICE, &format!("message {count}"));
        if count % 5 == 0 {
            rig.state(ALICE, "m.room.name", "", &format!(r#"{{"name":"{count}"}}"#));
        }
    }
    rig.join(CAROL);
    rig
}

fn replayed(log: MemoryLog) -> TestViews {
    TestViews::over(log, vec![Box::new(RoomsProjector::default())], Vec::new())
}

#[test]
fn a_rebuild_gives_the_same_rows_as_the_live_view() {
    for version in ["10", "11", "12"] {
        let rig = eventful(version);
        let live = rows(&*rig.snapshot());
        let rebuilt = rows(&*replayed(rig.views.log.prefix(usize::MAX)).settle());
        assert_eq!(live.len(), rebuilt.len());
        for (live, rebuilt) in live.iter().zip(&rebuilt) {
            assert_eq!(live, rebuilt, "version {version}");
        }
    }
}

#[test]
fn an_event_that_is_in_the_log_twice_counts_once() {
    let rig = eventful("12");
    let twice = MemoryLog::new();
    let inputs: Vec<Input> = (1..=rig.views.log.durable_end().0)
        .map(|offset| rig.views.log.read(Offset(offset)).unwrap().input().unwrap().to_owned())
        .collect();
    for input in inputs.iter().chain(&inputs).chain(inputs.iter().rev()) {
        twice.journal(input.clone(), 1);
    }
    let snapshot = replayed(twice).settle();
    // But for the list of which record has what, which is there to erase it everywhere.
    let without_copies = |reader: &dyn engram_views::Read| {
        let mut rows = rows(reader);
        rows.retain(|(table, ..)| ![crate::tables::COPIES.name, crate::tables::ERASURES.name].contains(table));
        rows
    };
    let (once, twice) = (without_copies(&*rig.snapshot()), without_copies(&*snapshot));
    assert_eq!(once.len(), twice.len());
    for (once, twice) in once.iter().zip(&twice) {
        assert_eq!(once, twice);
    }
}

#[test]
fn memos_change_nothing() {
    // Stopping after every record and opening anew drops all memos each time.
    let rig = eventful("11");
    let count = rig.views.log.len();
    let cuts = [1, count / 2, count - 1];
    for cut in cuts {
        let log = rig.views.log.prefix(cut);
        let views = replayed(log.clone());
        for offset in cut as u64 + 1..=count as u64 {
            let input = rig.views.log.read(Offset(offset)).unwrap().input().unwrap().to_owned();
            log.journal(input, 1);
        }
        assert_eq!(rows(&*views.settle()).len(), rows(&*rig.snapshot()).len());
        assert!(rows(&*views.settle()) == rows(&*rig.snapshot()), "cut after {cut}");
    }
}

/// The same log with memories of any size, also with next to none: the same rows.
#[test]
fn the_size_of_memories_changes_nothing() {
    for version in ["10", "12"] {
        let rig = eventful(version);
        let expected = rows(&*rig.snapshot());
        for bytes in [0, 1, 2000, 20_000, usize::MAX / 2] {
            let projector = Box::new(RoomsProjector::with_memo_bytes(bytes));
            let views = TestViews::over(rig.views.log.prefix(usize::MAX), vec![projector], Vec::new());
            assert!(rows(&*views.settle()) == expected, "version {version} with {bytes} bytes");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    /// Any sequence of what members may try, with branches anywhere: every invariant that links the tables holds.
    #[test]
    fn tables_agree_with_each_other(steps in proptest::collection::vec((0u8..7, 0u8..3, 0u8..6), 1..30)) {
        let mut rig = Rig::room("11");
        rig.power(ALICE, &[(BOB, 60)]);
        let mut made = vec![rig.last.clone().unwrap()];
        for (action, who, back) in steps {
            let sender = [ALICE, BOB, CAROL][usize::from(who)];
            let parent = made[made.len().saturating_sub(1 + usize::from(back))].clone();
            let newest = made.last().unwrap().clone();
            let event = match action {
                0 | 1 => rig.message_on(&[&parent], sender, "x"),
                2 => rig.state_on(&[&parent], sender, "m.room.member", sender, r#"{"membership":"join"}"#),
                3 => rig.state_on(&[&parent], sender, "m.room.member", BOB, r#"{"membership":"ban"}"#),
                4 => rig.state_on(&[&parent], sender, "m.room.topic", "", r#"{"topic":"t"}"#),
                5 => rig.state_on(&[&parent], sender, "m.room.member", sender, r#"{"membership":"leave"}"#),
                _ if parent.event_id != newest.event_id => rig.message_on(&[&parent, &newest], sender, "joined"),
                _ => rig.message_on(&[&newest], sender, "y"),
            };
            made.push(event);
        }
        let (snapshot, number, head) = (rig.snapshot(), rig.number(), rig.head());
        prop_assert_eq!(query::state_at(&*snapshot, number, Offset(u64::MAX)).unwrap(), head.state);
        let members = query::members(&*snapshot, number, None).unwrap();
        let joined = members.iter().filter(|member| member.membership.as_str() == "join").count() as u64;
        prop_assert_eq!(joined, head.joined);
        for member in &members {
            prop_assert_eq!(rig.current("m.room.member", &member.user_id), Some(member.event));
        }
        let rebuilt = replayed(rig.views.log.prefix(usize::MAX)).settle();
        prop_assert!(rows(&*rebuilt) == rows(&*snapshot), "the rebuilt view differs");
    }
}
