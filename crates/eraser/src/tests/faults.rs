//! What fails once is not lost: a disk that is full, a record that cannot be read, a segment that cannot be
//! rewritten. And a segment is not rewritten for each message that is due in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use engram_log::{
    AppendError, Appended, EraseError, Erasure, Extent, FollowError, Follower, Input, Lane, Lanes, Log, Offset,
    PayloadState, ReadError, Record, TimestampMs,
};
use engram_log_format::v1;
use engram_views::testing::MemoryLog;
use parking_lot::Mutex;

use super::{ALICE, BOB, NOW, Rounds, World, views};
use crate::{Eraser, Grace, Waiting};

const HOUR_MS: u64 = 3_600_000;

/// A log with the faults that a test asks for.
struct Faulty {
    inner: MemoryLog,
    /// Announces an erasure, says that the disk is full, and carries out nothing.
    is_full: AtomicBool,
    unreadable: Mutex<BTreeSet<Offset>>,
    /// Whose segment cannot be rewritten.
    stuck: Mutex<BTreeSet<Offset>>,
    given_up: AtomicBool,
    /// Records in a segment; none: an erasure costs no rewriting.
    segment_records: Option<u64>,
    /// How often each segment was rewritten, and when each record went.
    rewritten: Mutex<BTreeMap<u64, u64>>,
    gone: Mutex<BTreeMap<Offset, u64>>,
}

impl Faulty {
    fn new(inner: MemoryLog, segment_records: Option<u64>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            is_full: AtomicBool::new(false),
            unreadable: Mutex::default(),
            stuck: Mutex::default(),
            given_up: AtomicBool::new(false),
            segment_records,
            rewritten: Mutex::default(),
            gone: Mutex::default(),
        })
    }

    fn segment(&self, offset: Offset) -> Option<u64> {
        self.segment_records.map(|records| offset.0 / records)
    }
}

impl Log for Faulty {
    fn append(&self, lane: Lane, inputs: &[Input], now: TimestampMs) -> Result<Appended, AppendError> {
        self.inner.append(lane, inputs, now)
    }

    fn wait_durable(&self, offset: Offset) -> Result<(), AppendError> {
        self.inner.wait_durable(offset)
    }

    fn durable_end(&self) -> Offset {
        self.inner.durable_end()
    }

    fn read(&self, offset: Offset) -> Result<Record, ReadError> {
        if self.unreadable.lock().contains(&offset) {
            return Err(ReadError::Damaged("as the test wants it".to_owned()));
        }
        self.inner.read(offset)
    }

    fn follow(&self, after: Offset, lanes: Lanes) -> Result<Follower, FollowError> {
        self.inner.follow(after, lanes)
    }

    fn erase(&self, erasures: &[Erasure], reason: &str, now: TimestampMs) -> Result<Option<Appended>, EraseError> {
        let announce = |erasures: &[&Erasure]| {
            let record = |erasure: &&Erasure| v1::ErasedRecord { offset: erasure.offset.0, replacement: None };
            let records = erasures.iter().map(record).collect();
            self.inner.append(Lane::Journal, &[v1::Erased { reason: reason.to_owned(), records }.into()], now)
        };
        if self.is_full.load(Ordering::Relaxed) {
            announce(&erasures.iter().collect::<Vec<_>>())?;
            return Err(AppendError::DiskFull.into());
        }
        let stuck = self.stuck.lock().clone();
        let (stuck, free): (Vec<&Erasure>, Vec<&Erasure>) =
            erasures.iter().partition(|each| stuck.contains(&each.offset));
        let segments: BTreeSet<u64> = free.iter().filter_map(|erasure| self.segment(erasure.offset)).collect();
        for segment in segments {
            *self.rewritten.lock().entry(segment).or_default() += 1;
        }
        self.gone.lock().extend(free.iter().map(|erasure| (erasure.offset, now.0)));
        if !stuck.is_empty() {
            announce(&stuck)?;
            self.given_up.store(true, Ordering::Relaxed);
        }
        let free: Vec<Erasure> = free.into_iter().cloned().collect();
        self.inner.erase(&free, reason, now)
    }

