//! The thread that carries out what the [`Desk`] decides. All it adds is the clock, the carrier and the log.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use engram_base::Clock;
use engram_log::{AppendError, Input, Lane, Log, TimestampMs};
use engram_views::Views;
use parking_lot::Mutex;

use crate::backoff::Backoff;
use crate::desk::{Desk, Job, Outcome, Plan, Slots};
use crate::effect::Effect;
use crate::limits::{PAUSE, SLEEP_MAX};
use crate::outbox::Target;
use crate::signals::Signals;

/// Does the outside work.
pub trait Carrier<P>: Send + Sync + 'static {
    /// Does a job, and reports how it ended. Called on the runner's thread: whoever has others to serve meanwhile
    /// begins it here, and ends it elsewhere.
    fn carry(&self, job: Job<P>, report: Report);
}

/// Says how a job has ended. A report that is dropped says that it failed: whoever panics is tried again.
pub struct Report {
    target: Option<Target>,
    signals: Signals,
}

impl Report {
    /// The job has ended.
    pub fn ended(mut self, outcome: Outcome) {
        if let Some(target) = self.target.take() {
            self.signals.ended(target, outcome);
        }
    }

    /// Where it is said that something else is due, and whether to stop.
    pub fn signals(&self) -> &Signals {
        &self.signals
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        if let Some(target) = self.target.take() {
            self.signals.ended(target, Outcome::Failed { retry_after: None });
        }
    }
}

/// What a runner needs.
#[derive(Clone)]
pub struct Parts {
    /// The log, which takes the receipts.
    pub log: Arc<dyn Log>,
    /// The views, which hold the list.
    pub views: Arc<Views>,
    /// The clock.
    pub clock: Clock,
    /// How much is under way at once.
    pub slots: Slots,
    /// How long those who fail are left alone.
    pub backoff: Backoff,
    /// What it hears. Their [`Signals::observer`] is among those of the views.
    pub signals: Signals,
}

/// A running effect.
pub struct Runner {
    signals: Signals,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Runner {
    /// Starts the thread. It looks through the list first: what was due when the last process ended is done now.
    pub fn start<E: Effect>(parts: Parts, effect: E, carrier: impl Carrier<E::Parcel>) -> Self {
        let signals = parts.signals.clone();
        let name = effect.name().to_owned();
        let desk = Desk::new(effect, parts.slots, parts.backoff);
        let thread = thread::Builder::new().name(name).spawn(move || Worker { parts, desk, carrier }.run());
        Self { signals, thread: Mutex::new(Some(thread.expect("a starting server can have one more thread"))) }
    }

    /// Ends the thread; to be called before the views and the log are closed. What is due stays so, and what is under
    /// way ends unheard.
    pub fn stop(&self) {
        self.signals.stop();
        if let Some(thread) = self.thread.lock().take() {
            // A panic has ended the effect and nothing else; it was reported by the thread's own hook.
            let _ = thread.join();
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Worker<E: Effect, C> {
    parts: Parts,
    desk: Desk<E>,
    carrier: C,
}

impl<E: Effect, C: Carrier<E::Parcel>> Worker<E, C> {
    fn run(mut self) {
        let mut sleep = Duration::ZERO;
        loop {
            let views = &self.parts.views;
            let heard = self.parts.signals.listen(sleep, self.desk.awaited(), |at| views.snapshot().offset() >= at);
            if heard.is_stopping {
                return;
            }
            let now = (self.parts.clock)();
            heard.ended.iter().for_each(|(target, outcome)| self.desk.ended(target, *outcome, now));
            heard.due.iter().for_each(|target| self.desk.due(target));
            heard.alive.iter().for_each(|target| self.desk.alive(target));
            if heard.overflowed {
                self.desk.look_through();
            }
            let snapshot = views.snapshot();
            let offset = snapshot.offset();
            sleep = match self.desk.decide(&*snapshot, offset, now) {
                Ok(plan) => {
                    drop(snapshot);
                    match self.carry_out(plan, now) {
                        Some(sleep) => sleep,
                        None => return,
                    }
                }
                Err(error) => {
                    let effect = self.desk.effect().name();
                    tracing::warn!(code = "W-EFFECT-VIEWS", effect, %error, "what is due cannot be read yet");
                    PAUSE
                }
            };
        }
    }

    /// Returns how long to sleep then; none if the log has stopped, which says itself why.
    fn carry_out(&mut self, plan: Plan<E::Parcel>, now: TimestampMs) -> Option<Duration> {
        let until = plan.wake.map_or(SLEEP_MAX, |wake| Duration::from_millis(wake.0.saturating_sub(now.0)));
        let sleep = match self.record(plan.receipts, now) {
            Ok(()) => until.min(SLEEP_MAX),
            Err(AppendError::Stopped(_)) => return None,
            // The disk is full, or does not keep up: what was done is remembered and recorded later.
            Err(error) => {
                tracing::debug!(effect = self.desk.effect().name(), %error, "receipts wait");
                until.min(PAUSE)
            }
        };
        for job in plan.jobs {
            let report = Report { target: Some(job.target.clone()), signals: self.parts.signals.clone() };
            self.carrier.carry(job, report);
        }
        Some(sleep)
    }

    /// Records what was done. Nobody waits for the disk: a receipt that a crash takes along has its work done again
    /// under the same name.
    fn record(&mut self, receipts: Vec<(Target, Input)>, now: TimestampMs) -> Result<(), AppendError> {
        if receipts.is_empty() {
            return Ok(());
        }
        let (targets, inputs): (Vec<Target>, Vec<Input>) = receipts.into_iter().unzip();
        let appended = self.parts.log.append(Lane::Journal, &inputs, now)?;
        assert_eq!(appended.last.0 - appended.first.0 + 1, inputs.len() as u64, "a record for every receipt");
        for (offset, target) in (appended.first.0..).zip(&targets) {
            self.desk.recorded(target, engram_log::Offset(offset));
        }
        Ok(())
    }
}
