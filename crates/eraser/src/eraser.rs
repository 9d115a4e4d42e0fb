//! The reader that acts: follows the lists of what is due, and has the log give it up when its time has come.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use engram_base::Clock;
use engram_log::{AppendError, EraseError, Erasure, Log, Offset, PayloadState, ReadError, TimestampMs};
use engram_views::{Due, DueList, Snapshot, Stopped, ViewError, Views};
use parking_lot::{Condvar, Mutex};

use crate::projector::announced;
use crate::replacement::{Outcome, outcome};

/// Records that one call to the log names: enough to be worth rewriting segments, few enough that little waits in memory.
const BATCH_RECORDS: usize = 8192;
/// Bytes of replacements in one call, from which on it takes no more.
const BATCH_BYTES: usize = 8 << 20;
/// Records that are looked at between two pauses when what was announced is looked through.
const PAGE_RECORDS: usize = 1024;
/// The pause after each page: looking through takes a small part of one core and of the disk.
const PAGE_PAUSE: Duration = Duration::from_millis(20);
/// The shortest and the longest time between two rounds.
const ROUND_MS: (u64, u64) = (1_000, 3_600_000);
/// Rounds in a grace period: what is due goes at most this part of it late. Each round rewrites the segments that hold what goes.
const ROUNDS_PER_GRACE: u64 = 24;
/// How long one wait for the log to have carried out a batch is, before it is looked whether to stop.
const CARRY_OUT: Duration = Duration::from_millis(200);

/// How long what is due is kept; none: for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grace {
    /// The content of redacted events.
    pub redacted: Option<Duration>,
    /// Messages to devices that have been received.
    pub to_device: Option<Duration>,
    /// What users who asked for erasure have told the server.
    pub accounts: Option<Duration>,
}

/// What an eraser needs.
#[derive(Clone)]
pub struct Parts {
    /// The log.
    pub log: Arc<dyn Log>,
    /// The views, of which those of rooms, of users and of erasures count.
    pub views: Arc<Views>,
    /// The clock.
    pub clock: Clock,
    /// How long is waited.
    pub grace: Grace,
}