    fn wait_erased(&self, _: Duration) -> Result<bool, EraseError> {
        if self.given_up.swap(false, Ordering::Relaxed) {
            return Err(EraseError::GivenUp("as the test wants it".to_owned()));
        }
        Ok(true)
    }

    fn extent(&self, offset: Offset) -> Option<Extent> {
        let (segment, records) = (self.segment(offset)?, self.segment_records?);
        let first = segment * records;
        let is_open = self.segment(self.durable_end()) == Some(segment);
        let last = if is_open { Extent::OPEN } else { Offset(first + records - 1) };
        Some(Extent { first: Offset(first), last })
    }
}

/// Messages that have been received.
fn received(world: &World, count: u8) -> Vec<Offset> {
    let sent: Vec<Offset> = (0..count).map(|number| world.send(ALICE, number, &[(BOB, 0)])).collect();
    world.receive(BOB, 0, *sent.last().expect("at least one"));
    sent
}

fn left(world: &World, sent: &[Offset]) -> usize {
    world.live.settle();
    let state = |offset: &&Offset| world.live.log.payload_state(**offset).expect("there");
    sent.iter().filter(|offset| state(offset) == PayloadState::Whole).count()
}

#[test]
fn what_a_full_disk_has_announced_is_asked_for_until_it_is_gone() {
    let world = World::new();
    let sent = received(&world, 5);
    let log = Faulty::new(world.live.log.clone(), None);
    let mut rounds = Rounds::new(world.parts_over(log.clone(), NOW));
    log.is_full.store(true, Ordering::Relaxed);
    for _ in 0..3 {
        rounds.round();
        assert_eq!(left(&world, &sent), 5, "announced, and there");
        assert_eq!(rounds.later.counts(), (5, 0), "the operator sees what waits");
    }
    let due = engram_users::tables::DUE_MESSAGES.after(&*world.live.settle(), None, 9).expect("readable");
    assert_eq!(due, [], "no list tells of them any more");
    log.is_full.store(false, Ordering::Relaxed);
    rounds.round();
    assert_eq!(left(&world, &sent), 0);
    assert_eq!(rounds.later.counts(), (0, 0));
}

#[test]
fn what_a_full_disk_has_announced_goes_after_a_restart() {
    let world = World::new();
    let sent = received(&world, 5);
    let log = Faulty::new(world.live.log.clone(), None);
    log.is_full.store(true, Ordering::Relaxed);
    Rounds::new(world.parts_over(log.clone(), NOW)).round();
    // Full at the next start too, and the process ends again.
    Rounds::new(world.parts_over(log.clone(), NOW)).round();
    assert_eq!(left(&world, &sent), 5);
    log.is_full.store(false, Ordering::Relaxed);
    let next = world.live.log.durable_end().next();
    let eraser = Eraser::start(world.parts_over(log, Grace { redacted: None, to_device: None, accounts: None }));
    world.live.wait(next);
    eraser.stop();
    assert_eq!(left(&world, &sent), 0);
    assert_eq!(eraser.waiting(), Waiting { for_the_log: 0, failed: 0 });
}

/// The one that cannot be read is the first that is due, or the record by which others became due.
#[test]
fn a_record_that_cannot_be_read_keeps_none_behind_it() {
    for is_cause in [false, true] {
        let world = World::new();
        let first = received(&world, 4);
        let cause = world.live.log.durable_end();
        let second = received(&world, 4);
        let log = Faulty::new(world.live.log.clone(), None);
        log.unreadable.lock().insert(if is_cause { cause } else { first[0] });
        let mut rounds = Rounds::new(world.parts_over(log.clone(), NOW));
        for _ in 0..3 {
            rounds.round();
            let sent = [first.clone(), second.clone()].concat();
            assert_eq!(left(&world, &sent), usize::from(!is_cause), "all the others");
            assert_eq!(rounds.later.counts(), (0, usize::from(!is_cause)));
        }
        log.unreadable.lock().clear();
        rounds.round();
        assert_eq!(left(&world, &first), usize::from(!is_cause), "in its time");
        world.now_ms.fetch_add(HOUR_MS, Ordering::Relaxed);
        rounds.round();
        assert_eq!(left(&world, &first), 0);
        assert_eq!(rounds.later.counts(), (0, 0));
    }
}

