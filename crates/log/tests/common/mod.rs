//! A workload that uses every operation of the log, and what must hold of any disk that it can leave behind.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use engram_log::storage::Storage;
use engram_log::storage::sim::{Image, Op, SimStorage};
use engram_log::verify::verify;
use engram_log::{
    AppendError, EmbeddedLog, Erasure, FollowError, Input, InputRef, Kind, Lane, Lanes, Log, Offset, Options,
    PayloadState, Record, TimestampMs,
};
use engram_log_format::v1;

/// Marks in the trace: an offset was handed out, or acknowledged as durable; or so many erasures are complete.
const HANDED_OUT: u64 = 1 << 40;
const ACKNOWLEDGED: u64 = 2 << 40;
const ERASED: u64 = 4 << 40;

pub(crate) fn options() -> Options {
    Options {
        segment_bytes: 8192,
        ephemeral_segment_bytes: 4096,
        lease_step: 32,
        zero_ahead_bytes: 1024,
        tail_bytes_max: 1500,
        ephemeral_retention_ms: 1000,
        reserve_bytes: 4096,
        erase_bytes_per_second: u64::MAX,
        ..Options::default()
    }
}

/// A small generator: the same choices in every run.
pub(crate) struct Choices(pub(crate) u64);

impl Choices {
    pub(crate) fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below
    }
}

/// One append of the workload.
pub(crate) struct Done {
    inputs: Vec<Input>,
    payloads: Vec<Vec<u8>>,
    first: Offset,
    last: Offset,
    lane: Lane,
    /// For each record the erasures of its payload, in order.
    erasures: Vec<Vec<Outcome>>,
}

/// An erasure that was asked for.
struct Outcome {
    /// Its number, from one.
    number: u64,
    /// What is there of the payload after it.
    left: Option<Vec<u8>>,
}

pub(crate) struct Workload {
    storage: Arc<SimStorage>,
    log: Arc<EmbeddedLog>,
    done: Vec<Done>,
    erasures: u64,
    now: u64,
    choices: Choices,
}

impl Workload {
    /// Every operation: single and multiple appends, group commits, ephemeral records and their retention,
    /// rotation of both lanes, an oversize append, leases, erasures in sealed segments and in the one that is being
    /// written, of some records twice, a clean close, a stop without one in the middle of an erasure. The seed varies
    /// sizes and what is erased.
    pub(crate) fn run(storage: &Arc<SimStorage>, seed: u64) -> Vec<Done> {
        let log = EmbeddedLog::open(storage.clone(), options()).expect("the log opens");
        let mut work =
            Self { storage: storage.clone(), log, done: Vec::new(), erasures: 0, now: 0, choices: Choices(seed) };
        for round in 0..3 {
            work.round(round);
            match round {
                0 => work.log.close().expect("it closes"),
                // The process dies; what it had written is still in the page cache.
                _ => work.replace(|| EmbeddedLog::open(SimStorage::new(), options()).expect("one to hold the place")),
            }
            if round < 2 {
                let storage = storage.clone();
                work.replace(|| EmbeddedLog::open(storage, options()).expect("the log opens"));
            }
        }
        work.done
    }

    fn replace(&mut self, by: impl FnOnce() -> Arc<EmbeddedLog>) {
        self.log = by();
    }

    fn round(&mut self, round: usize) {
        let vary = |choices: &mut Choices, bytes: usize| bytes / 2 + choices.next(bytes);
        let bytes = vary(&mut self.choices, 300);
        self.append_and_wait(Lane::Journal, 1, bytes);
        let bytes = vary(&mut self.choices, 700);
        self.append_and_wait(Lane::Journal, 3, bytes);
        self.append_and_wait(Lane::Ephemeral, 1, 10);
        let group: Vec<Offset> = (0..4).map(|number| self.append(Lane::Journal, 1 + number % 2, 200)).collect();
        self.append(Lane::Ephemeral, 2, 10);
        for last in group {
            self.wait(last);
        }
        let bytes = vary(&mut self.choices, 1500);
        self.append_and_wait(Lane::Ephemeral, 1, bytes);
        self.erase(1, true);
        let bytes = vary(&mut self.choices, if round == 1 { 6000 } else { 1000 });
        self.append_and_wait(Lane::Journal, 2, bytes);
        if round > 0 {
            // The last one is still on its way when the next records are written, and when the process dies.
            self.erase(3, round == 1);
            self.append_and_wait(Lane::Journal, 1, 100);
        }
    }