/// Why a round ended early. What was not done is done in a later one.
#[derive(Debug, thiserror::Error)]
pub enum RoundError {
    /// The views cannot be read.
    #[error(transparent)]
    View(#[from] ViewError),
    /// The log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The log does not erase.
    #[error(transparent)]
    Erase(#[from] EraseError),
    /// The views have stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// A thread that erases.
pub struct Eraser {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    stopping: Mutex<bool>,
    changed: Condvar,
}

impl Eraser {
    /// Starts the thread: it looks first whether everything that was announced is gone, then at regular times for what is due.
    pub fn start(parts: Parts) -> Self {
        let shared = Arc::new(Shared { stopping: Mutex::new(false), changed: Condvar::new() });
        let worker = Worker { parts, shared: Arc::clone(&shared) };
        let thread = thread::Builder::new().name("eraser".to_owned()).spawn(move || worker.run());
        Self { shared, thread: Mutex::new(Some(thread.expect("a starting server can have one more thread"))) }
    }

    /// Ends the thread; to be called before the views and the log are closed. What is due stays so.
    pub fn stop(&self) {
        *self.shared.stopping.lock() = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.lock().take() {
            // A panic has ended the erasing and nothing else; it was reported by the thread's own hook.
            let _ = thread.join();
        }
    }
}

impl Drop for Eraser {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    /// Waits; whether to stop.
    fn pause(&self, time: Duration) -> bool {
        let mut stopping = self.stopping.lock();
        if !*stopping {
            self.changed.wait_for(&mut stopping, time);
        }
        *stopping
    }

    fn is_stopping(&self) -> bool {
        *self.stopping.lock()
    }
}

struct Worker {
    parts: Parts,
    shared: Arc<Shared>,
}

impl Worker {
    fn run(&self) {
        let mut to_be_checked = true;
        loop {
            let result = if to_be_checked { self.check() } else { Ok(()) }.and_then(|()| {
                to_be_checked = false;
                self.parts.round(&|| self.shared.is_stopping())
            });
            match result {
                Ok(()) => {}
                // The log or the views say themselves why they stop.
                Err(RoundError::Stopped(_) | RoundError::Erase(EraseError::Append(AppendError::Stopped(_)))) => return,
                // What is full, or does not keep up, is no news here.
                Err(RoundError::Erase(EraseError::Append(error))) => tracing::debug!(%error, "erasing waits"),
                Err(error) => {
                    to_be_checked = true;
                    tracing::warn!(code = "W-ERASE", %error, "some of what is due could not be erased; it is tried again");
                }
            }
            if self.shared.pause(self.parts.grace.between_rounds()) {
                return;
            }
        }
    }

    /// Has everything erased again that was announced and is there all the same: after a crash, or a restore from an old copy.
    fn check(&self) -> Result<(), RoundError> {
        let mut after = Offset::ZERO;
        loop {
            let page = announced(&*self.parts.views.snapshot(), after, PAGE_RECORDS)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = *last;
            let mut whole = Vec::new();
            for record in page {
                match self.parts.log.payload_state(record) {
                    Ok(PayloadState::Whole) => whole.push(record),
                    // Dropped with all there was.
                    Ok(PayloadState::Replaced | PayloadState::Gone) | Err(ReadError::NotFound(_)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            if !whole.is_empty() {
                tracing::info!(records = whole.len(), "payloads that were erased are there again, and go again");
                self.parts.erase(&whole, "again").map(drop)?;
                self.parts.carry_out(&|| self.shared.is_stopping())?;
            }
            if self.shared.pause(PAGE_PAUSE) {
                return Ok(());
            }
        }
    }
}

impl Parts {
    /// The lists, how long is waited for what is on them, and why it goes.
    fn lists(&self) -> [(DueList, Option<Duration>, &'static str); 3] {
        [
            (engram_rooms::tables::DUE, self.grace.redacted, "redacted"),
            (engram_users::tables::DUE_MESSAGES, self.grace.to_device, "received"),
            (engram_users::tables::DUE_PERSONAL, self.grace.accounts, "account erased"),
        ]
    }

    /// Erases what is due now, or until it is to stop.
    pub(crate) fn round(&self, is_stopping: &dyn Fn() -> bool) -> Result<(), RoundError> {
        let now = (self.clock)();
        for (list, grace, reason) in self.lists() {
            let mut after = None;
            while let Some(grace) = grace
                && !is_stopping()
            {
                let snapshot = self.views.snapshot();
                let due = self.due(&snapshot, list, after, now, grace)?;
                drop(snapshot);
                let Some(last) = due.last() else { break };
                after = Some(*last);
                let records: Vec<Offset> = due.iter().map(|due| due.record).collect();
                self.erase(&records, reason)?;
                self.carry_out(is_stopping)?;
            }
        }
        Ok(())
    }

    /// Waits until the log has done what it was asked for, so that no more than one batch is on its way.
    fn carry_out(&self, is_stopping: &dyn Fn() -> bool) -> Result<(), RoundError> {
        while !self.log.wait_erased(CARRY_OUT)? {
            if is_stopping() {
                break;
            }
        }
        Ok(())
    }

    /// The next entries of a list whose grace is over.
    fn due(
        &self,
        snapshot: &Snapshot,
        list: DueList,
        after: Option<Due>,
        now: TimestampMs,
        grace: Duration,
    ) -> Result<Vec<Due>, RoundError> {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        let mut due = list.after(snapshot, after, BATCH_RECORDS)?;
        // Records are in the order of their times, and entries in the order of the records that made them due.
        let mut known: Option<(Offset, bool)> = None;
        let mut ripe = 0;
        for entry in &due {
            let is_over = match known {
                Some((since, is_over)) if since == entry.since => is_over,
                _ => self.log.read(entry.since)?.timestamp.0.saturating_add(grace_ms) <= now.0,
            };
            known = Some((entry.since, is_over));
            if !is_over {
                break;
            }
            ripe += 1;
        }
        due.truncate(ripe);
        Ok(due)
    }

    /// Has the log give up payloads, and waits until the views have taken note. Returns how many.
    fn erase(&self, records: &[Offset], reason: &str) -> Result<usize, RoundError> {
        let (mut batch, mut bytes, mut count) = (Vec::new(), 0, 0);
        for record in records {
            let replacement = match outcome(&self.log.read(*record)?) {
                Outcome::Stays => continue,
                Outcome::Gone => None,
                Outcome::Replaced(payload) => Some(payload),
            };
            bytes += replacement.as_ref().map_or(0, Vec::len);
            batch.push(Erasure { offset: *record, replacement });
            if bytes >= BATCH_BYTES {
                count += self.give_up(&batch, reason)?;
                (batch, bytes) = (Vec::new(), 0);
            }
        }
        Ok(count + self.give_up(&batch, reason)?)
    }

    fn give_up(&self, batch: &[Erasure], reason: &str) -> Result<usize, RoundError> {
        if batch.is_empty() {
            return Ok(0);
        }
        if let Some(appended) = self.log.erase(batch, reason, (self.clock)())? {
            self.views.wait_applied_blocking(appended.last)?;
        }
        Ok(batch.len())
    }
}

impl Grace {
    fn between_rounds(&self) -> Duration {
        let graces = [self.redacted, self.to_device, self.accounts];
        let least = graces.into_iter().flatten().min().unwrap_or(Duration::MAX);
        let part_ms = u64::try_from(least.as_millis()).unwrap_or(u64::MAX) / ROUNDS_PER_GRACE;
        Duration::from_millis(part_ms.clamp(ROUND_MS.0, ROUND_MS.1))
    }
}
