//! A log in memory: everything is durable at once, nothing outlives the process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use engram_log::{
    AppendError, Appended, EraseError, Erasure, Follow, FollowError, Follower, Input, Kind, Lane, Lanes, Log, Offset,
    PayloadState, ReadError, Record, TimestampMs,
};
use engram_log_format::v1;
use parking_lot::{Condvar, Mutex};

/// A [`Log`] without files. Cheap to clone; clones share the records.
#[derive(Clone, Default)]
pub struct MemoryLog {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    grown: Condvar,
}

#[derive(Default)]
struct State {
    entries: Vec<Entry>,
    end: Offset,
    stopped: Option<String>,
}

#[derive(Clone)]
struct Entry {
    record: Record,
    /// The last record of the same atomic append.
    append_last: Offset,
}

impl MemoryLog {
    /// An empty log.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends one journal record at time `now_ms` (or that of the record before, if later).
    pub fn journal(&self, input: impl Into<Input>, now_ms: u64) -> Offset {
        self.append_one(Lane::Journal, input.into(), now_ms)
    }

    /// Appends one record of the ephemeral lane.
    pub fn ephemeral(&self, input: impl Into<Input>, now_ms: u64) -> Offset {
        self.append_one(Lane::Ephemeral, input.into(), now_ms)
    }

    /// Leaves a gap of `count` offsets, as an unclean stop does.
    pub fn skip(&self, count: u64) {
        self.shared.state.lock().end.0 += count;
    }

    /// Appends a record as it is, valid or not. Its offset must be beyond the end.
    pub fn push_raw(&self, record: Record) {
        let mut state = self.shared.state.lock();
        assert!(record.offset > state.end, "offsets increase");
        state.end = record.offset;
        state.entries.push(Entry { append_last: record.offset, record });
        self.shared.grown.notify_all();
    }

    /// Stops the log: appends fail, followers get what there is and then an error.
    pub fn stop(&self, reason: &str) {
        self.shared.state.lock().stopped = Some(reason.to_owned());
        self.shared.grown.notify_all();
    }

    /// A log with the first `count` records of this one: for cutting a history anywhere.
    pub fn prefix(&self, count: usize) -> Self {
        let copy = Self::new();
        for entry in self.shared.state.lock().entries.iter().take(count) {
            copy.push_raw(entry.record.clone());
        }
        copy
    }

    /// The number of records.
    pub fn len(&self) -> usize {
        self.shared.state.lock().entries.len()
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn append_one(&self, lane: Lane, input: Input, now_ms: u64) -> Offset {
        self.append(lane, &[input], TimestampMs(now_ms)).expect("the test has not stopped the log").last
    }
}

impl Log for MemoryLog {
    fn append(&self, lane: Lane, inputs: &[Input], now: TimestampMs) -> Result<Appended, AppendError> {
        assert!(!inputs.is_empty(), "an empty append is a bug");
        let mut state = self.shared.state.lock();
        if let Some(reason) = &state.stopped {
            return Err(AppendError::Stopped(reason.clone()));
        }
        let timestamp = state.entries.last().map_or(now, |last| now.max(last.record.timestamp));
        let first = state.end.next();
        let last = Offset(state.end.0 + inputs.len() as u64);
        for (offset, input) in (first.0..).zip(inputs) {
            let bytes = Arc::new(input.encode());
            let length = bytes.len();
            let record = Record::new(Offset(offset), timestamp, input.kind(), input.schema(), lane, bytes, 0..length);
            state.entries.push(Entry { record, append_last: last });
        }
        state.end = last;
        self.shared.grown.notify_all();
        Ok(Appended { first, last, timestamp })
    }

    fn wait_durable(&self, offset: Offset) -> Result<(), AppendError> {
        assert!(offset <= self.durable_end(), "nobody can wait for what was not appended");
        Ok(())
    }

    fn durable_end(&self) -> Offset {
        self.shared.state.lock().entries.last().map_or(Offset::ZERO, |entry| entry.record.offset)
    }

    fn read(&self, offset: Offset) -> Result<Record, ReadError> {
        let state = self.shared.state.lock();
        let at = state.entries.binary_search_by_key(&offset, |entry| entry.record.offset);
        at.map(|at| state.entries[at].record.clone()).map_err(|_| ReadError::NotFound(offset))
    }

    fn follow(&self, after: Offset, lanes: Lanes) -> Result<Follower, FollowError> {
        Ok(Box::new(MemoryFollower { shared: Arc::clone(&self.shared), position: after, seen: after, lanes }))
    }

    /// Done at once.
    fn erase(&self, erasures: &[Erasure], reason: &str, now: TimestampMs) -> Result<Option<Appended>, EraseError> {
        let mut outcomes = BTreeMap::<Offset, Option<&[u8]>>::new();
        for erasure in erasures {
            let outcome = self.check(erasure)?;
            let before = outcomes.entry(erasure.offset).or_insert(outcome);
            *before = before.and(outcome);
        }
        outcomes.retain(|offset, outcome| self.read(*offset).is_ok_and(|record| !is_done(&record, *outcome)));
        if outcomes.is_empty() {
            return Ok(None);
        }
        let digest = |bytes: &[u8]| *blake3::hash(bytes).as_bytes();
        let records = outcomes
            .iter()
            .map(|(offset, outcome)| v1::ErasedRecord { offset: offset.0, replacement: outcome.map(digest) })
            .collect();
        let appended = self.append(Lane::Journal, &[v1::Erased { reason: reason.to_owned(), records }.into()], now)?;
        for entry in &mut self.shared.state.lock().entries {
            if let Some(outcome) = outcomes.get(&entry.record.offset) {
                entry.record = entry.record.erased(*outcome);
            }
        }
        Ok(Some(appended))
    }