    /// Erases records of some of the appends that are durable; sometimes one that was erased before.
    fn erase(&mut self, appends: usize, wait: bool) {
        self.erasures += 1;
        let mut erasures = Vec::new();
        let journal: Vec<usize> = (0..self.done.len()).filter(|at| self.done[*at].lane == Lane::Journal).collect();
        for _ in 0..appends {
            let done = &mut self.done[journal[self.choices.next(journal.len())]];
            let at = self.choices.next(done.inputs.len());
            let replaced = self.choices.next(2) == 0 && done.erasures[at].iter().all(|before| before.left.is_some());
            let replacement = replaced.then(|| account_data(b"-".to_vec()).encode().to_vec());
            let left = Some(replacement.clone().unwrap_or_default());
            done.erasures[at].push(Outcome { number: self.erasures, left: left.filter(|_| replaced) });
            erasures.push(Erasure { offset: Offset(done.first.0 + at as u64), replacement });
        }
        if let Some(appended) = self.log.erase(&erasures, "test", TimestampMs(self.now)).expect("it is taken") {
            self.storage.mark(HANDED_OUT | appended.last.0);
            self.storage.mark(ACKNOWLEDGED | appended.last.0);
        }
        if wait {
            assert!(self.log.wait_erased(Duration::from_secs(60)).expect("nothing is given up"), "it comes to an end");
            self.storage.mark(ERASED | self.erasures);
        }
    }

    /// Appends `count` records without waiting. The lease may be on its way to the disk: then it is tried again.
    fn append(&mut self, lane: Lane, count: usize, bytes: usize) -> Offset {
        let number = self.done.len();
        let content = |part| format!("{number} {part} {count} {}", "x".repeat(bytes)).into_bytes();
        let input = |part| match lane {
            Lane::Journal => account_data(content(part)),
            Lane::Ephemeral => Input::from(v1::TypingSet {
                room_id: String::from_utf8(content(part)).expect("text"),
                user_id: "@a:b".to_owned(),
                until_ms: None,
            }),
        };
        let inputs: Vec<Input> = (0..count).map(input).collect();
        // The clock jumps: forward by hours, backward by years.
        self.now = if number % 7 == 6 { 1 } else { self.now + if number % 5 == 4 { 5_000_000 } else { 100 } };
        let appended = loop {
            match self.log.append(lane, &inputs, TimestampMs(self.now)) {
                Ok(appended) => break appended,
                Err(AppendError::Busy) => {
                    let end = self.log.stat().expect("figures").next.0 - 1;
                    self.log.wait_durable(Offset(end)).expect("durable");
                }
                Err(error) => panic!("an append was refused: {error}"),
            }
        };
        self.storage.mark(HANDED_OUT | appended.last.0);
        let payloads = inputs.iter().map(|input| input.encode().to_vec()).collect();
        let erasures = inputs.iter().map(|_| Vec::new()).collect();
        self.done.push(Done { inputs, payloads, first: appended.first, last: appended.last, lane, erasures });
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
}

fn account_data(content: Vec<u8>) -> Input {
    let (user_id, event_type) = ("@a:b".to_owned(), "t".to_owned());
    Input::from(v1::AccountDataSet { user_id, room_id: None, event_type, content })
}

impl Done {
    /// Whether the record is the one that was written, with a payload that it may have by now.
    fn is(&self, at: usize, record: &Record, promised: Promised) -> bool {
        let complete = self.erasures[at].iter().rfind(|erasure| erasure.number <= promised.erased);
        let open = self.erasures[at].iter().filter(|erasure| erasure.number > promised.erased);
        let whole =
            complete.is_none() && record.state() == PayloadState::Whole && record.payload() == self.payloads[at];
        let mut outcomes = complete.into_iter().chain(open);
        record.kind == self.inputs[at].kind() && (whole || outcomes.any(|outcome| outcome.is(record)))
    }
}

impl Outcome {
    fn is(&self, record: &Record) -> bool {
        match &self.left {
            Some(left) => record.state() == PayloadState::Replaced && record.payload() == left,
            None => record.state() == PayloadState::Gone && record.payload().is_empty(),
        }
    }
}

/// What had been promised at a point of the trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Promised {
    handed_out: u64,
    acknowledged: u64,
    erased: u64,
}

impl Promised {
    pub(crate) fn step(&mut self, op: &Op) {
        match op {
            Op::Mark(mark) if mark & ACKNOWLEDGED != 0 => {
                self.acknowledged = self.acknowledged.max(mark & !ACKNOWLEDGED);
            }
            Op::Mark(mark) if mark & ERASED != 0 => self.erased = mark & !ERASED,
            Op::Mark(mark) => self.handed_out = self.handed_out.max(mark & !HANDED_OUT),
            _ => {}
        }
    }
}

