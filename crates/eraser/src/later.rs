//! What was to be erased and could not be: remembered until it is, counted, and told of once.
//!
//! In memory alone. After a start everything that was ever announced is looked through, and what is still due is on
//! the lists.

use std::collections::{BTreeMap, BTreeSet};

use engram_log::{Offset, TimestampMs};
use parking_lot::Mutex;

use crate::limits::{LATER_MAX, LATER_MS};

/// What is asked for again.
#[derive(Default)]
pub(crate) struct Later {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The log did not take it, and may all the same have announced it: asked for as soon as it takes something.
    unconfirmed: BTreeSet<Offset>,
    /// Cannot be read or rewritten: asked for at a time.
    failed: BTreeMap<Offset, TimestampMs>,
    /// More failed than is remembered.
    overflowed: bool,
}

impl Later {
    /// The log is full, or does not keep up.
    pub(crate) fn unconfirmed(&self, records: impl Iterator<Item = Offset>, error: &dyn std::fmt::Display) {
        let mut state = self.state.lock();
        let is_news = state.unconfirmed.is_empty();
        state.unconfirmed.extend(records);
        if is_news && !state.unconfirmed.is_empty() {
            tracing::warn!(
                code = "W-ERASE-WAITS",
                records = state.unconfirmed.len(),
                %error,
                "the log takes no erasure: what was to go is still there, and is asked for until it is gone"
            );
        }
    }

    /// Some cannot be read or rewritten; the rest goes without them. Told of when the first of them fails for the
    /// first time.
    pub(crate) fn failed(&self, records: &[Offset], now: TimestampMs, error: &dyn std::fmt::Display) {
        let mut state = self.state.lock();
        let mut news = None;
        for record in records {
            state.unconfirmed.remove(record);
            if state.failed.len() >= LATER_MAX && !state.failed.contains_key(record) {
                state.overflowed = true;
            } else if state.failed.insert(*record, TimestampMs(now.0.saturating_add(LATER_MS))).is_none() {
                news = news.or(Some(*record));
            }
        }
        if let Some(record) = news {
            tracing::warn!(
                code = "W-ERASE-FAILED",
                %record,
                records = state.failed.len(),
                %error,
                "records cannot be erased: their payloads are still there. The rest goes without them, and they are \
                 tried again every hour; `engramctl log verify` names what is damaged: restore those files from a \
                 backup"
            );
        }
    }

    /// They are gone.
    pub(crate) fn done(&self, records: impl Iterator<Item = Offset>) {
        let mut state = self.state.lock();
        let had_unconfirmed = !state.unconfirmed.is_empty();
        for record in records {
            state.unconfirmed.remove(&record);
            state.failed.remove(&record);
        }
        if had_unconfirmed && state.unconfirmed.is_empty() {
            tracing::info!("the log takes erasures again: nothing waits any more");
        }
    }

    /// What is to be asked for now; at most `limit`.
    pub(crate) fn ripe(&self, now: TimestampMs, limit: usize) -> Vec<Offset> {
        let state = self.state.lock();
        let failed = state.failed.iter().filter(|(_, at)| **at <= now).map(|(record, _)| *record);
        state.unconfirmed.iter().copied().chain(failed).take(limit).collect()
    }

    /// Whether a record is not to be taken from a list now.
    pub(crate) fn holds(&self, record: Offset) -> bool {
        let state = self.state.lock();
        state.unconfirmed.contains(&record) || state.failed.contains_key(&record)
    }

    /// Whether the log has yet to take something.
    pub(crate) fn has_unconfirmed(&self) -> bool {
        !self.state.lock().unconfirmed.is_empty()
    }

    /// Whether more failed than is remembered since this was asked last.
    pub(crate) fn take_overflowed(&self) -> bool {
        std::mem::take(&mut self.state.lock().overflowed)
    }

    /// How many wait for the log, and how many failed.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.unconfirmed.len(), state.failed.len())
    }
}
