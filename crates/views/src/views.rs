//! The set of all views of a server: opened, caught up, kept at one common offset, read through snapshots.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use engram_log::{Lanes, Log, Offset};
use parking_lot::Mutex;

use crate::engine::Engine;
use crate::error::{ProjectError, Stopped, ViewError};
use crate::former::{self, Rows};
use crate::open;
pub use crate::open::Options;
use crate::pipeline::{self, Pipeline, Shared};
use crate::projector::{AnyProjector, Observer};
pub use crate::snapshot::Snapshot;
use crate::sync::ArcSwap;
pub use crate::waiters::WaitApplied;
use crate::waiters::Waiters;

/// All views of one server. Shared as `Arc<Views>`.
pub struct Views {
    dir: PathBuf,
    shared: Arc<Shared>,
    /// The engine, until the pipeline takes it.
    engine: Mutex<Option<Engine>>,
    pipeline: Mutex<Option<JoinHandle<()>>>,
}

impl Views {
    /// Opens the views in `dir`, rebuilds those that are damaged, of another version or behind beyond repair,
    /// and replays the journal to its durable end. Nothing is observed yet: see [`Views::start`].
    pub fn open(
        dir: &Path,
        log: Arc<dyn Log>,
        projectors: Vec<Box<dyn AnyProjector>>,
        options: Options,
    ) -> Result<Arc<Self>, ProjectError> {
        let (mut engine, end) = open::open(dir, &log, projectors, &options)?;
        engine.free_bytes_min = options.free_bytes_min;
        let snapshot = Snapshot::of(&engine, engine.views.clone().into(), end);
        let waiters = Arc::new(Waiters::default());
        waiters.advance(end);
        Ok(Arc::new(Self {
            dir: dir.to_owned(),
            shared: Arc::new(Shared {
                current: ArcSwap::from_pointee(snapshot),
                waiters,
                closing: AtomicBool::new(false),
                waits_for_space: AtomicBool::new(false),
            }),
            engine: Mutex::new(Some(engine)),
            pipeline: Mutex::new(None),
        }))
    }

    /// What a former version of a view had in the table that its projector compares ([`Projector::compared`]); none if
    /// no version has changed since [`Views::forget_former`].
    pub fn former(&self, view: &str) -> Result<Option<Rows>, ViewError> {
        former::read(&self.dir, view)
    }

    /// The former rows have been compared, and what follows from that is on stable storage.
    pub fn forget_former(&self, view: &str) -> Result<(), ViewError> {
        former::remove(&self.dir, view)
    }

    /// Starts to follow the log live, on a thread of its own. Called once, after the observers have loaded
    /// what they need from [`Views::snapshot`].
    pub fn start(&self, observers: Vec<Box<dyn Observer>>) {
        let engine = self.engine.lock().take().expect("views are started once, and not after they are closed");
        let follower = match engine.log.follow(self.applied(), Lanes::Both) {
            Ok(follower) => follower,
            Err(error) => {
                tracing::error!(%error, "the views cannot follow the log");
                self.shared.waiters.stop(&error.to_string());
                return;
            }
        };
        let pipeline = Pipeline::new(engine, Arc::clone(&self.shared), observers);
        let thread = thread::Builder::new().name("views".to_owned()).spawn(move || pipeline.run(follower));
        *self.pipeline.lock() = Some(thread.expect("a starting server can have one more thread"));
    }

    /// The views at the last applied offset. Cheap; all reads that must agree use one snapshot. Not to be kept
    /// for longer than a request.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.current.load_full()
    }

    /// The last offset, of either lane, that all views and observers have seen.
    pub fn applied(&self) -> Offset {
        self.shared.waiters.applied()
    }

    /// Resolves when everything up to `offset` is durable, applied and visible in [`Views::snapshot`].
    pub fn wait_applied(&self, offset: Offset) -> WaitApplied {
        WaitApplied::new(Arc::clone(&self.shared.waiters), offset)
    }

    /// [`Views::wait_applied`] for a thread that may block.
    pub fn wait_applied_blocking(&self, offset: Offset) -> Result<(), Stopped> {
        self.wait_applied(offset).block()
    }

    /// Whether records wait to be applied until the disk has space.
    pub fn wait_for_space(&self) -> bool {
        self.shared.waits_for_space.load(Ordering::Relaxed)
    }

    /// Why the pipeline has stopped, if it has.
    pub fn stopped(&self) -> Option<Stopped> {
        self.shared.waiters.stopped()
    }

    /// Stops the pipeline after what is durable has been applied, and closes the store cleanly.
    ///
    /// Snapshots stay readable; the directory can be opened again once they and the views are dropped.
    pub fn close(&self) {
        self.shared.closing.store(true, Ordering::Release);
        if let Some(mut engine) = self.engine.lock().take() {
            pipeline::finish(&mut engine);
            self.shared.waiters.stop("the views are closed");
        }
        let pipeline = self.pipeline.lock().take();
        // An observer that drops the last handle is on the pipeline's own thread.
        if let Some(pipeline) = pipeline.filter(|pipeline| pipeline.thread().id() != thread::current().id()) {
            // A panic has been reported to all who waited.
            let _ = pipeline.join();
        }
    }
}

impl Drop for Views {
    fn drop(&mut self) {
        self.close();
    }
}
