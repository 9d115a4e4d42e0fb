//! Assigns offsets, and keeps what waits for the appender.

use std::time::Duration;

use engram_log_format::frame::Draft;
use engram_log_format::{Input, Lane, Offset, TimestampMs, record, v1};

use crate::interface::{AppendError, Appended};
use crate::limits::{APPEND_BYTES_MAX, APPEND_RECORDS_MAX, RECORD_BYTES_MAX};
use crate::sync::{Condvar, Mutex};

/// One append that waits to be written.
pub(crate) struct Pending {
    pub(crate) lane: Lane,
    pub(crate) first: Offset,
    pub(crate) timestamp: TimestampMs,
    pub(crate) draft: Draft,
    /// If it renews the lease: its end.
    pub(crate) lease_below: Option<Offset>,
    /// If it announces an erasure: the last record that is to be erased. The segment that holds it is sealed then.
    pub(crate) erased_through: Option<Offset>,
}

impl Pending {
    pub(crate) fn last(&self) -> Offset {
        Offset(self.first.0 + self.draft.records() as u64 - 1)
    }
}

/// How the log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Seal, and say so in the log.
    Clean,
    /// Write what was taken, and no more.
    Plain,
}

/// What the appender finds.
pub(crate) enum Work {
    /// Appends in offset order.
    Appends(Vec<Pending>),
    /// Nothing came for a while.
    Idle,
    /// Nothing is left, and nothing will come.
    End(End),
}

struct State {
    next: Offset,
    last_timestamp: TimestampMs,
    lease_below: Offset,
    lease_requested: Offset,
    waiting: Vec<Pending>,
    bytes: usize,
    disk_full: bool,
    end: Option<End>,
    stopped: Option<String>,
}

/// The limits that are configured.
#[derive(Clone, Copy)]
pub(crate) struct SequencerOptions {
    pub(crate) lease_step: u64,
    pub(crate) queue_bytes_max: usize,
}

/// Assigns offsets.
pub(crate) struct Sequencer {
    state: Mutex<State>,
    arrived: Condvar,
    options: SequencerOptions,
}

/// Encodes the inputs of an append, and checks them against the limits.
pub(crate) fn encode(inputs: &[Input]) -> Result<Draft, AppendError> {
    assert!(!inputs.is_empty(), "an empty append is a bug of the writer");
    if inputs.len() > APPEND_RECORDS_MAX {
        let bytes = inputs.len() * record::HEADER_BYTES;
        return Err(AppendError::TooLarge { bytes, limit: APPEND_RECORDS_MAX * record::HEADER_BYTES });
    }
    let mut draft = Draft::new();
    for input in inputs {
        let bytes = draft.push(input);
        if bytes > RECORD_BYTES_MAX {
            return Err(AppendError::TooLarge { bytes, limit: RECORD_BYTES_MAX });
        }
        if draft.bytes() > APPEND_BYTES_MAX {
            return Err(AppendError::TooLarge { bytes: draft.bytes(), limit: APPEND_BYTES_MAX });
        }
    }
    assert!(draft.records() == inputs.len(), "an append is encoded whole");
    Ok(draft)
}

impl Sequencer {
    pub(crate) fn new(
        next: Offset,
        last_timestamp: TimestampMs,
        lease_below: Offset,
        options: SequencerOptions,
    ) -> Self {
        assert!(next < lease_below, "offsets are handed out below the lease");
        let state = State {
            next,
            last_timestamp,
            lease_below,
            lease_requested: lease_below,
            waiting: Vec::new(),
            bytes: 0,
            disk_full: false,
            end: None,
            stopped: None,
        };
        Self { state: Mutex::new(state), arrived: Condvar::new(), options }
    }

    /// Takes an append: assigns its offsets and queues it.
    pub(crate) fn append(&self, lane: Lane, inputs: &[Input], now: TimestampMs) -> Result<Appended, AppendError> {
        self.append_encoded(lane, encode(inputs)?, now, None)
    }

    /// Takes the record that announces an erasure, the last of which is that of `through`.
    pub(crate) fn append_erased(
        &self,
        erased: v1::Erased,
        through: Offset,
        now: TimestampMs,
    ) -> Result<Appended, AppendError> {
        self.append_encoded(Lane::Journal, encode(&[Input::from(erased)])?, now, Some(through))
    }

    fn append_encoded(
        &self,
        lane: Lane,
        draft: Draft,
        now: TimestampMs,
        erased_through: Option<Offset>,
    ) -> Result<Appended, AppendError> {
        let (records, bytes) = (draft.records() as u64, draft.bytes());
        assert!(records > 0 && bytes > 0, "an append has records");
        let mut state = self.state.lock();
        state.check_running()?;
        if state.bytes > 0 && state.bytes + bytes > self.options.queue_bytes_max {
            return Err(AppendError::Busy);
        }
        self.renew_lease(&mut state, records, now);
        // One offset is kept back for the record that closes the log.
        if state.next.0 + records >= state.lease_below.0 {
            // The lease is on its way to the disk: the next attempt will find it there.
            drop(state);
            self.arrived.notify_one();
            return Err(AppendError::Busy);
        }
        let appended = state.push(lane, draft, now, None);
        assert!(appended.last.0 - appended.first.0 + 1 == records, "each record has an offset of its own");
        if let Some(pending) = state.waiting.last_mut() {
            pending.erased_through = erased_through;
        }
        drop(state);
        self.arrived.notify_one();
        Ok(appended)
    }

