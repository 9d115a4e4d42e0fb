//! A rebuild gives what was live: whatever the batches were, wherever it was cut, whoever read meanwhile.
//!
//! One thread writes all views, by construction. So what is tried with several is several rebuilds at once, and readers
//! beside the writer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use engram_ephemeral::EphemeralProjector;
use engram_eraser::ErasuresProjector;
use engram_log::{InputRef, Log, Offset, Record};
use engram_rooms::RoomsProjector;
use engram_server::node::projectors;
use engram_users::UsersProjector;
use engram_views::rebuild::{self, Until, Which};
use engram_views::testing::{MemoryLog, TestViews, flush, scratch_dir};
use engram_views::{Apply, Options, ProjectError, Projector, Table, ViewError, Views};

use super::generate::{Append, Random, history, log_of};
use super::support::{Digests, InPortions, asked, copy, digests, expected, open, seeds};

/// Histories that are tried where nobody asks for more.
const HISTORIES: u64 = 6;
const RECORDS: usize = 260;

/// The views that followed a history live, appended in portions of up to `most` at once before anybody waits.
fn live(history: &[Append], random: &mut Random, most: usize) -> TestViews {
    let views = TestViews::over(MemoryLog::new(), projectors(), Vec::new());
    let mut rest = history;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(rest.len().min(1 + random.below(most)));
        let last = now.iter().fold(None, |_, append| Some(append.to(&views.log))).expect("at least one");
        views.wait(last);
        rest = later;
    }
    views
}

fn rebuilt(log: &MemoryLog, records: usize, ingest_rows: usize) -> Digests {
    let directory = scratch_dir();
    let views = open(directory.path(), &InPortions { log: log.clone(), records }, ingest_rows).expect("it opens");
    digests(&views.snapshot()).expect("it can be read")
}

#[test]
fn any_batches_give_what_was_live() {
    let count = asked("ENGRAM_HISTORIES", HISTORIES);
    let (mut records, mut rebuilds) = (0, 0);
    for seed in seeds(count) {
        let history = history(seed, RECORDS);
        let mut random = Random(!seed);
        let views = live(&history, &mut random, 20);
        let live_digests = digests(&views.settle()).expect("it can be read");
        for (portion, ingest_rows) in [(1024, 0), (1, 1), (7, 40), (1 + random.below(50), 1 + random.below(300))] {
            let rebuilt = rebuilt(&views.log, portion, ingest_rows);
            assert_eq!(rebuilt, live_digests, "seed {seed}: {portion} records at a time, {ingest_rows} rows a file");
            rebuilds += 1;
        }
        records += views.log.len();
    }
    println!("{count} histories, {records} records: {rebuilds} rebuilds in batches of all sizes as the live views");
}

#[test]
fn rebuilds_side_by_side_and_readers_beside_them() {
    let count = asked("ENGRAM_HISTORIES", HISTORIES).div_ceil(3);
    let mut rebuilds = 0;
    for seed in seeds(count) {
        let history = history(seed ^ 0x7ead, RECORDS);
        for threads in [1, 2, 8] {
            let views = TestViews::over(MemoryLog::new(), projectors(), Vec::new());
            let done = AtomicBool::new(false);
            thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| {
                        while !done.load(Ordering::Relaxed) {
                            digests(&views.views.snapshot()).expect("it can be read");
                        }
                    });
                }
                for append in &history {
                    views.wait(append.to(&views.log));
                }
                done.store(true, Ordering::Relaxed);
            });
            let live_digests = digests(&views.settle()).expect("it can be read");
            thread::scope(|scope| {
                let at_once: Vec<_> = (0..threads).map(|_| scope.spawn(|| rebuilt(&views.log, 100, 500))).collect();
                for rebuilt in at_once {
                    assert_eq!(rebuilt.join().expect("no panic"), live_digests, "seed {seed}, {threads} threads");
                    rebuilds += 1;
                }
            });
        }
    }
    println!("{rebuilds} rebuilds, 1, 2 and 8 at once and under as many readers, as the live views");
}

#[test]
fn cut_at_every_record_and_resumed() {
    let count = asked("ENGRAM_HISTORIES", HISTORIES).div_ceil(6);
    let mut cuts = 0;
    for seed in seeds(count) {
        let log = log_of(&history(seed ^ 0xc07, RECORDS / 2));
        let right = expected(&log);
        let directory = scratch_dir();
        // In one directory, one record after the other: every boundary is one at which a start resumes, and all memos
        // are gone.
        for records in 1..=log.len() {
            let views = open(directory.path(), &log.prefix(records), 0).expect("it opens");
            if records % 40 == 0 {
                flush(&views.snapshot());
            }
            cuts += 1;
        }
        let resumed = open(directory.path(), &log, 0).expect("it opens");
        assert_eq!(digests(&resumed.snapshot()).expect("it can be read"), right, "seed {seed}");
        drop(resumed);
        // Cut once, anywhere, and resumed to the end.
        let mut random = Random(seed);
        for _ in 0..12 {
            let cut = random.below(log.len());
            let directory = scratch_dir();
            drop(open(directory.path(), &log.prefix(cut), 1 + random.below(100)).expect("it opens"));
            let views = open(directory.path(), &log, 1 + random.below(100)).expect("it opens");
            assert_eq!(digests(&views.snapshot()).expect("it can be read"), right, "seed {seed}: cut after {cut}");
            cuts += 1;
        }
    }
    println!("{count} histories cut at {cuts} places and resumed");
}

