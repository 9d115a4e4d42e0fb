//! What the runner is told from elsewhere: that something is due, that a target lives, that the views have moved on,
//! that a job has ended.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use engram_log::Offset;
use engram_views::{Batch, Observer};
use parking_lot::{Condvar, Mutex};

use crate::desk::Outcome;
use crate::limits::HINTS_MAX;
use crate::outbox::Target;

/// The runner's ear. Cheap to clone; made before the views are started, since they have to be observed from the start.
#[derive(Clone, Default)]
pub struct Signals {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    heard: Mutex<Heard>,
    changed: Condvar,
}

/// What was heard since the runner listened last.
#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) due: BTreeSet<Target>,
    pub(crate) alive: BTreeSet<Target>,
    /// More was said to be due than is remembered.
    pub(crate) overflowed: bool,
    pub(crate) ended: Vec<(Target, Outcome)>,
    pub(crate) is_stopping: bool,
    /// The record that the runner waits for, until it is applied.
    awaited: Option<Offset>,
    was_rung: bool,
}

impl Signals {
    /// Something new is due for a target.
    pub fn due(&self, target: Target) {
        self.tell(|heard| {
            if heard.due.len() < HINTS_MAX {
                heard.due.insert(target);
            } else {
                heard.overflowed = true;
            }
        });
    }

    /// A target has shown a sign of life.
    pub fn alive(&self, target: Target) {
        self.tell(|heard| {
            if heard.alive.len() < HINTS_MAX {
                heard.alive.insert(target);
            }
        });
    }

    /// To be handed to [`engram_views::Views::start`]: rings when the views have applied what the runner waits for.
    pub fn observer(&self) -> Box<dyn Observer> {
        Box::new(Bell(self.clone()))
    }

    /// Whether the runner is to stop.
    pub fn is_stopping(&self) -> bool {
        self.shared.heard.lock().is_stopping
    }

    pub(crate) fn ended(&self, target: Target, outcome: Outcome) {
        self.tell(|heard| heard.ended.push((target, outcome)));
    }

    pub(crate) fn stop(&self) {
        self.tell(|heard| heard.is_stopping = true);
    }

    fn tell(&self, with: impl FnOnce(&mut Heard)) {
        let mut heard = self.shared.heard.lock();
        with(&mut heard);
        heard.was_rung = true;
        drop(heard);
        self.shared.changed.notify_all();
    }

    fn applied(&self, offset: Offset) {
        let is_awaited = self.shared.heard.lock().awaited.take_if(|awaited| *awaited <= offset).is_some();
        if is_awaited {
            self.tell(|_| ());
        }
    }

    /// What was heard; waits for something, at most so long. `awaited` is a record that the views, at `applied` when
    /// they were looked at, have to apply.
    pub(crate) fn listen(
        &self,
        timeout: Duration,
        awaited: Option<Offset>,
        is_applied: impl Fn(Offset) -> bool,
    ) -> Heard {
        let mut heard = self.shared.heard.lock();
        heard.awaited = awaited;
        // Looked at after it was said what is awaited: whatever is applied from here on rings.
        let is_there = awaited.is_some_and(is_applied);
        if !heard.was_rung && !is_there && !heard.is_stopping && !timeout.is_zero() {
            self.shared.changed.wait_for(&mut heard, timeout);
        }
        let is_stopping = heard.is_stopping;
        std::mem::replace(&mut *heard, Heard { is_stopping, ..Heard::default() })
    }

    /// Waits, unless the runner is to stop; whether it is.
    pub fn pause(&self, time: Duration) -> bool {
        let mut heard = self.shared.heard.lock();
        if !heard.is_stopping {
            self.shared.changed.wait_for(&mut heard, time);
        }
        heard.is_stopping
    }
}

struct Bell(Signals);

impl Observer for Bell {
    fn committed(&mut self, batch: &Batch<'_>) {
        self.0.applied(batch.snapshot().offset());
    }
}