    /// Queues a lease record once half of the lease is used, or an append needs more than is left.
    fn renew_lease(&self, state: &mut State, needed: u64, now: TimestampMs) {
        let left = state.lease_requested.0.saturating_sub(state.next.0);
        if left >= (self.options.lease_step / 2).max(needed + 2) || state.lease_requested > state.lease_below {
            return;
        }
        // The record itself takes an offset of the old lease; one is always left for it.
        assert!(state.next < state.lease_below, "the lease is renewed before it is used up");
        let below = Offset(state.next.0 + self.options.lease_step.max(2 * (needed + 2)));
        assert!(below > state.lease_requested, "leases grow");
        let lease = Input::from(v1::OffsetLease { below: below.0 });
        let draft = encode(&[lease]).expect("a lease is small");
        state.lease_requested = below;
        state.push(Lane::Journal, draft, now, Some(below));
    }

    /// Notes that a lease is on stable storage.
    pub(crate) fn lease_is_durable(&self, below: Offset) {
        let mut state = self.state.lock();
        assert!(below > state.lease_below, "leases grow");
        assert!(below <= state.lease_requested, "only what was asked for comes back");
        state.lease_below = below;
    }

    /// The end of the durable lease.
    pub(crate) fn lease_below(&self) -> Offset {
        self.state.lock().lease_below
    }

    /// The next offset that will be assigned.
    pub(crate) fn next_offset(&self) -> Offset {
        self.state.lock().next
    }

    /// The next offset and the time for the log's last record. Nothing may be queued any more.
    pub(crate) fn take_last(&self) -> (Offset, TimestampMs) {
        let mut state = self.state.lock();
        assert!(state.end.is_some() && state.waiting.is_empty(), "nothing follows the last record");
        let offset = state.next;
        state.next = offset.next();
        assert!(state.next <= state.lease_below, "one offset of the lease is kept for the last record");
        (offset, state.last_timestamp)
    }

    /// Waits for appends, for ever or for a while, and takes them, in order, up to about `bytes_max`.
    pub(crate) fn take(&self, bytes_max: usize, patience: Option<Duration>) -> Work {
        let mut state = self.state.lock();
        loop {
            if !state.waiting.is_empty() {
                return Work::Appends(state.take(bytes_max));
            }
            if let Some(end) = state.end {
                return Work::End(end);
            }
            match patience {
                None => self.arrived.wait(&mut state),
                Some(patience) => {
                    let _ = self.arrived.wait_for(&mut state, patience);
                    if state.waiting.is_empty() && state.end.is_none() {
                        return Work::Idle;
                    }
                }
            }
        }
    }

    /// Refuses appends while there is no space, or takes them again.
    pub(crate) fn set_disk_full(&self, full: bool) {
        self.state.lock().disk_full = full;
    }

    /// Waits a while, or until the log is to end.
    pub(crate) fn pause(&self, duration: Duration) {
        let mut state = self.state.lock();
        if state.end.is_none() {
            self.arrived.wait_for(&mut state, duration);
        }
    }

    /// Whether the log is to end.
    pub(crate) fn is_ending(&self) -> bool {
        self.state.lock().end.is_some()
    }

    /// Takes no more appends; the appender ends after those that wait.
    pub(crate) fn end(&self, end: End) {
        let mut state = self.state.lock();
        state.end.get_or_insert(end);
        drop(state);
        self.arrived.notify_one();
    }

    /// Takes no more appends for this reason.
    pub(crate) fn stop(&self, reason: &str) {
        let mut state = self.state.lock();
        state.stopped.get_or_insert_with(|| reason.to_owned());
        state.waiting.clear();
        state.bytes = 0;
    }
}

impl State {
    fn check_running(&self) -> Result<(), AppendError> {
        if let Some(reason) = &self.stopped {
            return Err(AppendError::Stopped(reason.clone()));
        }
        if self.end.is_some() {
            return Err(AppendError::Stopped("it is closed".to_owned()));
        }
        if self.disk_full {
            return Err(AppendError::DiskFull);
        }
        Ok(())
    }

    fn push(&mut self, lane: Lane, draft: Draft, now: TimestampMs, lease_below: Option<Offset>) -> Appended {
        let timestamp = now.max(self.last_timestamp);
        self.bytes += draft.bytes();
        let pending = Pending { lane, first: self.next, timestamp, draft, lease_below, erased_through: None };
        let appended = Appended { first: pending.first, last: pending.last(), timestamp };
        assert!(appended.last < self.lease_below, "an offset is handed out below the lease only");
        let before = self.waiting.last().map(Pending::last);
        assert!(before.is_none_or(|before| before < appended.first), "the queue is in the order of offsets");
        self.next = appended.last.next();
        self.last_timestamp = timestamp;
        self.waiting.push(pending);
        appended
    }

    fn take(&mut self, bytes_max: usize) -> Vec<Pending> {
        let mut bytes = 0;
        let fits = self.waiting.iter().take_while(|pending| {
            bytes += pending.draft.bytes();
            bytes <= bytes_max
        });
        let count = fits.count().max(1);
        let rest = self.waiting.split_off(count);
        let taken = std::mem::replace(&mut self.waiting, rest);
        self.bytes -= taken.iter().map(|pending| pending.draft.bytes()).sum::<usize>();
        assert!(!taken.is_empty(), "whoever is woken for work gets some");
        assert!(self.waiting.is_empty() == (self.bytes == 0), "what waits is counted");
        taken
    }
}