/// Fails at a record, once: the batch that it is in is lost.
struct FailsAt<P>(P, Offset);

impl<P: Projector> Projector for FailsAt<P> {
    type Delta = P::Delta;

    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn version(&self) -> u32 {
        self.0.version()
    }

    fn tables(&self) -> &'static [&'static Table] {
        self.0.tables()
    }

    fn apply(
        &mut self,
        record: &Record,
        input: InputRef<'_>,
        view: &mut Apply<'_, P::Delta>,
    ) -> Result<(), ProjectError> {
        self.0.apply(record, input, view)?;
        if record.offset < self.1 {
            return Ok(());
        }
        // A full disk: no damage, so nothing is thrown away.
        Err(ViewError::Io(std::io::Error::from_raw_os_error(28)).into())
    }

    fn reset(&mut self) {
        self.0.reset();
    }
}

/// The projector in that place of the server's list, as one that fails.
fn failing_at(which: usize, at: Offset) -> Box<dyn engram_views::AnyProjector> {
    let failing: [Box<dyn engram_views::AnyProjector>; 4] = [
        Box::new(FailsAt(RoomsProjector::default(), at)),
        Box::new(FailsAt(UsersProjector, at)),
        Box::new(FailsAt(EphemeralProjector, at)),
        Box::new(FailsAt(ErasuresProjector, at)),
    ];
    let names = |projectors: &[Box<dyn engram_views::AnyProjector>]| {
        projectors.iter().map(|each| each.name()).collect::<Vec<_>>()
    };
    assert_eq!(names(&failing), names(&projectors()), "in the order of the server's list");
    failing.into_iter().nth(which).expect("a place in the list")
}

#[test]
fn cut_in_the_middle_of_a_batch_and_resumed() {
    let count = asked("ENGRAM_HISTORIES", HISTORIES).div_ceil(3);
    let mut cuts = 0;
    for seed in seeds(count) {
        let log = log_of(&history(seed ^ 0xba7c, RECORDS));
        let right = expected(&log);
        let mut random = Random(seed);
        for _ in 0..10 {
            let directory = scratch_dir();
            // Several times, each time a little further, in files of few rows: the views are at different records then.
            let mut at = 0;
            for _ in 0..3 {
                at += 1 + random.below(log.len() / 3) as u64;
                let mut failing = projectors();
                let which = random.below(failing.len());
                failing[which] = failing_at(which, Offset(at));
                let options = Options { ingest_rows: 1 + random.below(60), ..Options::default() };
                let portions = InPortions { log: log.clone(), records: 1 + random.below(30) };
                if let Err(error) = Views::open(directory.path(), Arc::new(portions), failing, options) {
                    assert!(!error.is_damage(), "{error}");
                    cuts += 1;
                }
            }
            let views = open(directory.path(), &log, 0).expect("it opens");
            assert_eq!(digests(&views.snapshot()).expect("it can be read"), right, "seed {seed}, at {at}");
        }
    }
    println!("{count} histories cut in the middle of {cuts} batches and resumed");
}

#[test]
fn views_rebuilt_one_by_one_and_all_at_once() {
    let log = log_of(&history(asked("ENGRAM_SEED", 1) ^ 0x0e, RECORDS));
    let right = expected(&log);
    let directory = scratch_dir();
    drop(open(directory.path(), &log.prefix(RECORDS / 2), 0).expect("it opens"));
    let shared: Arc<dyn Log> = Arc::new(log.clone());
    for which in [Which::Named("rooms"), Which::Named("users"), Which::Named("ephemeral"), Which::All] {
        let snapshot = rebuild::in_place(directory.path(), shared.clone(), projectors(), which, &mut |_| {})
            .expect("it is rebuilt");
        assert_eq!(digests(&snapshot).expect("it can be read"), right, "{which:?}");
    }
    // A copy without the mark of a clean stop.
    let copied = scratch_dir();
    copy(directory.path(), copied.path());
    std::fs::remove_file(copied.path().join("clean")).expect("it was left cleanly");
    assert_eq!(digests(&open(copied.path(), &log, 0).expect("it opens").snapshot()).expect("it can be read"), right);
    let scratch = scratch_dir();
    let snapshot = rebuild::into(scratch.path(), shared, projectors(), Until::End, &mut |_| {}).expect("it is built");
    assert_eq!(digests(&snapshot).expect("it can be read"), right);
}
