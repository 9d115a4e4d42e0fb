//! Views over a [`MemoryLog`] in a temporary directory.

use std::sync::Arc;

use engram_log::Offset;
use tempfile::TempDir;

use super::{MemoryLog, scratch_dir};
use crate::projector::{AnyProjector, Observer};
use crate::views::{Options, Snapshot, Views};

/// A log in memory and live views of it; the directory goes with the value.
pub struct TestViews {
    /// The log: append here.
    pub log: MemoryLog,
    /// The views, following the log.
    pub views: Arc<Views>,
    // Dropped last: the views still write when they close.
    _directory: TempDir,
}

impl TestViews {
    /// Views of an empty log, started, with nobody observing.
    pub fn new(projectors: Vec<Box<dyn AnyProjector>>) -> Self {
        Self::over(MemoryLog::new(), projectors, Vec::new())
    }

    /// Views of an existing log, caught up and started.
    pub fn over(log: MemoryLog, projectors: Vec<Box<dyn AnyProjector>>, observers: Vec<Box<dyn Observer>>) -> Self {
        let directory = scratch_dir();
        let views = Views::open(directory.path(), Arc::new(log.clone()), projectors, Options::default())
            .expect("views of a log in memory open");
        views.start(observers);
        Self { log, views, _directory: directory }
    }

    /// The views at the end of the log.
    pub fn settle(&self) -> Arc<Snapshot> {
        self.wait(engram_log::Log::durable_end(&self.log))
    }

    /// The views once they have applied `offset`.
    pub fn wait(&self, offset: Offset) -> Arc<Snapshot> {
        self.views.wait_applied_blocking(offset).expect("the pipeline runs");
        self.views.snapshot()
    }
}