    fn wait_erased(&self, _timeout: Duration) -> Result<bool, EraseError> {
        Ok(true)
    }
}

impl MemoryLog {
    /// Whether the record can be erased so. Returns what takes the payload's place.
    fn check<'a>(&self, erasure: &'a Erasure) -> Result<Option<&'a [u8]>, EraseError> {
        let record = self.read(erasure.offset)?;
        if record.lane == Lane::Ephemeral || record.kind.0 < Kind::FIRST_INPUT {
            return Err(EraseError::NotErasable(record.offset));
        }
        let (bytes, limit) = (erasure.replacement.as_ref().map_or(0, Vec::len), record.payload().len());
        if bytes > limit && record.state() == PayloadState::Whole {
            return Err(EraseError::TooLong { offset: record.offset, bytes, limit });
        }
        Ok(erasure.replacement.as_deref())
    }
}

fn is_done(record: &Record, outcome: Option<&[u8]>) -> bool {
    match record.state() {
        PayloadState::Gone => true,
        PayloadState::Replaced => outcome == Some(record.payload()),
        PayloadState::Whole => false,
    }
}

struct MemoryFollower {
    shared: Arc<Shared>,
    /// The last record returned.
    position: Offset,
    /// The last record looked at, returned or passed over.
    seen: Offset,
    lanes: Lanes,
}

impl Follow for MemoryFollower {
    fn next(&mut self, out: &mut Vec<Record>, max: usize, timeout: Duration) -> Result<usize, FollowError> {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.state.lock();
        loop {
            let taken = self.take(&state, out, max);
            if taken > 0 {
                return Ok(taken);
            }
            if let Some(reason) = &state.stopped {
                return Err(FollowError::Stopped(reason.clone()));
            }
            // A wake-up for a record of the other lane begins the wait anew: tests do not mind.
            if shared.grown.wait_for(&mut state, timeout).timed_out() {
                return Ok(self.take(&state, out, max));
            }
        }
    }

    fn position(&self) -> Offset {
        self.position
    }
}

impl MemoryFollower {
    fn take(&mut self, state: &State, out: &mut Vec<Record>, max: usize) -> usize {
        let start = state.entries.partition_point(|entry| entry.record.offset <= self.seen);
        let mut taken = 0;
        for append in state.entries[start..].chunk_by(|a, b| a.append_last == b.append_last) {
            let wanted = append.iter().filter(|entry| self.lanes.include(entry.record.lane));
            let count = wanted.clone().count();
            if taken > 0 && taken + count > max {
                break;
            }
            out.extend(wanted.take(max).map(|entry| entry.record.clone()));
            if count > max {
                // Larger alone: it comes in parts.
                self.seen = out[out.len() - 1].offset;
                taken = max;
                break;
            }
            taken += count;
            self.seen = append[append.len() - 1].record.offset;
        }
        if taken > 0 {
            self.position = out[out.len() - 1].offset;
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use engram_log_format::v1;

    use super::*;

    fn input(name: &str) -> Input {
        v1::Genesis { server_name: name.to_owned(), software: String::new() }.into()
    }

    #[test]
    fn it_is_a_log_like_any_other() {
        struct Shared(MemoryLog);
        impl engram_log::conformance::Engine for Shared {
            fn open(&self) -> Arc<dyn Log> {
                Arc::new(self.0.clone())
            }
        }
        engram_log::conformance::run(|| Shared(MemoryLog::new()));
    }

    #[test]
    fn an_atomic_append_is_split_only_if_it_alone_is_too_large() {
        let log = MemoryLog::new();
        log.journal(input("a"), 5);
        log.append(Lane::Journal, &[input("b"), input("c"), input("d")], TimestampMs(4)).unwrap();
        log.journal(input("e"), 3);
        let mut follower = log.follow(Offset::ZERO, Lanes::Both).unwrap();
        let mut sizes = Vec::new();
        let mut records = Vec::new();
        while let Ok(taken @ 1..) = follower.next(&mut records, 2, Duration::ZERO) {
            sizes.push(taken);
        }
        assert_eq!(sizes, [1, 2, 2], "the append of three comes as two and one");
        assert_eq!(follower.position(), Offset(5));
        assert!(records.iter().all(|record| record.timestamp == TimestampMs(5)));
    }

    #[test]
    fn lanes_and_gaps() {
        let log = MemoryLog::new();
        log.journal(input("a"), 0);
        log.skip(10);
        log.ephemeral(input("b"), 0);
        log.journal(input("c"), 0);
        let mut records = Vec::new();
        let mut follower = log.follow(Offset::ZERO, Lanes::Journal).unwrap();
        follower.next(&mut records, 9, Duration::ZERO).unwrap();
        let offsets: Vec<_> = records.iter().map(|record| record.offset.0).collect();
        assert_eq!(offsets, [1, 13]);
        assert_eq!(log.read(Offset(12)).unwrap().lane, Lane::Ephemeral);
        assert!(matches!(log.read(Offset(5)), Err(ReadError::NotFound(Offset(5)))));
    }
}
