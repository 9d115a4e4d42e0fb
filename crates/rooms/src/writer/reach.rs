//! What a decision can reach of log and views: it reads and appends, and has no way to wait.
//!
//! A decision is a plain function that runs while it holds its room. To wait for disk or views is a future, which a
//! plain function cannot await, and neither [`Reading`] nor [`Journal`] has anything else that blocks. So no lock is
//! held across a wait: it would not compile.

use std::sync::Arc;

use engram_log::{AppendError, Appended, Input, Lane, Log, Offset, TimestampMs};
use engram_views::{Snapshot, Views};

use super::RoomError;

/// The views, to read and to wait for.
#[derive(Clone)]
pub(super) struct Reading(Arc<Views>);

impl Reading {
    pub(super) fn new(views: Arc<Views>) -> Self {
        Self(views)
    }

    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        self.0.snapshot()
    }

    /// How far the views are.
    pub(super) fn applied(&self) -> Offset {
        self.0.applied()
    }

    /// Resolves when everything up to `offset` is durable and applied.
    pub(super) async fn caught_up(&self, offset: Offset) -> Result<(), RoomError> {
        let applied = self.0.wait_applied(offset).await;
        applied.map_err(|stopped| RoomError::Append(AppendError::Stopped(stopped.0.to_string())))
    }
}

/// The log, to append to.
pub(super) struct Journal(Arc<dyn Log>);

impl Journal {
    pub(super) fn new(log: Arc<dyn Log>) -> Self {
        Self(log)
    }

    /// Enqueues records, all or none, and returns their offsets at once.
    pub(super) fn append(&self, inputs: &[Input], now: TimestampMs) -> Result<Appended, AppendError> {
        self.0.append(Lane::Journal, inputs, now)
    }
}
