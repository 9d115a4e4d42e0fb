//! The reader that acts: an effect by the runner of effects, with the log as the one whom it serves.

use std::sync::Arc;
use std::time::Duration;

use engram_base::Clock;
use engram_effects::{Backoff, Runner, Signals, Slots};
use engram_log::Log;
use engram_views::Views;

use crate::carrier::Giver;
use crate::effect::Erasing;
use crate::later::Later;

/// One batch at a time, whether the last one failed or not.
const SLOTS: Slots = Slots { all: 2, failing: 1 };
/// How long a log that takes nothing is left alone.
const BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(300) };

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

/// A thread that erases.
pub struct Eraser {
    runner: Runner,
    later: Arc<Later>,
}

/// What could not be erased yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Records that wait because the log takes no erasure: its disk is full, or does not keep up.
    pub for_the_log: usize,
    /// Records that cannot be read or rewritten, and are tried again every hour.
    pub failed: usize,
}

impl Eraser {
    /// Starts the thread: it looks first whether everything that was announced is gone, then at regular times for
    /// what is due.
    pub fn start(parts: Parts) -> Self {
        let later = Arc::new(Later::default());
        let (effect, carrier) = parts.tools(&later);
        let runner = engram_effects::Parts {
            log: parts.log,
            views: parts.views,
            clock: parts.clock,
            slots: SLOTS,
            backoff: BACKOFF,
            signals: Signals::default(),
        };
        Self { runner: Runner::start(runner, effect, carrier), later }
    }

    /// Ends the thread; to be called before the views and the log are closed. What is due stays so.
    pub fn stop(&self) {
        self.runner.stop();
    }

    /// What could not be erased yet.
    pub fn waiting(&self) -> Waiting {
        let (for_the_log, failed) = self.later.counts();
        Waiting { for_the_log, failed }
    }
}

impl Parts {
    pub(crate) fn tools(&self, later: &Arc<Later>) -> (Erasing, Giver) {
        let effect = Erasing::new(Arc::clone(&self.log), self.grace, Arc::clone(later));
        let carrier = Giver {
            log: Arc::clone(&self.log),
            views: Arc::clone(&self.views),
            clock: Arc::clone(&self.clock),
            later: Arc::clone(later),
        };
        (effect, carrier)
    }
}
