//! Erasure: announces which payloads go, and has the segments that hold them rewritten, on a thread of its own.
//!
//! Two steps, in this order: a `v1::Erased` record on stable storage, which names the payloads and seals the segment
//! that is being written if one of them is in it; then a rewrite of each segment that holds one of them. What is
//! between the steps is in memory alone: after a crash whoever has asked compares the states of the records with what
//! was announced, and asks again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engram_log_format::record::Stored;
use engram_log_format::{Kind, Lane, Offset, TimestampMs, v1};

use super::catalog::Catalog;
use super::outcomes::Outcomes;
use super::rewrite::{self, Pace, RewriteError};
use super::sequencer::Sequencer;
use super::tail::Tail;
use crate::interface::{AppendError, Appended, EraseError, Erasure, ReadError};
use crate::limits::{ERASURE_BYTES_MAX, ERASURES_MAX};
use crate::sync::{Condvar, Mutex};

const ENDED: &str = "the log is closed";
const PANICKED: &str = "the erasing thread has panicked";

/// Erases payloads.
pub(crate) struct Eraser {
    catalog: Arc<Catalog>,
    tail: Arc<Tail>,
    options: EraserOptions,
    /// Held while an erasure is announced: they are carried out in the order of their records.
    announcing: Mutex<()>,
    state: Mutex<State>,
    changed: Condvar,
    ending: Condvar,
}

/// How segments are rewritten.
#[derive(Clone, Copy, Default)]
pub(crate) struct EraserOptions {
    pub(crate) bytes_per_second: u64,
    /// How often a full disk is tried again.
    pub(crate) retry: Duration,
    /// Free space that has to be left beside a copy; 0 for none.
    pub(crate) free_bytes_min: u64,
}

#[derive(Default)]
struct State {
    pending: Outcomes,
    /// Bytes of the replacements that are pending.
    bytes: usize,
    given_up: Option<String>,
    ended: Option<&'static str>,
}

/// Tells who waits, also if the thread panics.
struct EndOnDrop<'a>(&'a Eraser);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.end_because(PANICKED);
    }
}

impl Eraser {
    pub(crate) fn new(catalog: Arc<Catalog>, tail: Arc<Tail>, options: EraserOptions) -> Self {
        Self {
            catalog,
            tail,
            options,
            announcing: Mutex::new(()),
            state: Mutex::new(State::default()),
            changed: Condvar::new(),
            ending: Condvar::new(),
        }
    }

    /// See [`crate::Log::erase`].
    pub(crate) fn take(
        &self,
        sequencer: &Sequencer,
        erasures: &[Erasure],
        reason: &str,
        now: TimestampMs,
    ) -> Result<Option<Appended>, EraseError> {
        if erasures.len() > ERASURES_MAX {
            return Err(AppendError::TooLarge { bytes: erasures.len(), limit: ERASURES_MAX }.into());
        }
        let _turn = self.announcing.lock();
        let mut outcomes = Outcomes::new();
        let mut records = Vec::new();
        for (offset, wanted) in merge(erasures) {
            if let Some(replacement) = self.check(offset, wanted)? {
                records.push(v1::ErasedRecord { offset: offset.0, replacement });
                outcomes.insert(offset, wanted.map(Arc::from));
            }
        }
        let Some((through, _)) = outcomes.last_key_value() else {
            return Ok(None);
        };
        assert!(records.len() == outcomes.len(), "each payload is announced once");
        self.make_room(&outcomes)?;
        let appended = sequencer.append_erased(v1::Erased { reason: reason.to_owned(), records }, *through, now)?;
        self.tail.wait(appended.last)?;
        self.add(outcomes);
        Ok(Some(appended))
    }

    /// Whether a record can be erased. Returns the digest that is to be announced for it; none if nothing is left to be
    /// done.
    #[expect(clippy::option_option, reason = "nothing to do, or without a replacement, or with one")]
    fn check(&self, offset: Offset, wanted: Option<&[u8]>) -> Result<Option<Option<[u8; 32]>>, EraseError> {
        if offset > self.tail.published() {
            return Err(ReadError::NotFound(offset).into());
        }
        let Some((header, _)) = self.catalog.read_stored(Lane::Journal, offset)? else {
            let ephemeral = self.catalog.read_stored(Lane::Ephemeral, offset)?.is_some();
            return Err(if ephemeral { EraseError::NotErasable(offset) } else { ReadError::NotFound(offset).into() });
        };
        if header.kind.0 < Kind::FIRST_INPUT {
            return Err(EraseError::NotErasable(offset));
        }
        let (bytes, limit) = (wanted.map_or(0, <[u8]>::len), header.payload_bytes as usize);
        if bytes > limit {
            return Err(EraseError::TooLong { offset, bytes, limit });
        }
        let digest = wanted.map(|wanted| header.fields().replacement_digest(header.payload_bytes, wanted));
        let pending = self.state.lock().pending.get(&offset).cloned();
        let done = match (header.stored, pending) {
            (Stored::Erased, _) | (_, Some(None)) => true,
            (_, Some(pending)) => pending.as_deref() == wanted,
            (Stored::Replaced(replacement), None) => Some(replacement.digest) == digest,
            (Stored::Whole, None) => false,
        };
        Ok((!done).then_some(digest))
    }

