//! Has the log give up a batch. What cannot be given up holds up nothing else.

use std::sync::Arc;

use engram_base::Clock;
use engram_effects::{Carrier, Job, Outcome, Report, Signals};
use engram_log::{AppendError, EraseError, Erasure, Log, Offset, PayloadState};
use engram_views::Views;

use crate::later::Later;
use crate::limits::{BATCH_BYTES, BATCH_RECORDS, CARRY_OUT, TAKEN_NOTE};
use crate::replacement::{Outcome as Fate, outcome};
use crate::ripe::{Batch, is_dropped};

pub(crate) struct Giver {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) views: Arc<Views>,
    pub(crate) clock: Clock,
    pub(crate) later: Arc<Later>,
}

/// The log has stopped, is full or does not keep up, or this is to stop: not now.
struct NotNow;

impl Carrier<Batch> for Giver {
    /// On the runner's own thread: one batch is on its way at a time, and nobody else is served by it.
    fn carry(&self, job: Job<Batch>, report: Report) {
        let outcome = self.give_up(&job.parcel, report.signals());
        report.ended(outcome);
    }
}

impl Giver {
    pub(crate) fn give_up(&self, batch: &Batch, signals: &Signals) -> Outcome {
        let mut rest = &batch.records[..];
        while !rest.is_empty() {
            let (erasures, looked_at) = self.prepare(rest);
            if self.erase(&erasures, &batch.reason, signals).is_err() {
                return Outcome::Failed { retry_after: None };
            }
            rest = &rest[looked_at..];
        }
        Outcome::Done
    }

    /// What becomes of the first of some records; how many were looked at.
    fn prepare(&self, records: &[Offset]) -> (Vec<Erasure>, usize) {
        let (mut erasures, mut bytes, mut looked_at) = (Vec::new(), 0, 0);
        for record in records {
            if erasures.len() >= BATCH_RECORDS || bytes >= BATCH_BYTES {
                break;
            }
            looked_at += 1;
            let fate = match self.log.read(*record) {
                Ok(record) => outcome(&record),
                // Dropped with all there was.
                Err(error) if is_dropped(&error) => Fate::Stays,
                Err(error) => {
                    self.later.failed(&[*record], (self.clock)(), &error);
                    continue;
                }
            };
            let replacement = match fate {
                Fate::Stays => {
                    self.later.done([*record].into_iter());
                    continue;
                }
                Fate::Gone => None,
                Fate::Replaced(payload) => Some(payload),
            };
            bytes += replacement.as_ref().map_or(0, Vec::len);
            erasures.push(Erasure { offset: *record, replacement });
        }
        assert!(looked_at > 0, "every call looks at a record");
        (erasures, looked_at)
    }

    /// Has the log give up payloads. If it does not take all of them, it is asked for parts: one that it cannot give
    /// up is found by halves.
    fn erase(&self, erasures: &[Erasure], reason: &str, signals: &Signals) -> Result<(), NotNow> {
        let mut parts = vec![erasures];
        while let Some(part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            match self.log.erase(part, reason, (self.clock)()) {
                Ok(appended) => {
                    self.carry_out(part, signals)?;
                    if let Some(appended) = appended {
                        self.wait_noted(appended.last, signals)?;
                    }
                }
                Err(EraseError::Append(error @ AppendError::TooLarge { .. })) if part.len() == 1 => {
                    self.failed(part, &error);
                }
                // It may be announced all the same, and then it is on no list any more.
                Err(EraseError::Append(error)) if !matches!(error, AppendError::TooLarge { .. }) => {
                    if !matches!(error, AppendError::Stopped(_)) {
                        self.later.unconfirmed(part.iter().map(|erasure| erasure.offset), &error);
                    }
                    return Err(NotNow);
                }
                Err(error) if part.len() == 1 => self.failed(part, &error),
                Err(_) => {
                    let (front, back) = part.split_at(part.len() / 2);
                    parts.extend([back, front]);
                }
            }
        }
        Ok(())
    }

    /// Waits until the log has done what it was asked for.
    fn carry_out(&self, part: &[Erasure], signals: &Signals) -> Result<(), NotNow> {
        loop {
            match self.log.wait_erased(CARRY_OUT) {
                Ok(true) => {
                    self.later.done(part.iter().map(|erasure| erasure.offset));
                    return Ok(());
                }
                Ok(false) if signals.is_stopping() => return Err(NotNow),
                Ok(false) => {}
                Err(error) => {
                    // Some of them, or of those before: the records themselves say which.
                    let is_there = |erasure: &&Erasure| {
                        !matches!(
                            self.log.payload_state(erasure.offset),
                            Ok(PayloadState::Replaced | PayloadState::Gone)
                        )
                    };
                    let (left, gone): (Vec<&Erasure>, Vec<&Erasure>) = part.iter().partition(is_there);
                    self.later.done(gone.into_iter().map(|erasure| erasure.offset));
                    let left: Vec<Offset> = left.into_iter().map(|erasure| erasure.offset).collect();
                    self.later.failed(&left, (self.clock)(), &error);
                    return Ok(());
                }
            }
        }
    }

    /// Waits until the views have struck the entries off: else they would be asked for again.
    fn wait_noted(&self, offset: Offset, signals: &Signals) -> Result<(), NotNow> {
        while self.views.applied() < offset {
            if self.views.stopped().is_some() || signals.pause(TAKEN_NOTE) {
                return Err(NotNow);
            }
        }
        Ok(())
    }

    fn failed(&self, part: &[Erasure], error: &dyn std::fmt::Display) {
        let records: Vec<Offset> = part.iter().map(|erasure| erasure.offset).collect();
        self.later.failed(&records, (self.clock)(), error);
    }
}