#[test]
fn a_segment_that_cannot_be_rewritten_keeps_none_of_another() {
    let world = World::new();
    let sent = received(&world, 6);
    let log = Faulty::new(world.live.log.clone(), None);
    log.stuck.lock().insert(sent[2]);
    let mut rounds = Rounds::new(world.parts_over(log.clone(), NOW));
    rounds.round();
    assert_eq!(left(&world, &sent), 1);
    assert_eq!(rounds.later.counts(), (0, 1));
    let end = world.live.log.durable_end();
    rounds.round();
    assert_eq!(world.live.log.durable_end(), end, "it is not announced again and again");
    log.stuck.lock().clear();
    world.now_ms.fetch_add(HOUR_MS, Ordering::Relaxed);
    rounds.round();
    assert_eq!(left(&world, &sent), 0, "and asked for again although no list tells of it");
}

#[test]
fn a_segment_is_rewritten_seldom_and_nothing_stays_for_an_hour_more() {
    const MINUTE_MS: u64 = 60_000;
    let world = World::new();
    let log = Faulty::new(world.live.log.clone(), Some(4_096));
    let day = Duration::from_secs(24 * 3_600);
    let mut rounds = Rounds::new(world.parts_over(log.clone(), Grace { to_device: Some(day), ..NOW }));
    let mut due = BTreeMap::new();
    // One message every three minutes for half a day, each received at once.
    for number in 0..240 {
        let sent = world.send(ALICE, number, &[(BOB, 0)]);
        world.receive(BOB, 0, sent);
        due.insert(sent, world.now_ms.load(Ordering::Relaxed) + 24 * HOUR_MS);
        world.now_ms.fetch_add(3 * MINUTE_MS, Ordering::Relaxed);
    }
    // The segment is sealed, and then it is looked every ten minutes.
    while world.live.log.durable_end().0 < 4_096 {
        world.live.log.journal(v1::OffsetLease { below: 1 }, 1);
    }
    world.live.settle();
    for _ in 0..6 * 38 {
        rounds.round();
        world.now_ms.fetch_add(10 * MINUTE_MS, Ordering::Relaxed);
    }
    let gone = log.gone.lock();
    for (record, due) in &due {
        let late = gone[record].checked_sub(*due).expect("nothing goes before its time");
        assert!(late <= HOUR_MS, "{record} went {late} ms late");
    }
    let rewritten = log.rewritten.lock()[&0];
    assert!((10..=15).contains(&rewritten), "about once an hour in twelve hours, and not {rewritten} times");
}

#[test]
fn a_segment_of_which_enough_is_due_waits_for_no_more() {
    let world = World::new();
    let sent = received(&world, 200);
    while world.live.log.durable_end().0 < 1_024 {
        world.live.log.journal(v1::OffsetLease { below: 1 }, 1);
    }
    world.live.settle();
    let log = Faulty::new(world.live.log.clone(), Some(1_024));
    let day = Duration::from_secs(24 * 3_600);
    let mut rounds = Rounds::new(world.parts_over(log.clone(), Grace { to_device: Some(day), ..NOW }));
    world.now_ms.fetch_add(24 * HOUR_MS + 1_000, Ordering::Relaxed);
    rounds.round();
    assert_eq!(left(&world, &sent), 0);
    assert_eq!(log.rewritten.lock()[&0], 1);
    assert_eq!(views(world.live.log.prefix(usize::MAX)).settle().offset(), world.live.log.durable_end());
}
