//! The decision: what is to be done now, and when to look again. No thread, no clock, no network: all of that is
//! handed in and told.
//!
//! A target is in one phase at a time:
//!
//! ```text
//!           next: a parcel          done               taken by the log          applied
//!   Ready ────────────────▶ UnderWay ───▶ Unrecorded ──────────────────▶ Recorded ───────▶ Ready
//!    │ ▲                       │ failed      (offered again until the log takes it)
//!    │ └─ time, sign of life ─ Waiting
//!    └── nothing is due: forgotten
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use engram_log::{Input, Offset, TimestampMs};
use engram_views::{Read, ViewError};

use crate::backoff::{Backoff, millis};
use crate::effect::{Effect, Next};
use crate::limits::{CROWDED, PAGE_TARGETS, RECEIPTS_MAX, SWEEP, TARGETS_MAX};
use crate::outbox::Target;

/// How many parcels are under way at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    /// In all.
    pub all: usize,
    /// Of these, for targets whose last parcel failed: less than all, so that those who answer never wait for those
    /// who do not.
    pub failing: usize,
}

/// Something to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job<P> {
    /// For whom.
    pub target: Target,
    /// What.
    pub parcel: P,
}

/// How a job has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done, or will never be: nothing of it is to be tried again.
    Done,
    /// It may be done or not, and is tried again: after a pause, or the longer one that was asked for.
    Failed {
        /// What the target asked for.
        retry_after: Option<Duration>,
    },
}

/// What is to be done now.
#[derive(Debug)]
pub struct Plan<P> {
    /// Work that can begin.
    pub jobs: Vec<Job<P>>,
    /// What is to be recorded: [`Desk::recorded`] says of each that the log took it.
    pub receipts: Vec<(Target, Input)>,
    /// When to look again if nothing happens before; none: only then.
    pub wake: Option<TimestampMs>,
}

#[derive(Debug)]
enum Phase {
    Ready,
    Waiting(TimestampMs),
    UnderWay(Option<Input>),
    Unrecorded(Input),
    Recorded,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// Failures in a row.
    failures: u32,
    /// Whether it showed signs of life while its parcel was under way.
    is_alive: bool,
}

/// Decides for one effect.
pub struct Desk<E: Effect> {
    effect: E,
    slots: Slots,
    backoff: Backoff,
    targets_max: usize,
    targets: BTreeMap<Target, State>,
    /// Those who are ready and have not failed, in the order in which they became so; and those who have.
    fresh: VecDeque<Target>,
    failing: VecDeque<Target>,
    timers: BTreeSet<(TimestampMs, Target)>,
    unrecorded: BTreeSet<Target>,
    recorded: BTreeSet<(Offset, Target)>,
    under_way: usize,
    failing_under_way: usize,
    sweep: Sweep,
}

/// The look through the list.
#[derive(Debug, Default)]
struct Sweep {
    /// Where it goes on; none: it begins.
    after: Option<Target>,
    /// When.
    at: TimestampMs,
    /// Somebody was passed over since it began.
    has_missed: bool,
}

impl<E: Effect> Desk<E> {
    /// Nothing is known yet: the first decisions look through the list.
    pub fn new(effect: E, slots: Slots, backoff: Backoff) -> Self {
        Self::with_targets_max(effect, slots, backoff, TARGETS_MAX)
    }

    pub(crate) fn with_targets_max(effect: E, slots: Slots, backoff: Backoff, targets_max: usize) -> Self {
        assert!(0 < slots.failing && slots.failing < slots.all, "both those who fail and those who do not have a slot");
        assert!(targets_max > slots.all, "whoever has a parcel under way is remembered");
        Self {
            effect,
            slots,
            backoff,
            targets_max,
            targets: BTreeMap::new(),
            fresh: VecDeque::new(),
            failing: VecDeque::new(),
            timers: BTreeSet::new(),
            unrecorded: BTreeSet::new(),
            recorded: BTreeSet::new(),
            under_way: 0,
            failing_under_way: 0,
            sweep: Sweep::default(),
        }
    }

    /// The effect.
    pub fn effect(&self) -> &E {
        &self.effect
    }

