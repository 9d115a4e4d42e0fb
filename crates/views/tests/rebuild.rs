//! Same log, same views: live, replayed, cut and resumed, rebuilt, or built up to a point.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{COUNTS, Tiny, copy, digests, digests_of, expected, files, history, internal, open, projectors, seen};
use engram_log::{Input, Lane, Log, Offset, TimestampMs};
use engram_views::rebuild::{self, Until, Which};
use engram_views::testing::{MemoryLog, TestViews, scratch_dir};
use engram_views::{AnyProjector, Options, ProjectError, Read, Views, list};
use proptest::prelude::*;

/// What happens to a log.
#[derive(Clone, Debug)]
enum Step {
    Append(Vec<u8>),
    Ephemeral(u8),
    Internal,
    Gap(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::collection::vec(0..9u8, 1..5).prop_map(Step::Append),
        1 => (0..9u8).prop_map(Step::Ephemeral),
        1 => Just(Step::Internal),
        1 => (1..1000u64).prop_map(Step::Gap),
    ]
}

fn take(log: &MemoryLog, step: &Step) {
    let name = |name: &u8| seen(&format!("@{name}:example.org"));
    match step {
        Step::Append(names) => {
            let inputs: Vec<Input> = names.iter().map(name).collect();
            log.append(Lane::Journal, &inputs, TimestampMs(1)).unwrap();
        }
        Step::Ephemeral(number) => drop(log.ephemeral(name(number), 1)),
        Step::Internal => drop(log.journal(internal(), 1)),
        Step::Gap(count) => log.skip(*count),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn live_equals_replayed_wherever_it_is_cut(
        steps in prop::collection::vec(step(), 1..60),
        per_mille in 0..1000usize,
    ) {
        let live = TestViews::new(projectors());
        for step in &steps {
            take(&live.log, step);
        }
        let snapshot = live.settle();
        let right = digests_of(&snapshot).unwrap();

        let directory = scratch_dir();
        let cut = live.log.len() * per_mille / 1000;
        drop(open(directory.path(), &live.log.prefix(cut)));
        let resumed = open(directory.path(), &live.log);
        prop_assert_eq!(resumed.applied(), snapshot.offset());
        prop_assert_eq!(digests(&resumed), right);
    }
}

#[test]
fn a_snapshot_never_shows_half_an_append() {
    let test = TestViews::new(projectors());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut looks, mut last) = (0, Offset::ZERO);
            while !done.load(Ordering::Acquire) {
                let snapshot = test.views.snapshot();
                let left = snapshot.get(&COUNTS, b"left").unwrap();
                let right = snapshot.get(&COUNTS, b"right").unwrap();
                assert_eq!(left, right, "at {}", snapshot.offset());
                let counted = left.map_or(0, |count| u64::from_be_bytes((*count).try_into().unwrap()));
                assert_eq!(snapshot.offset(), Offset(counted * 2), "the offset is that of the rows");
                assert!(snapshot.offset() >= last, "snapshots do not go back");
                last = snapshot.offset();
                looks += 1;
            }
            looks
        });
        for _ in 0..1000 {
            test.log.append(Lane::Journal, &[seen("left"), seen("right")], TimestampMs(1)).unwrap();
        }
        test.settle();
        done.store(true, Ordering::Release);
        assert!(reader.join().unwrap() > 0);
    });
}

#[test]
fn an_append_larger_than_a_batch_is_applied_as_one() {
    let test = TestViews::new(projectors());
    let before = test.settle();
    for count in [1023, 1024, 1025, 3000, 2048] {
        let inputs: Vec<Input> = (0..count).map(|number| seen(&(number % 7).to_string())).collect();
        let appended = test.log.append(Lane::Journal, &inputs, TimestampMs(1)).unwrap();
        // Whoever waits for the first record sees the last one too.
        let snapshot = test.wait(appended.first);
        assert!(snapshot.offset() >= appended.last, "an append of {count} was cut");
    }
    assert_eq!(before.offset(), Offset::ZERO);
}

#[test]
fn into_a_directory_up_to_a_point() {
    let log = history(1500);
    let at_end = expected(&log);
    for (until, count) in [
        (Until::End, 1500),
        (Until::Offset(Offset(1)), 1),
        (Until::Offset(Offset(1200)), 1200),
        (Until::Time(TimestampMs(699)), 700),
    ] {
        let directory = scratch_dir();
        let mut records = 0;
        let log_handle = Arc::new(log.clone());
        let snapshot = rebuild::into(directory.path(), log_handle, projectors(), until, &mut |progress| {
            assert!(progress.records > records && progress.end == Offset(1500));
            records = progress.records;
        })
        .unwrap();
        assert_eq!(snapshot.offset(), Offset(count), "{until:?}");
        assert_eq!(records, count);
        assert_eq!(digests_of(&snapshot).unwrap(), expected(&log.prefix(count as usize)), "{until:?}");
        drop(snapshot);
        // What was built is a complete store: it can be taken up from there.
        assert_eq!(digests(&open(directory.path(), &log)), at_end);
    }
}

#[test]
fn a_directory_in_use_is_not_built_into() {
    let directory = scratch_dir();
    let log = history(10);
    drop(open(directory.path(), &log));
    let result = rebuild::into(directory.path(), Arc::new(log), projectors(), Until::End, &mut |_| {});
    assert!(result.is_err());
}

