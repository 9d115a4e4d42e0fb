//! The newest records in memory, and the news of how far the log has come.
//!
//! One lock guards both, so that a follower that finds nothing and goes to sleep cannot miss what is
//! published in between.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use engram_log_format::Offset;

use super::outcomes::Outcomes;
use crate::interface::{AppendError, Lanes};
use crate::record::Record;
use crate::sync::{Condvar, Mutex};

/// A record with the place of its append's end.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) record: Record,
    pub(crate) ends_append: bool,
}

/// What one group commit published.
struct Batch {
    entries: Vec<Entry>,
    last: Offset,
    bytes: usize,
}

impl Batch {
    fn first(&self) -> Offset {
        self.entries[0].record.offset
    }

    fn erased(&self, outcomes: &Outcomes) -> Self {
        let erased = |entry: &Entry| match outcomes.get(&entry.record.offset) {
            Some(replacement) => Entry { record: entry.record.erased(replacement.as_deref()), ..*entry },
            None => entry.clone(),
        };
        Self { entries: self.entries.iter().map(erased).collect(), ..*self }
    }
}

struct State {
    batches: VecDeque<Arc<Batch>>,
    bytes: usize,
    /// Records up to here are no longer in memory.
    floor: Offset,
    published: Offset,
    disk_full: bool,
    stopped: Option<String>,
}

/// The newest records, and how far the log has come.
pub(crate) struct Tail {
    state: Mutex<State>,
    changed: Condvar,
    bytes_max: usize,
}

/// What a follower finds in memory.
pub(crate) enum Found {
    /// This many records were added; everything up to the offset has been looked at.
    Records(usize, Offset),
    /// It is behind what memory holds: read segments, up to this offset.
    Behind(Offset),
    /// Nothing came in time; everything up to the offset has been looked at.
    TimedOut(Offset),
    /// Nothing will come any more.
    Stopped(String),
}

impl Tail {
    pub(crate) fn new(published: Offset, bytes_max: usize) -> Self {
        let state =
            State { batches: VecDeque::new(), bytes: 0, floor: published, published, disk_full: false, stopped: None };
        Self { state: Mutex::new(state), changed: Condvar::new(), bytes_max }
    }

    /// Makes a batch visible, and wakes everybody. Its entries ascend.
    pub(crate) fn publish(&self, entries: Vec<Entry>, bytes: usize) {
        let last = entries.last().expect("a commit has records").record.offset;
        assert!(entries.is_sorted_by(|one, two| one.record.offset < two.record.offset), "offsets ascend in a commit");
        let mut state = self.state.lock();
        assert!(entries[0].record.offset > state.published, "published offsets ascend");
        state.published = last;
        state.disk_full = false;
        state.bytes += bytes;
        state.batches.push_back(Arc::new(Batch { entries, last, bytes }));
        while state.bytes > self.bytes_max && state.batches.len() > 1 {
            let oldest = state.batches.pop_front().expect("more than one is there");
            state.bytes -= oldest.bytes;
            assert!(oldest.last > state.floor, "memory is given up from the oldest on");
            state.floor = oldest.last;
        }
        assert!(state.floor < state.published, "the newest commit stays in memory");
        assert!(state.batches.front().is_some_and(|batch| batch.first() > state.floor), "nothing is below the floor");
        drop(state);
        self.changed.notify_all();
    }

    /// Says that nothing will come any more. The first reason stays.
    pub(crate) fn stop(&self, reason: &str) {
        self.state.lock().stopped.get_or_insert_with(|| reason.to_owned());
        self.changed.notify_all();
    }

    /// Why nothing will come any more.
    pub(crate) fn stopped(&self) -> Option<String> {
        self.state.lock().stopped.clone()
    }

    /// Says whether the appender waits for space.
    pub(crate) fn set_disk_full(&self, full: bool) {
        self.state.lock().disk_full = full;
        self.changed.notify_all();
    }

    /// Whether the appender waits for space.
    pub(crate) fn is_disk_full(&self) -> bool {
        self.state.lock().disk_full
    }

    /// The last offset that followers may have seen.
    pub(crate) fn published(&self) -> Offset {
        self.state.lock().published
    }

