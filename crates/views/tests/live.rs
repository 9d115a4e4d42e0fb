//! Following a log live: commits, snapshots, observers, waiting, stopping.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use common::{COUNTS, Counted, NAMES, Tiny, Toy, internal, projectors, rows, seen};
use engram_log::{Log, Offset};
use engram_views::testing::{MemoryLog, TestViews, scratch_dir};
use engram_views::{Batch, Observer, Options, Read, Views};

#[test]
fn what_is_appended_is_applied() {
    let test = TestViews::new(projectors());
    assert_eq!(test.views.snapshot().offset(), Offset::ZERO);
    test.log.journal(seen("a"), 1);
    test.log.journal(seen("a"), 2);
    test.log.journal(internal(), 2);
    let last = test.log.journal(seen("b"), 3);
    let snapshot = test.wait(last);
    assert_eq!(snapshot.offset(), last);
    assert_eq!(test.views.applied(), last);
    assert_eq!(snapshot.get(&COUNTS, b"a").unwrap().as_deref(), Some(&2u64.to_be_bytes()[..]));
    assert_eq!(rows(&*snapshot, &NAMES).len(), 2);
    assert_eq!(snapshot.record(Offset(2)).unwrap().offset, Offset(2));
}

/// The store panics on keys that it could not hold, and what is looked up may be named by a client.
#[test]
fn a_key_that_is_too_long_for_the_store_is_not_there() {
    let test = TestViews::new(projectors());
    let snapshot = test.wait(test.log.journal(seen("a"), 1));
    assert_eq!(snapshot.get(&COUNTS, &vec![b'a'; 65_535]).unwrap(), None);
    assert_eq!(snapshot.get(&COUNTS, &vec![b'a'; 65_536]).unwrap(), None);
}

#[test]
fn a_snapshot_stays_as_it_is() {
    let test = TestViews::new(projectors());
    let before = test.wait(test.log.journal(seen("a"), 1));
    let after = test.wait(test.log.journal(seen("b"), 1));
    assert_eq!(rows(&*before, &NAMES).len(), 1);
    assert_eq!(rows(&*after, &NAMES).len(), 2);
}

/// What an observer saw: offset of the snapshot, deltas, ephemeral records.
type Seen = (Offset, Vec<(Offset, String, u64)>, Vec<Offset>);

struct Tell(Sender<Seen>);

impl Observer for Tell {
    fn committed(&mut self, batch: &Batch<'_>) {
        let delta = |(offset, Counted(name, count)): &(Offset, Counted)| (*offset, name.clone(), *count);
        let deltas = batch.deltas::<Toy>().iter().map(delta).collect();
        let ephemeral = batch.ephemeral().iter().map(|record| record.offset).collect();
        assert!(batch.deltas::<Tiny>().is_empty(), "each projector has a list of its own");
        self.0.send((batch.snapshot().offset(), deltas, ephemeral)).expect("the test listens");
    }
}

#[test]
fn observers_see_deltas_and_ephemeral_records_in_order() {
    let log = MemoryLog::new();
    log.journal(seen("replayed, so not observed"), 1);
    let (sender, receiver) = channel();
    let test = TestViews::over(log, projectors(), vec![Box::new(Tell(sender))]);
    test.log.journal(seen("a"), 1);
    test.log.ephemeral(seen("not for projectors"), 1);
    test.log.journal(seen("a"), 1);
    let last = test.log.ephemeral(seen("not for projectors"), 1);
    let snapshot = test.wait(last);
    let (mut deltas, mut ephemeral) = (Vec::new(), Vec::new());
    // Told before anybody who waits is woken: everything is there already.
    for (_, more_deltas, more_ephemeral) in receiver.try_iter() {
        deltas.extend(more_deltas);
        ephemeral.extend(more_ephemeral);
    }
    assert_eq!(deltas, [(Offset(2), "a".to_owned(), 1), (Offset(4), "a".to_owned(), 2)]);
    assert_eq!(ephemeral, [Offset(3), Offset(5)]);
    assert_eq!(rows(&*snapshot, &NAMES).len(), 2);
}

#[test]
fn many_wait_and_each_sees_what_it_waited_for() {
    let test = TestViews::new(projectors());
    std::thread::scope(|scope| {
        for writer in 0..32 {
            let test = &test;
            scope.spawn(move || {
                for number in 0..20 {
                    let name = format!("{writer}.{number}");
                    let snapshot = test.wait(test.log.journal(seen(&name), 1));
                    assert!(snapshot.get(&NAMES, name.as_bytes()).unwrap().is_some());
                }
            });
        }
    });
    assert_eq!(rows(&*test.settle(), &NAMES).len(), 640);
}

#[test]
fn those_who_wait_are_told_when_the_log_stops() {
    let test = TestViews::new(projectors());
    let last = test.log.journal(seen("a"), 1);
    let waiting = test.views.wait_applied(last.next());
    std::thread::scope(|scope| {
        let blocked = scope.spawn(|| test.views.wait_applied_blocking(Offset(99)));
        test.log.stop("full");
        assert!(blocked.join().unwrap().unwrap_err().to_string().contains("full"));
    });
    drop(waiting);
    test.views.wait_applied_blocking(last).expect("what was durable was applied");
    assert!(test.views.stopped().is_some());
}

#[test]
fn closing_applies_what_is_durable_and_stops() {
    let directory = scratch_dir();
    let log = MemoryLog::new();
    let views = Views::open(directory.path(), Arc::new(log.clone()), projectors(), Options::default()).unwrap();
    views.start(Vec::new());
    for _ in 0..1000 {
        log.journal(seen("a"), 1);
    }
    views.close();
    assert_eq!(views.applied(), log.durable_end());
    assert!(views.wait_applied_blocking(Offset(1001)).is_err());
}

struct Panics;

impl Observer for Panics {
    fn committed(&mut self, _: &Batch<'_>) {
        panic!("as the test wants it");
    }
}

#[test]
fn nobody_waits_for_ever_after_a_panic() {
    let test = TestViews::over(MemoryLog::new(), projectors(), vec![Box::new(Panics)]);
    let offset = test.log.journal(seen("a"), 1);
    assert!(test.views.wait_applied_blocking(offset).is_err());
    assert!(test.views.wait_applied_blocking(offset.next()).is_err());
    assert_eq!(test.views.applied(), Offset::ZERO, "what an observer has not seen does not count as applied");
}