    /// Something new is due for a target. Whoever has failed is left alone all the same.
    pub fn due(&mut self, target: &Target) {
        match self.targets.get(target) {
            // If there is no space for it the next look through the list finds it.
            None => _ = self.take_up(target),
            Some(State { phase: Phase::Waiting(until), failures: 0, .. }) => {
                let until = *until;
                self.timers.remove(&(until, target.clone()));
                self.make_ready(target);
            }
            // It is looked at again when what is under way has ended, or its time has come.
            Some(_) => {}
        }
    }

    /// A target has shown a sign of life: it is tried at once.
    pub fn alive(&mut self, target: &Target) {
        let Some(state) = self.targets.get_mut(target) else { return };
        match state.phase {
            Phase::Waiting(until) => {
                self.timers.remove(&(until, target.clone()));
                self.make_ready(target);
            }
            Phase::UnderWay(_) => state.is_alive = true,
            Phase::Ready | Phase::Unrecorded(_) | Phase::Recorded => {}
        }
    }

    /// The list may hold what no hint has told of: it is looked through.
    pub fn look_through(&mut self) {
        if self.sweep.after.is_none() {
            self.sweep.at = TimestampMs(0);
        } else {
            self.sweep.has_missed = true;
        }
    }

    /// A job has ended.
    pub fn ended(&mut self, target: &Target, outcome: Outcome, now: TimestampMs) {
        let state = self.targets.get_mut(target).expect("whoever has a parcel under way is remembered");
        let Phase::UnderWay(receipt) = std::mem::replace(&mut state.phase, Phase::Ready) else {
            panic!("a job ends once");
        };
        self.under_way -= 1;
        self.failing_under_way -= usize::from(state.failures > 0);
        let is_alive = std::mem::take(&mut state.is_alive);
        match (outcome, receipt) {
            (Outcome::Done, receipt) => {
                state.failures = 0;
                match receipt {
                    Some(receipt) => {
                        state.phase = Phase::Unrecorded(receipt);
                        self.unrecorded.insert(target.clone());
                    }
                    None => self.make_ready(target),
                }
            }
            (Outcome::Failed { retry_after }, _) => {
                state.failures = state.failures.saturating_add(1);
                if is_alive {
                    self.make_ready(target);
                } else {
                    let until = self.backoff.until(now, state.failures, retry_after);
                    self.wait(target, until);
                }
            }
        }
    }

    /// The log has taken a receipt: the target goes on when that is applied.
    pub fn recorded(&mut self, target: &Target, at: Offset) {
        let state = self.targets.get_mut(target).expect("whoever has something to be recorded is remembered");
        assert!(matches!(state.phase, Phase::Unrecorded(_)), "a receipt is recorded once");
        state.phase = Phase::Recorded;
        assert!(self.unrecorded.remove(target), "what is not recorded is listed");
        self.recorded.insert((at, target.clone()));
    }

    /// The last record that is waited for.
    pub fn awaited(&self) -> Option<Offset> {
        self.recorded.first().map(|(at, _)| *at)
    }

    /// Decides. `views` are at `applied`; what is in the plan counts as begun.
    ///
    /// After an error nothing is lost: whoever was looked at is ready still.
    pub fn decide(
        &mut self,
        views: &dyn Read,
        applied: Offset,
        now: TimestampMs,
    ) -> Result<Plan<E::Parcel>, ViewError> {
        while let Some((at, target)) = self.recorded.first().filter(|(at, _)| *at <= applied).cloned() {
            self.recorded.remove(&(at, target.clone()));
            self.make_ready(&target);
        }
        while let Some((until, target)) = self.timers.first().filter(|(until, _)| *until <= now).cloned() {
            self.timers.remove(&(until, target.clone()));
            self.make_ready(&target);
        }
        self.look(views, now)?;
        let mut jobs = Vec::new();
        while self.under_way < self.slots.all
            && let Some(target) = self.fresh.pop_front()
        {
            self.begin(views, now, target, &mut jobs)?;
        }
        while self.under_way < self.slots.all
            && self.failing_under_way < self.slots.failing
            && let Some(target) = self.failing.pop_front()
        {
            self.begin(views, now, target, &mut jobs)?;
        }
        let receipts = self.unrecorded.iter().take(RECEIPTS_MAX).map(|target| (target.clone(), self.receipt(target)));
        let receipts = receipts.collect();
        self.check();
        Ok(Plan { jobs, receipts, wake: self.wake(now) })
    }