    /// Waits until everything up to `offset` is published.
    pub(crate) fn wait(&self, offset: Offset) -> Result<(), AppendError> {
        let mut state = self.state.lock();
        loop {
            if state.published >= offset {
                return Ok(());
            }
            if let Some(reason) = &state.stopped {
                return Err(AppendError::Stopped(reason.clone()));
            }
            if state.disk_full {
                return Err(AppendError::DiskFull);
            }
            self.changed.wait(&mut state);
        }
    }

    /// A record, if it is still in memory.
    pub(crate) fn read(&self, offset: Offset) -> Option<Record> {
        let batch = {
            let state = self.state.lock();
            if offset <= state.floor || offset > state.published {
                return None;
            }
            let at = state.batches.partition_point(|batch| batch.last < offset);
            state.batches.get(at)?.clone()
        };
        let at = batch.entries.binary_search_by_key(&offset, |entry| entry.record.offset).ok()?;
        Some(batch.entries[at].record.clone())
    }

    /// Takes payloads out of memory: those of `outcomes`, with what takes their place.
    pub(crate) fn erase(&self, outcomes: &Outcomes) {
        let (Some((first, _)), Some((last, _))) = (outcomes.first_key_value(), outcomes.last_key_value()) else {
            return;
        };
        let mut state = self.state.lock();
        let start = state.batches.partition_point(|batch| batch.last < *first);
        for batch in state.batches.iter_mut().skip(start).take_while(|batch| batch.first() <= *last) {
            if batch.entries.iter().any(|entry| outcomes.contains_key(&entry.record.offset)) {
                *batch = Arc::new(batch.erased(outcomes));
            }
        }
    }

    /// Adds up to `max` records after `seen`, waiting for the first of them until `deadline`.
    pub(crate) fn next(
        &self,
        seen: Offset,
        lanes: Lanes,
        out: &mut Vec<Record>,
        max: usize,
        deadline: Option<Instant>,
    ) -> Found {
        let mut seen = seen;
        let mut state = self.state.lock();
        loop {
            if seen < state.floor {
                return Found::Behind(state.published);
            }
            if seen < state.published {
                let first = state.batches.partition_point(|batch| batch.last <= seen);
                // Cloning handles is cheap; copying records under the lock would hold up the appender.
                let batches: Vec<Arc<Batch>> = state.batches.iter().skip(first).take(64).cloned().collect();
                drop(state);
                let entries = batches.iter().flat_map(|batch| &batch.entries);
                let (count, through) =
                    take_appends(entries.skip_while(|entry| entry.record.offset <= seen), lanes, out, max);
                if count > 0 {
                    return Found::Records(count, through);
                }
                seen = through.max(seen);
                state = self.state.lock();
                continue;
            }
            if let Some(reason) = &state.stopped {
                return Found::Stopped(reason.clone());
            }
            let timed_out = if let Some(deadline) = deadline {
                self.changed.wait_until(&mut state, deadline).timed_out()
            } else {
                self.changed.wait(&mut state);
                false
            };
            if timed_out && seen >= state.published && state.stopped.is_none() {
                return Found::TimedOut(seen);
            }
        }
    }
}

/// Adds whole appends as long as they fit into `max`; of one that is larger alone, its first `max` records.
/// Returns the number of records added and the last offset that was looked at.
pub(crate) fn take_appends<'a>(
    entries: impl Iterator<Item = &'a Entry>,
    lanes: Lanes,
    out: &mut Vec<Record>,
    max: usize,
) -> (usize, Offset) {
    assert!(max > 0, "a reader that takes nothing never comes to an end");
    let start = out.len();
    let mut complete = start;
    let mut through = Offset::ZERO;
    for entry in entries {
        if lanes.include(entry.record.lane) {
            if out.len() - start == max {
                break;
            }
            out.push(entry.record.clone());
        }
        if entry.ends_append {
            complete = out.len();
            through = entry.record.offset;
        }
    }
    if complete > start {
        out.truncate(complete);
    } else if let Some(last) = out[start..].last() {
        through = through.max(last.offset);
    }
    assert!(out.len() - start <= max, "no more than asked for");
    debug_assert!(out[start..].is_sorted_by(|one, two| one.offset < two.offset), "records are in order");
    (out.len() - start, through)
}