    /// Refuses what is too much to wait in memory.
    fn make_room(&self, outcomes: &Outcomes) -> Result<(), EraseError> {
        let state = self.state.lock();
        if let Some(reason) = state.ended {
            return Err(AppendError::Stopped(reason.to_owned()).into());
        }
        if state.bytes > 0 && state.bytes + bytes_of(outcomes) > ERASURE_BYTES_MAX {
            return Err(AppendError::Busy.into());
        }
        Ok(())
    }

    fn add(&self, outcomes: Outcomes) {
        let mut state = self.state.lock();
        state.pending.extend(outcomes);
        state.bytes = bytes_of(&state.pending);
        drop(state);
        self.changed.notify_all();
    }

    /// See [`crate::Log::wait_erased`].
    pub(crate) fn wait(&self, timeout: Duration) -> Result<bool, EraseError> {
        #[expect(clippy::disallowed_methods, reason = "one deadline over several waits; no record sees it")]
        let deadline = Instant::now().checked_add(timeout);
        let mut state = self.state.lock();
        loop {
            if let Some(reason) = state.given_up.take() {
                return Err(EraseError::GivenUp(reason));
            }
            if state.pending.is_empty() {
                return Ok(true);
            }
            if let Some(reason) = state.ended {
                return Err(EraseError::GivenUp(reason.to_owned()));
            }
            match deadline {
                Some(deadline) if self.changed.wait_until(&mut state, deadline).timed_out() => {
                    return Ok(state.pending.is_empty());
                }
                Some(_) => {}
                None => self.changed.wait(&mut state),
            }
        }
    }

    /// Ends the thread, also in the middle of a segment.
    pub(crate) fn end(&self) {
        self.end_because(ENDED);
    }

    fn end_because(&self, reason: &'static str) {
        self.state.lock().ended.get_or_insert(reason);
        self.changed.notify_all();
        self.ending.notify_all();
    }

    /// Rewrites segments until the log ends.
    pub(crate) fn run(&self) {
        let _on_panic = EndOnDrop(self);
        while let Some(first) = self.next() {
            let segment = self.catalog.find(Lane::Journal, first).expect("the journal's segments stay");
            let footer = segment.footer().expect("an announcement seals the segments that it is about");
            let outcomes: Outcomes = {
                let state = self.state.lock();
                state.pending.range(first..=footer.last).map(|(at, to)| (*at, to.clone())).collect()
            };
            assert!(outcomes.contains_key(&first), "each rewrite carries out what it was begun for");
            match rewrite::segment(self.catalog.storage(), self, &segment, &outcomes) {
                Ok(()) => {
                    self.tail.erase(&outcomes);
                    self.finish(&outcomes, None);
                }
                Err(RewriteError::Ended) => return,
                Err(RewriteError::DiskFull) => self.pause(self.options.retry),
                Err(RewriteError::Failed(reason)) => {
                    tracing::error!(
                        segment = segment.path,
                        reason,
                        "payloads could not be erased: they are still there"
                    );
                    self.finish(&outcomes, Some(format!("{}: {reason}", segment.path)));
                }
            }
        }
    }

    /// Waits for the next record whose payload is to go.
    fn next(&self) -> Option<Offset> {
        let mut state = self.state.lock();
        loop {
            if state.ended.is_some() {
                return None;
            }
            if let Some((first, _)) = state.pending.first_key_value() {
                return Some(*first);
            }
            self.changed.wait(&mut state);
        }
    }

    /// Forgets what was carried out or given up, but for what was announced anew meanwhile.
    fn finish(&self, outcomes: &Outcomes, given_up: Option<String>) {
        let mut state = self.state.lock();
        state.pending.retain(|offset, outcome| outcomes.get(offset) != Some(outcome));
        state.bytes = bytes_of(&state.pending);
        state.given_up = given_up.or(state.given_up.take());
        drop(state);
        self.changed.notify_all();
    }

    fn pause(&self, duration: Duration) {
        let mut state = self.state.lock();
        if state.ended.is_none() && !duration.is_zero() {
            self.ending.wait_for(&mut state, duration);
        }
    }
}

impl Pace for Eraser {
    /// By the configured rate. Leaves the disk to the commits if it is full.
    fn pace(&self, bytes: u64) -> Result<(), RewriteError> {
        self.pause(Duration::from_micros(bytes.saturating_mul(1_000_000) / self.options.bytes_per_second.max(1)));
        if self.state.lock().ended.is_some() {
            return Err(RewriteError::Ended);
        }
        if self.tail.is_disk_full() { Err(RewriteError::DiskFull) } else { Ok(()) }
    }

    fn look_for_room(&self, bytes: u64) -> Result<(), RewriteError> {
        let free_bytes_min = self.options.free_bytes_min;
        let is_short = |free_bytes: u64| free_bytes_min > 0 && free_bytes < free_bytes_min.saturating_add(bytes);
        // A file system that cannot tell how much is free refuses writes when nothing is.
        if self.catalog.storage().free_bytes().is_ok_and(is_short) { Err(RewriteError::DiskFull) } else { Ok(()) }
    }
}

/// One outcome a record: of several the last, but what goes is gone.
fn merge(erasures: &[Erasure]) -> BTreeMap<Offset, Option<&[u8]>> {
    let mut merged = BTreeMap::new();
    for erasure in erasures {
        let wanted = erasure.replacement.as_deref();
        merged
            .entry(erasure.offset)
            .and_modify(|before: &mut Option<_>| *before = before.and(wanted))
            .or_insert(wanted);
    }
    merged
}

fn bytes_of(outcomes: &Outcomes) -> usize {
    outcomes.values().flatten().map(|replacement| replacement.len()).sum()
}
