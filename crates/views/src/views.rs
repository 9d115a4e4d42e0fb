//! The set of all views of a server: opened, caught up, kept at one common offset, read through snapshots.

use std::future::Future;
use std::ops::{Bound, ControlFlow};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use engram_log::{Log, Offset, Record};

use crate::error::{Stopped, ViewError};
use crate::projector::{Observer, Projector};
use crate::read::{Read, Value};
use crate::table::Table;

/// How the views are opened.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Cache for blocks read from disk, in bytes; zero for the default.
    pub cache_bytes: u64,
}

/// All views of one server. Shared as `Arc<Views>`.
pub struct Views {}

impl Views {
    /// Opens the views in `dir`, rebuilds those that are damaged, of another version or behind beyond repair,
    /// and replays the journal to its durable end. Nothing is observed yet: see [`Views::start`].
    pub fn open(
        _dir: &Path,
        _log: Arc<dyn Log>,
        _projectors: Vec<Box<dyn Projector>>,
        _options: Options,
    ) -> Result<Arc<Self>, crate::ProjectError> {
        todo!()
    }

    /// Starts to follow the log live, on a thread of its own. Called once, after the observers have loaded
    /// what they need from [`Views::snapshot`].
    pub fn start(&self, _observers: Vec<Box<dyn Observer>>) {
        todo!()
    }

    /// The views at the last applied offset. Cheap; all reads that must agree use one snapshot. Not to be kept
    /// for longer than a request.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        todo!()
    }

    /// The last offset, of either lane, that all views and observers have seen.
    pub fn applied(&self) -> Offset {
        todo!()
    }

    /// Resolves when everything up to `offset` is durable, applied and visible in [`Views::snapshot`].
    pub fn wait_applied(&self, _offset: Offset) -> WaitApplied {
        todo!()
    }

    /// [`Views::wait_applied`] for a thread that may block.
    pub fn wait_applied_blocking(&self, _offset: Offset) -> Result<(), Stopped> {
        todo!()
    }

    /// Why the pipeline has stopped, if it has.
    pub fn stopped(&self) -> Option<Stopped> {
        todo!()
    }

    /// Stops the pipeline after what is durable has been applied, and closes the store cleanly.
    pub fn close(&self) {
        todo!()
    }
}

/// Future of [`Views::wait_applied`].
pub struct WaitApplied {}

impl Future for WaitApplied {
    type Output = Result<(), Stopped>;

    fn poll(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Self::Output> {
        todo!()
    }
}

/// All views at one offset.
pub struct Snapshot {}

impl Snapshot {
    /// The offset that every table is at.
    pub fn offset(&self) -> Offset {
        todo!()
    }
}

impl Read for Snapshot {
    fn get(&self, _table: &Table, _key: &[u8]) -> Result<Option<Value>, ViewError> {
        todo!()
    }

    fn scan(
        &self,
        _table: &Table,
        _from: Bound<&[u8]>,
        _to: Bound<&[u8]>,
        _reverse: bool,
        _visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), ViewError> {
        todo!()
    }

    fn record(&self, _offset: Offset) -> Result<Record, ViewError> {
        todo!()
    }
}