pub(crate) fn read_all(log: &EmbeddedLog) -> Vec<Record> {
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
pub(crate) fn check(image: &Image, done: &[Done], promised: Promised, place: &str) -> Arc<SimStorage> {
    let storage = SimStorage::from_image(image);
    let log = EmbeddedLog::open(storage.clone(), options()).unwrap_or_else(|error| panic!("{place}: {error}"));
    let records = read_all(&log);
    check_appends(&records, done, promised, place);
    check_announced(&records, place);
    let ordered = |pair: &[Record]| pair[0].offset < pair[1].offset && pair[0].timestamp <= pair[1].timestamp;
    assert!(records.windows(2).all(ordered), "{place}: offsets ascend and times never decrease");
    // Each opening says so first, with offsets that nobody has seen before.
    let started =
        records.iter().rfind(|record| matches!(record.input(), Ok(InputRef::Started(_)))).expect("it has started");
    assert!(started.offset.0 > promised.handed_out, "{place}: offset {} was handed out before", started.offset);
    let appended = log.append(Lane::Journal, &[done[0].inputs[0].clone()], TimestampMs(0)).expect("it takes appends");
    log.wait_durable(appended.last).expect("durable");
    assert_eq!(log.read(appended.first).expect("there").payload(), done[0].payloads[0]);
    drop(log);
    storage
}

/// Nothing goes before the record that says so is on stable storage.
fn check_announced(records: &[Record], place: &str) {
    let mut announced = BTreeSet::new();
    for record in records {
        if let Ok(InputRef::Erased(erased)) = record.input() {
            announced.extend(erased.records.iter().map(|record| record.offset.to_native()));
        }
    }
    for record in records.iter().filter(|record| record.state() != PayloadState::Whole) {
        assert!(announced.contains(&record.offset.0), "{place}: {record:?} was erased, and nothing says so");
    }
}

/// Whole appends or none, all that were acknowledged, and nothing that nobody has written.
fn check_appends(records: &[Record], done: &[Done], promised: Promised, place: &str) {
    let by_offset: HashMap<Offset, &Record> = records.iter().map(|record| (record.offset, record)).collect();
    let mut known = 0;
    for append in done {
        // An offset that nobody had seen may carry something else after a recovery: what counts is the content.
        let is_there = |number: &usize| {
            let record = by_offset.get(&Offset(append.first.0 + *number as u64));
            record.is_some_and(|record| append.is(*number, record, promised))
        };
        let present = (0..append.inputs.len()).filter(is_there).count();
        known += present;
        let whole = present == 0 || present == append.inputs.len();
        assert!(whole, "{place}: part of the append at {} is there", append.first);
        if append.lane == Lane::Journal && append.last.0 <= promised.acknowledged {
            assert!(present > 0, "{place}: the acknowledged append at {} is lost", append.first);
        }
    }
    let inputs = records.iter().filter(|record| record.kind.0 >= Kind::FIRST_INPUT);
    // The check itself appends the first payload after each recovery.
    let own = inputs.clone().filter(|record| record.payload() == done[0].payloads[0]).count();
    assert!(inputs.count() <= known + own, "{place}: a record came from nowhere");
}

/// Recovery is idempotent: opened again, the log has the same records and some more of its own. And erasures that a
/// crash has interrupted are completed by asking again.
pub(crate) fn check_again(storage: &Arc<SimStorage>, done: &[Done], place: &str) {
    let reader = EmbeddedLog::open_read_only(storage.clone()).expect("it opens to read");
    let before: BTreeSet<Offset> = read_all(&reader).iter().map(|record| record.offset).collect();
    drop(reader);
    let log = EmbeddedLog::open(storage.clone(), options()).expect("it opens again");
    erase_again(&log, done, place);
    let after = read_all(&log);
    log.close().expect("it closes");
    let offsets: BTreeSet<Offset> = after.iter().map(|record| record.offset).collect();
    assert!(before.is_subset(&offsets), "{place}: a second recovery has lost a record");
    let own = after.iter().filter(|record| !before.contains(&record.offset));
    assert!(own.clone().all(|record| record.kind.0 < Kind::FIRST_INPUT), "{place}: a record came from nowhere");
    let storage: Arc<dyn Storage> = storage.clone();
    let report = verify(&storage, &mut |_| {}).expect("it can be read");
    assert!(report.is_good() && report.torn_tails.is_empty(), "{place}: {report:?}");
    assert_eq!(report.erasures_pending, 0, "{place}: what was announced is done");
}

/// Asks again for all erasures of records that are there.
fn erase_again(log: &EmbeddedLog, done: &[Done], place: &str) {
    let mut erasures = Vec::new();
    let everything = Promised { erased: u64::MAX, ..Promised::default() };
    for append in done {
        for (at, outcomes) in append.erasures.iter().enumerate() {
            let offset = Offset(append.first.0 + at as u64);
            let Some(last) = outcomes.last() else { continue };
            let is_there = |record: Record| append.is(at, &record, Promised::default());
            if log.read(offset).is_ok_and(is_there) {
                erasures.push((append, at, Erasure { offset, replacement: last.left.clone() }));
            }
        }
    }
    let wanted: Vec<Erasure> = erasures.iter().map(|(_, _, erasure)| erasure.clone()).collect();
    log.erase(&wanted, "test", TimestampMs(0)).unwrap_or_else(|error| panic!("{place}: {error}"));
    assert!(log.wait_erased(Duration::from_secs(60)).expect("nothing is given up"), "{place}: it comes to an end");
    for (append, at, erasure) in erasures {
        let record = log.read(erasure.offset).expect("it is there");
        assert!(append.is(at, &record, everything), "{place}: {record:?} is as it was asked for");
    }
}
