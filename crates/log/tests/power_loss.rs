//! Power loss at every write, sync, rename and removal of a workload that uses every operation of the log,
//! and again during the recovery from it.
//!
//! The workload runs once and leaves a trace. For each prefix of the trace, images of the disk are made with
//! subsets of what was not synced, torn writes among them; from each the log is opened and compared with
//! what the workload had been promised by then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use engram_log::storage::Storage;
use engram_log::storage::sim::{CrashPoint, Fate, Image, Op, SimStorage};
use engram_log::verify::verify;
use engram_log::{
    EmbeddedLog, FollowError, Input, InputRef, Kind, Lane, Lanes, Log, Offset, Options, Record, TimestampMs,
};
use engram_log_format::v1;

/// Marks in the trace: an offset was handed out, or acknowledged as durable.
const HANDED_OUT: u64 = 1 << 40;
const ACKNOWLEDGED: u64 = 2 << 40;

fn options() -> Options {
    Options {
        segment_bytes: 8192,
        ephemeral_segment_bytes: 4096,
        lease_step: 32,
        zero_ahead_bytes: 1024,
        tail_bytes_max: 1500,
        ephemeral_retention_ms: 1000,
        ..Options::default()
    }
}

/// One append of the workload.
struct Done {
    inputs: Vec<Input>,
    first: Offset,
    last: Offset,
    lane: Lane,
}

struct Workload {
    storage: Arc<SimStorage>,
    log: Arc<EmbeddedLog>,
    done: Vec<Done>,
    now: u64,
}

impl Workload {
    fn open(storage: &Arc<SimStorage>) -> Arc<EmbeddedLog> {
        EmbeddedLog::open(storage.clone(), options()).expect("the log opens")
    }

    /// Appends `count` records without waiting. The lease may be on its way to the disk: then it is tried again.
    fn append(&mut self, lane: Lane, count: usize, bytes: usize) -> Offset {
        let number = self.done.len();
        let content = |part| format!("{number} {part} {count} {}", "x".repeat(bytes)).into_bytes();
        let input = |part| match lane {
            Lane::Journal => Input::from(v1::AccountDataSet {
                user_id: "@a:b".to_owned(),
                room_id: None,
                event_type: "t".to_owned(),
                content: content(part),
            }),
            Lane::Ephemeral => Input::from(v1::TypingSet {
                room_id: String::from_utf8(content(part)).expect("text"),
                user_id: "@a:b".to_owned(),
                until_ms: None,
            }),
        };
        let inputs: Vec<Input> = (0..count).map(input).collect();
        self.now += 100;
        let appended = loop {
            match self.log.append(lane, &inputs, TimestampMs(self.now)) {
                Ok(appended) => break appended,
                Err(engram_log::AppendError::Busy) => {
                    let end = self.log.stat().expect("figures").next.0 - 1;
                    self.log.wait_durable(Offset(end)).expect("durable");
                }
                Err(error) => panic!("an append was refused: {error}"),
            }
        };
        self.storage.mark(HANDED_OUT | appended.last.0);
        self.done.push(Done { inputs, first: appended.first, last: appended.last, lane });
        appended.last
    }

    fn wait(&self, offset: Offset) {
        self.log.wait_durable(offset).expect("durable");
        self.storage.mark(ACKNOWLEDGED | offset.0);
    }

    fn append_and_wait(&mut self, lane: Lane, count: usize, bytes: usize) {
        let last = self.append(lane, count, bytes);
        self.wait(last);
    }

