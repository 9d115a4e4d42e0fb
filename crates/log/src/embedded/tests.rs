//! The embedded log against the conformance suite, on real and simulated storage.

use std::sync::Arc;

use crate::conformance::{self, Engine};
use crate::interface::Log;
use crate::storage::sim::SimStorage;
use crate::storage::{FsStorage, Storage};
use crate::{EmbeddedLog, Options};

struct Embedded {
    storage: Arc<dyn Storage>,
    options: Options,
    /// Closes the log before it is opened again, or leaves it as a crash would.
    close: bool,
    current: parking_lot::Mutex<Option<Arc<EmbeddedLog>>>,
    _dir: Option<tempfile::TempDir>,
}

impl Engine for Embedded {
    fn open(&self) -> Arc<dyn Log> {
        let mut current = self.current.lock();
        if let Some(log) = current.take() {
            if self.close {
                log.close().expect("it closes");
            } else {
                log.join(super::End::Plain);
            }
        }
        let log = EmbeddedLog::open(self.storage.clone(), self.options.clone()).expect("it opens");
        *current = Some(log.clone());
        log
    }
}

fn real(options: &Options, close: bool) -> Embedded {
    let dir = tempfile::tempdir().expect("a directory");
    let storage = FsStorage::open(dir.path()).expect("the directory opens");
    Embedded { storage, options: options.clone(), close, current: parking_lot::Mutex::default(), _dir: Some(dir) }
}

fn simulated(options: &Options, close: bool) -> Embedded {
    let storage = SimStorage::new();
    Embedded { storage, options: options.clone(), close, current: parking_lot::Mutex::default(), _dir: None }
}

/// Rotates, drops memory and renews leases all the time.
fn small() -> Options {
    Options {
        segment_bytes: 8192,
        ephemeral_segment_bytes: 4096,
        lease_step: 1000,
        tail_bytes_max: 2000,
        zero_ahead_bytes: 1024,
        ..Options::default()
    }
}

#[test]
fn conforms_on_real_files() {
    conformance::run(|| real(&Options::default(), true));
}

#[test]
fn conforms_on_real_files_when_not_closed() {
    conformance::run(|| real(&Options::default(), false));
}

#[test]
fn conforms_with_small_limits() {
    for close in [true, false] {
        conformance::run(|| simulated(&small(), close));
    }
}