#[test]
fn in_place_one_or_all() {
    let log = history(500);
    let right = expected(&log);
    let directory = scratch_dir();
    drop(open(directory.path(), &log.prefix(400)));
    let generations = || list(directory.path()).unwrap().iter().map(|view| view.generation).collect::<Vec<_>>();
    for (which, expected) in [(Which::Named("toy"), [2, 1]), (Which::All, [3, 2]), (Which::Named("tiny"), [3, 3])] {
        let snapshot =
            rebuild::in_place(directory.path(), Arc::new(log.clone()), projectors(), which, &mut |_| {}).unwrap();
        assert_eq!(snapshot.offset(), Offset(500));
        assert_eq!(digests_of(&snapshot).unwrap(), right);
        drop(snapshot);
        assert_eq!(generations(), expected);
    }
    assert_eq!(digests(&open(directory.path(), &log)), right);
}

#[test]
fn an_interrupted_rebuild_leaves_the_views_as_they_were() {
    let log = history(2500);
    let right = expected(&log);
    let directory = scratch_dir();
    drop(open(directory.path(), &log));
    let interrupted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        rebuild::in_place(directory.path(), Arc::new(log.clone()), projectors(), Which::All, &mut |progress| {
            assert!(progress.records < 2000, "interrupted here");
        })
    }));
    assert!(interrupted.is_err());
    let cursors: Vec<_> =
        list(directory.path()).unwrap().into_iter().map(|view| (view.generation, view.cursor)).collect();
    assert_eq!(cursors, [(1, Offset(2500)); 2]);
    assert_eq!(digests(&open(directory.path(), &log)), right);
    let keyspaces = std::fs::read_dir(directory.path().join("db/keyspaces")).unwrap().count();
    assert_eq!(keyspaces, 4, "two views, our description, fjall's own: nothing half-built is left");
}

#[test]
fn an_erased_record_is_passed_over() {
    let log = history(3);
    let bytes = Arc::new(seen("x").encode());
    let now = TimestampMs(9);
    let kind = engram_log_format::input::kind_by_name("to-device-sent").unwrap();
    let length = bytes.len();
    log.push_raw(engram_log::Record::new(Offset(4), now, kind, 1, Lane::Journal, bytes, 0..length).erased(None));
    log.journal(seen("after it"), 1);
    let directory = scratch_dir();
    assert_eq!(open(directory.path(), &log).applied(), Offset(5));
}

#[test]
fn what_cannot_be_decoded_stops_the_views() {
    let log = history(3);
    let record = log.read(Offset(3)).unwrap();
    let unknown = |offset: u64, schema: u16| {
        let bytes = Arc::new(seen("x").encode());
        let length = bytes.len();
        engram_log::Record::new(Offset(offset), record.timestamp, record.kind, schema, record.lane, bytes, 0..length)
    };
    let test = TestViews::over(log.clone(), projectors(), Vec::new());
    log.push_raw(unknown(4, 77));
    let stopped = test.views.wait_applied_blocking(Offset(4)).unwrap_err();
    assert!(stopped.to_string().contains("unknown record kind"), "{stopped}");
    let directory = scratch_dir();
    let result = rebuild::into(directory.path(), Arc::new(log), projectors(), Until::End, &mut |_| {});
    assert!(matches!(result, Err(ProjectError::Decode { offset: Offset(4), .. })));
}

#[test]
fn a_long_replay_writes_files_and_can_be_killed_between_them() {
    // One cheap view: the other's scans would pass over all that it has removed.
    let alone = || vec![Box::new(Tiny) as Box<dyn AnyProjector>];
    let open =
        |dir: &Path, log: &MemoryLog| Views::open(dir, Arc::new(log.clone()), alone(), Options::default()).unwrap();
    let log = MemoryLog::new();
    for number in 0u32..70_000 {
        log.journal(seen(&format!("name {}", number % 60_000)), 1);
    }
    let directory = scratch_dir();
    let (built, killed) = (directory.path().join("built"), directory.path().join("killed"));
    let mut copied = 0;
    let snapshot = rebuild::into(&built, Arc::new(log.clone()), alone(), Until::End, &mut |progress| {
        // Files of rows are there, and what came after them is not.
        if copied == 0 && files(&built.join("db/keyspaces")).iter().any(|file| file.metadata().unwrap().len() > 100_000)
        {
            copy(&built, &killed);
            copied = progress.records;
        }
    });
    let right = digests_of(&snapshot.unwrap()).unwrap();
    assert!((1..70_000).contains(&copied), "copied at {copied}");
    let infos = list(&killed).unwrap();
    assert!(infos.iter().all(|view| (1..70_000).contains(&view.cursor.0)), "{infos:?}");
    assert_eq!(digests(&open(&killed, &log)), right);
    assert!(list(&killed).unwrap().iter().all(|view| view.generation == 1), "gone on with, not begun again");
    // The same in two parts, of which neither is long.
    drop(open(&directory.path().join("live"), &log.prefix(30_000)));
    assert_eq!(digests(&open(&directory.path().join("live"), &log)), right);
}