    /// Every operation: single and multiple appends, group commits, ephemeral records and their retention,
    /// rotation of both lanes, an oversize append, leases, a clean close, a stop without one.
    fn run(storage: &Arc<SimStorage>) -> Vec<Done> {
        let mut work = Self { storage: storage.clone(), log: Self::open(storage), done: Vec::new(), now: 0 };
        for round in 0..3 {
            work.append_and_wait(Lane::Journal, 1, 300);
            work.append_and_wait(Lane::Journal, 3, 700);
            work.append_and_wait(Lane::Ephemeral, 1, 10);
            let group: Vec<Offset> = (0..4).map(|number| work.append(Lane::Journal, 1 + number % 2, 200)).collect();
            work.append(Lane::Ephemeral, 2, 10);
            for last in group {
                work.wait(last);
            }
            work.append_and_wait(Lane::Ephemeral, 1, 1500);
            work.append_and_wait(Lane::Journal, 2, if round == 1 { 6000 } else { 1000 });
            match round {
                0 => work.log.close().expect("it closes"),
                // The process dies; what it had written is still in the page cache.
                _ => drop(std::mem::replace(
                    &mut work.log,
                    EmbeddedLog::open(SimStorage::new(), options()).expect("one to hold the place"),
                )),
            }
            if round < 2 {
                work.log = Self::open(storage);
            }
        }
        work.done
    }
}

/// What had been promised at a point of the trace.
#[derive(Clone, Copy, Default)]
struct Promised {
    handed_out: u64,
    acknowledged: u64,
}

impl Promised {
    fn step(&mut self, op: &Op) {
        match op {
            Op::Mark(mark) if mark & ACKNOWLEDGED != 0 => {
                self.acknowledged = self.acknowledged.max(mark & !ACKNOWLEDGED);
            }
            Op::Mark(mark) => self.handed_out = self.handed_out.max(mark & !HANDED_OUT),
            _ => {}
        }
    }
}

fn read_all(log: &EmbeddedLog) -> Vec<Record> {
    let mut follower = log.follow(Offset::ZERO, Lanes::Both).expect("following begins");
    let mut records = Vec::new();
    loop {
        match follower.next(&mut records, 50, Duration::ZERO) {
            Ok(0) | Err(FollowError::Stopped(_)) => return records,
            Ok(_) => {}
            Err(error) => panic!("a follower failed: {error}"),
        }
    }
}

/// Opens an image, and holds what is there against what was promised. Returns the recovered storage.
fn check(image: &Image, done: &[Done], promised: Promised, place: &str) -> Arc<SimStorage> {
    let storage = SimStorage::from_image(image);
    let log = EmbeddedLog::open(storage.clone(), options()).unwrap_or_else(|error| panic!("{place}: {error}"));
    let records = read_all(&log);
    let by_offset: BTreeMap<Offset, &Record> = records.iter().map(|record| (record.offset, record)).collect();
    for append in done {
        // An offset that nobody had seen may carry something else after a recovery: what counts is the content.
        let is_there = |(number, input): (usize, &Input)| {
            let record = by_offset.get(&Offset(append.first.0 + number as u64));
            record.is_some_and(|record| record.kind == input.kind() && record.payload() == &input.encode()[..])
        };
        let present = append.inputs.iter().enumerate().filter(|each| is_there(*each)).count();
        let whole = present == 0 || present == append.inputs.len();
        assert!(whole, "{place}: part of the append at {} is there", append.first);
        if append.lane == Lane::Journal && append.last.0 <= promised.acknowledged {
            assert!(present > 0, "{place}: the acknowledged append at {} is lost", append.first);
        }
    }
    // Each opening says so first, with offsets that nobody has seen before.
    let started =
        records.iter().rfind(|record| matches!(record.input(), Ok(InputRef::Started(_)))).expect("it has started");
    assert!(started.offset.0 > promised.handed_out, "{place}: offset {} was handed out before", started.offset);
    let appended = log.append(Lane::Journal, &[done[0].inputs[0].clone()], TimestampMs(0)).expect("it takes appends");
    log.wait_durable(appended.last).expect("durable");
    assert_eq!(log.read(appended.first).expect("there").payload(), &done[0].inputs[0].encode()[..]);
    drop(log);
    storage
}

/// Recovery is idempotent: opened again, the log has the same records and some more of its own.
fn check_again(storage: &Arc<SimStorage>, place: &str) {
    let reader = EmbeddedLog::open_read_only(storage.clone()).expect("it opens to read");
    let before: BTreeSet<Offset> = read_all(&reader).iter().map(|record| record.offset).collect();
    drop(reader);
    let log = EmbeddedLog::open(storage.clone(), options()).expect("it opens again");
    let after = read_all(&log);
    log.close().expect("it closes");
    let offsets: BTreeSet<Offset> = after.iter().map(|record| record.offset).collect();
    assert!(before.is_subset(&offsets), "{place}: a second recovery has lost a record");
    let own = after.iter().filter(|record| !before.contains(&record.offset));
    assert!(own.clone().all(|record| record.kind.0 < Kind::FIRST_INPUT), "{place}: a record came from nowhere");
    let storage: Arc<dyn Storage> = storage.clone();
    let report = verify(&storage, &mut |_| {}).expect("it can be read");
    assert!(report.is_good() && report.torn_tails.is_empty(), "{place}: {report:?}");
}