    /// Reads a page of the list, if it is time to.
    fn look(&mut self, views: &dyn Read, now: TimestampMs) -> Result<(), ViewError> {
        // Not while there is enough to do.
        if self.sweep.at > now || self.fresh.len() >= PAGE_TARGETS {
            return Ok(());
        }
        let page = self.effect.due(views, self.sweep.after.as_ref(), PAGE_TARGETS)?;
        let taken = page.iter().take_while(|target| self.targets.contains_key(*target) || self.take_up(target)).count();
        if let Some(last) = page[..taken].last() {
            self.sweep.after = Some(last.clone());
        }
        if taken < page.len() {
            // In a while there is space again.
            self.sweep.at = later(now, CROWDED);
        } else if page.len() < PAGE_TARGETS {
            let pause = if self.sweep.has_missed { CROWDED } else { SWEEP };
            self.sweep = Sweep { at: later(now, pause), ..Sweep::default() };
        }
        Ok(())
    }

    /// Remembers a target that has something due; false if there is no space even if another is forgotten.
    fn take_up(&mut self, target: &Target) -> bool {
        if self.targets.len() >= self.targets_max {
            let Some((until, last)) = self.timers.last().cloned() else {
                self.sweep.has_missed = true;
                return false;
            };
            self.timers.remove(&(until, last.clone()));
            self.targets.remove(&last);
            self.sweep.has_missed = true;
        }
        self.targets.insert(target.clone(), State { phase: Phase::Ready, failures: 0, is_alive: false });
        self.fresh.push_back(target.clone());
        true
    }

    /// Begins what comes next for a target that is ready and in no queue any more.
    fn begin(
        &mut self,
        views: &dyn Read,
        now: TimestampMs,
        target: Target,
        jobs: &mut Vec<Job<E::Parcel>>,
    ) -> Result<(), ViewError> {
        let next = match self.effect.next(views, &target, now) {
            Ok(next) => next,
            Err(error) => {
                self.make_ready(&target);
                return Err(error);
            }
        };
        match next {
            Next::Nothing => _ = self.targets.remove(&target),
            Next::At(until) => self.wait(&target, until.max(TimestampMs(now.0 + 1))),
            Next::Parcel(parcel) => {
                let receipt = self.effect.receipt(&target, &parcel);
                let state = self.targets.get_mut(&target).expect("whoever is ready is remembered");
                state.phase = Phase::UnderWay(receipt);
                self.under_way += 1;
                self.failing_under_way += usize::from(state.failures > 0);
                jobs.push(Job { target, parcel });
            }
        }
        Ok(())
    }

    fn make_ready(&mut self, target: &Target) {
        let state = self.targets.get_mut(target).expect("whoever becomes ready is remembered");
        state.phase = Phase::Ready;
        let queue = if state.failures > 0 { &mut self.failing } else { &mut self.fresh };
        queue.push_back(target.clone());
    }

    fn wait(&mut self, target: &Target, until: TimestampMs) {
        self.targets.get_mut(target).expect("whoever waits is remembered").phase = Phase::Waiting(until);
        self.timers.insert((until, target.clone()));
    }

    fn receipt(&self, target: &Target) -> Input {
        match self.targets.get(target).map(|state| &state.phase) {
            Some(Phase::Unrecorded(receipt)) => receipt.clone(),
            other => panic!("what is to be recorded has a receipt, not {other:?}"),
        }
    }

    fn wake(&self, now: TimestampMs) -> Option<TimestampMs> {
        // With enough to do the look goes on when something has ended, and that wakes by itself.
        let look = (self.fresh.len() < PAGE_TARGETS).then_some(self.sweep.at.max(now));
        look.into_iter().chain(self.timers.first().map(|(until, _)| *until)).min()
    }

    /// Everybody who is remembered is in one place.
    fn check(&self) {
        assert!(self.targets.len() <= self.targets_max, "memory is bounded");
        assert!(self.under_way <= self.slots.all && self.failing_under_way <= self.slots.failing, "slots are bounded");
        let queued = self.fresh.len() + self.failing.len() + self.timers.len();
        let recording = self.unrecorded.len() + self.recorded.len();
        assert_eq!(queued + recording + self.under_way, self.targets.len(), "a target is in one phase");
    }

    /// How many targets are remembered.
    pub fn remembered(&self) -> usize {
        self.targets.len()
    }
}

fn later(now: TimestampMs, duration: Duration) -> TimestampMs {
    TimestampMs(now.0.saturating_add(millis(duration)))
}
