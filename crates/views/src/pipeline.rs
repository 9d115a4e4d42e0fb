//! The live pipeline: follows the log, applies, commits, publishes, wakes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use engram_failpoints::{Point, reached};
use engram_log::limits::APPEND_RECORDS_MAX;
use engram_log::{Follow, FollowError, Follower, Lane, Offset, Record};

use crate::delta::{Batch, DeltaList};
use crate::engine::{Engine, View};
use crate::error::ProjectError;
use crate::projector::Observer;
use crate::snapshot::Snapshot;
use crate::sync::ArcSwap;
use crate::waiters::Waiters;

/// Records asked for at once: bounds what an observer is handed, but for appends that are larger.
const BATCH_RECORDS: usize = 1024;
/// How long the pipeline sleeps at most: bounds how long closing takes.
const TICK: Duration = Duration::from_millis(100);
/// Ticks after which there is time for what need not be done at once.
const TICKS_IDLE: u32 = 10;

/// What the pipeline and those who read share.
pub(crate) struct Shared {
    pub(crate) current: ArcSwap<Snapshot>,
    pub(crate) waiters: Arc<Waiters>,
    pub(crate) closing: AtomicBool,
    /// Whether records wait because the disk is full.
    pub(crate) waits_for_space: AtomicBool,
}

/// The pipeline's own state. Lives on its thread.
pub(crate) struct Pipeline {
    engine: Engine,
    views: Arc<[View]>,
    observers: Vec<Box<dyn Observer>>,
    shared: Arc<Shared>,
    ephemeral: Vec<Record>,
    deltas: Vec<DeltaList>,
    idle_ticks: u32,
}

impl Pipeline {
    pub(crate) fn new(engine: Engine, shared: Arc<Shared>, observers: Vec<Box<dyn Observer>>) -> Self {
        Self {
            views: engine.views.clone().into(),
            deltas: engine.lists(),
            engine,
            observers,
            shared,
            ephemeral: Vec::new(),
            idle_ticks: 0,
        }
    }

    /// Runs until the views are closed, the log stops or something fails; says which to all who wait.
    pub(crate) fn run(mut self, follower: Follower) {
        let shared = Arc::clone(&self.shared);
        let _guard = StopWhenPanicking(&shared.waiters);
        match self.follow(follower) {
            Ok(reason) => {
                finish(&mut self.engine);
                shared.waiters.stop(&reason);
            }
            Err(error) => {
                if let ProjectError::View(error) = &error {
                    self.engine.store.note(error);
                }
                tracing::error!(%error, "the views cannot be kept up and stop; the log is not affected");
                shared.waiters.stop(&error.to_string());
            }
        }
    }

    fn follow(&mut self, mut follower: Follower) -> Result<String, ProjectError> {
        let mut records = Vec::new();
        let mut last = None;
        loop {
            if last.is_none() && self.shared.closing.load(Ordering::Acquire) {
                last = Some(self.engine.log.durable_end());
            }
            if last.is_some_and(|last| last <= self.shared.waiters.applied()) {
                return Ok("the views are closed".to_owned());
            }
            let timeout = if last.is_some() { Duration::ZERO } else { TICK };
            records.clear();
            match next_whole(&mut *follower, &mut records, timeout) {
                Ok(0) if last.is_some() => return Ok("the views are closed".to_owned()),
                Ok(0) => {
                    self.idle_ticks += 1;
                    if self.idle_ticks == TICKS_IDLE && self.engine.has_room() {
                        self.engine.checkpoint()?;
                        self.engine.flush_if_due(true)?;
                    }
                }
                Ok(_) => {
                    self.idle_ticks = 0;
                    if !self.wait_for_space() {
                        return Ok("the views are closed, and the disk is full".to_owned());
                    }
                    self.step(&records)?;
                    self.engine.flush_if_due(false)?;
                }
                Err(FollowError::Stopped(reason)) => return Ok(format!("the log has stopped: {reason}")),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits as long as the disk has no room. False if the views are closed before it has: what is left is replayed
    /// later.
    fn wait_for_space(&self) -> bool {
        if self.engine.has_room() {
            return true;
        }
        tracing::error!(
            code = "E-VIEWS-DISK-FULL",
            "the disk is full: the views stay where they are until space is freed. Reads go on; nothing is lost"
        );
        self.shared.waits_for_space.store(true, Ordering::Relaxed);
        while !self.engine.has_room() {
            if self.shared.closing.load(Ordering::Acquire) {
                return false;
            }
            thread::park_timeout(TICK);
        }
        self.shared.waits_for_space.store(false, Ordering::Relaxed);
        tracing::info!("the disk has space again: the views go on");
        true
    }

    /// One batch: commit, publish, observe, wake, in this order.
    fn step(&mut self, records: &[Record]) -> Result<(), ProjectError> {
        self.engine.apply(records, Some(&mut self.deltas))?;
        let Some(last) = records.last() else { return Ok(()) };
        let snapshot = Arc::new(Snapshot::of(&self.engine, Arc::clone(&self.views), last.offset));
        self.ephemeral.extend(records.iter().filter(|record| record.lane == Lane::Ephemeral).cloned());
        let Self { observers, deltas, ephemeral, shared, .. } = self;
        publish(&shared.current, &shared.waiters, snapshot, last.offset, |snapshot| {
            reached(Point::ViewsPublished);
            let batch = Batch { snapshot, deltas, ephemeral };
            for observer in observers {
                observer.committed(&batch);
            }
            reached(Point::ViewsObserved);
        });
        self.deltas.iter_mut().for_each(DeltaList::clear);
        self.ephemeral.clear();
        Ok(())
    }
}

/// Shows a snapshot, tells observers of it, and wakes those who wait for its offset, in this order: whoever is woken
/// sees what they have waited for, and so does everybody whom an observer wakes.
pub(crate) fn publish<S>(
    current: &ArcSwap<S>,
    waiters: &Waiters,
    snapshot: Arc<S>,
    offset: Offset,
    observe: impl FnOnce(&S),
) {
    current.store(Arc::clone(&snapshot));
    observe(&snapshot);
    waiters.advance(offset);
}

/// Reads a batch that ends where an atomic append ends, so that no snapshot shows half of one.
///
/// A follower hands out part of an append only if that alone exceeds what it was asked for, and then exactly
/// as much as it was asked for; so less than that ends whole.
fn next_whole(follower: &mut dyn Follow, records: &mut Vec<Record>, timeout: Duration) -> Result<usize, FollowError> {
    let mut last = follower.next(records, BATCH_RECORDS, timeout)?;
    while last == BATCH_RECORDS && records.len() <= APPEND_RECORDS_MAX {
        last = follower.next(records, BATCH_RECORDS, Duration::ZERO)?;
    }
    Ok(records.len())
}

/// Leaves a store that is known to be complete.
pub(crate) fn finish(engine: &mut Engine) {
    if !engine.has_room() {
        tracing::warn!("the disk is full: what the views have in memory is replayed at the next start");
        return;
    }
    let cursor = engine.cursor();
    let result = engine.flush().and_then(|()| engine.store.close(cursor, &engine.tables));
    if let Err(error) = result {
        tracing::warn!(%error, "the views could not be closed cleanly; what is missing is replayed at the next start");
    }
}

/// Nobody waits for ever for a thread that is gone.
struct StopWhenPanicking<'a>(&'a Waiters);

impl Drop for StopWhenPanicking<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.stop("a projector or an observer panicked");
        }
    }
}
