//! Decisions from the views: taken in turn, appended, and waited for by nobody who keeps others waiting.
//!
//! A writer asks for a decision under the keys of what it decides about. Once all earlier decisions under these keys
//! are applied, its function gets a snapshot and says what is to be appended; it is called in one go and cannot wait
//! for anything, for it is handed nothing that could. With the append its turn is over. Whether the writer then waits
//! for the disk, or is dropped with its request, the next decision under the same keys sees its records: see
//! [`engram_base::turns`].
//!
//! Decisions under different keys share one sync of the disk, as many of them as come while the last one is under way.

use std::sync::Arc;

use engram_base::turns::Turns;
use engram_base::{Clock, Key};
use engram_log::{Input, Lane, Log, Offset, TimestampMs};

use crate::error::WriteError;
use crate::views::{Snapshot, Views};

/// Takes decisions in turn. A writer holds this instead of the log and the views, so that it cannot wait for them
/// otherwise.
pub struct Decider {
    log: Arc<dyn Log>,
    views: Arc<Views>,
    clock: Clock,
    turns: Turns,
}

/// What is to be done, and what is to be answered once it is.
#[derive(Debug)]
pub struct Decision<T> {
    lane: Lane,
    inputs: Vec<Input>,
    answer: T,
}

impl<T> Decision<T> {
    /// Appends these records to the journal, all or none of them. With none, only the answer is given.
    pub fn journal(inputs: impl IntoIterator<Item = Input>, answer: T) -> Self {
        Self { lane: Lane::Journal, inputs: inputs.into_iter().collect(), answer }
    }

    /// Appends these records to the ephemeral lane, all or none of them. With none, only the answer is given.
    pub fn ephemeral(inputs: impl IntoIterator<Item = Input>, answer: T) -> Self {
        Self { lane: Lane::Ephemeral, inputs: inputs.into_iter().collect(), answer }
    }

    /// Changes nothing.
    pub fn nothing(answer: T) -> Self {
        Self { lane: Lane::Journal, inputs: Vec::new(), answer }
    }
}

/// An answer that must not be given before its records are applied.
#[must_use = "an answer promises something only when its records are applied"]
pub struct Unapplied<'a, T> {
    decider: &'a Decider,
    last: Option<Offset>,
    answer: T,
}

impl<'a, T> Unapplied<'a, T> {
    /// The last record that was appended; none if nothing was to be changed.
    pub fn last(&self) -> Option<Offset> {
        self.last
    }

    /// Does what has to be done with the append, before anybody waits.
    pub fn then<U>(self, effect: impl FnOnce(T, Option<Offset>) -> U) -> Unapplied<'a, U> {
        Unapplied { decider: self.decider, last: self.last, answer: effect(self.answer, self.last) }
    }

    /// Waits until the records are durable and applied. Dropping the future takes nothing back.
    pub async fn applied(self) -> Result<T, WriteError> {
        if let Some(last) = self.last {
            self.decider.views.wait_applied(last).await?;
            self.decider.turns.forget(last);
        }
        Ok(self.answer)
    }
}

impl Decider {
    /// Decisions from `views`, appended to `log`.
    pub fn new(log: Arc<dyn Log>, views: Arc<Views>, clock: Clock) -> Self {
        Self { log, views, clock, turns: Turns::new() }
    }

    /// The views as they are, for what is asked before or beside a decision.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.views.snapshot()
    }

    /// The time.
    pub fn now(&self) -> TimestampMs {
        (self.clock)()
    }

    /// How many keys are being decided about, or have been by records that are not applied yet.
    pub fn keys(&self) -> usize {
        self.turns.keys()
    }

    /// Takes a decision under these keys, and appends what it says. What it errs about is not appended.
    ///
    /// A future that is dropped has either decided nothing, or appended everything. `decide` runs on the thread that
    /// polls: it should cost no more than that thread can be without.
    pub async fn decide<T, E: From<WriteError>>(
        &self,
        keys: impl IntoIterator<Item = Key>,
        decide: impl FnOnce(&Snapshot, TimestampMs) -> Result<Decision<T>, E>,
    ) -> Result<Unapplied<'_, T>, E> {
        let mut place = self.turns.line_up(keys, self.views.applied());
        let fence = place.front().await;
        // Only a place in line is held here: everybody behind it waits for the same records or later ones.
        self.views.wait_applied(fence).await.map_err(WriteError::from)?;
        let now = self.now();
        let Decision { lane, inputs, answer } = decide(&self.views.snapshot(), now)?;
        if inputs.is_empty() {
            return Ok(Unapplied { decider: self, last: None, answer });
        }
        let last = self.log.append(lane, &inputs, now).map_err(WriteError::from)?.last;
        assert!(last > fence, "a decision comes after those that it has seen");
        place.leave(last);
        Ok(Unapplied { decider: self, last: Some(last), answer })
    }

    /// Appends what needs no decision. Waits for nothing.
    pub fn append(&self, inputs: &[Input]) -> Result<Offset, WriteError> {
        Ok(self.log.append(Lane::Journal, inputs, self.now())?.last)
    }
}