/// A small generator: the same choices in every run.
struct Choices(u64);

impl Choices {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below
    }
}

/// The fates of the undecided changes that are tried at one crash point.
fn fates(undecided: &[usize], exhaustive: usize, samples: usize, choices: &mut Choices) -> Vec<Vec<Fate>> {
    let count = undecided.len();
    let keep = |kept: bool| if kept { Fate::Kept } else { Fate::Lost };
    let mut all: Vec<Vec<Fate>> = if count <= exhaustive {
        (0..1_usize << count).map(|subset| (0..count).map(|bit| keep(subset >> bit & 1 == 1)).collect()).collect()
    } else {
        vec![vec![Fate::Kept; count], vec![Fate::Lost; count]]
    };
    for _ in 0..if count == 0 { 0 } else { samples } {
        let fate = |length: &usize, choices: &mut Choices| match choices.next(4) {
            0 => Fate::Kept,
            1 => Fate::Lost,
            2 => Fate::TornAfter(torn_at(*length, choices)),
            _ => Fate::TornBefore(torn_at(*length, choices)),
        };
        all.push(undecided.iter().map(|length| fate(length, choices)).collect());
    }
    all
}

/// Mostly at sectors, sometimes inside of one.
fn torn_at(length: usize, choices: &mut Choices) -> usize {
    let at = choices.next(length + 1);
    if choices.next(4) == 0 { at } else { at / 512 * 512 }
}

/// Tries every crash point of a trace that `wanted` selects. Returns the number of states.
fn crash_everywhere(
    trace: &[Op],
    first: usize,
    samples: usize,
    choices: &mut Choices,
    mut each: impl FnMut(&Image, Promised, &str, &mut Choices),
) -> u64 {
    let mut point = CrashPoint::new();
    let mut promised = Promised::default();
    let mut states = 0;
    for (number, op) in trace.iter().enumerate() {
        point.step(op);
        promised.step(op);
        if number < first
            || matches!(op, Op::Mark(_))
                && !matches!(trace.get(number + 1), None | Some(Op::Mark(_)))
                && number % 2 == 1
        {
            continue;
        }
        for entries in 0..=point.undecided_entries() {
            for fate in fates(&point.undecided(), 3, samples, choices) {
                let image = point.image(entries, |index| fate[index]);
                each(&image, promised, &format!("crash after call {number}, {entries} entries, {fate:?}"), choices);
                states += 1;
            }
        }
    }
    states
}

#[test]
fn nothing_acknowledged_is_lost_wherever_the_power_fails() {
    let storage = SimStorage::new();
    let done = Workload::run(&storage);
    let trace = storage.trace();
    let mut choices = Choices(1);
    let mut checked = 0_u64;
    let mut nested = 0_u64;
    let states = crash_everywhere(&trace, 0, 20, &mut choices, |image, promised, place, choices| {
        checked += 1;
        let recovered = check(image, &done, promised, place);
        if checked.is_multiple_of(11) {
            let trace = recovered.trace();
            let start = trace
                .iter()
                .position(|op| matches!(op, Op::SyncDir(dir) if dir.is_empty()))
                .expect("an image was loaded");
            nested += crash_everywhere(&trace, start, 2, choices, |image, _, inner, _| {
                check(image, &done, promised, &format!("{place}; then {inner}"));
            });
        }
        if checked.is_multiple_of(5) {
            check_again(&recovered, place);
        }
    });
    println!("power loss: {states} crash states of {} calls, {nested} more during recovery: nothing lost", trace.len());
    assert!(states > 500 && nested > 500, "the workload has enough boundaries");
}
