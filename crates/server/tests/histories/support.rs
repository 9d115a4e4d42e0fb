//! What the tests of histories share: views of the server, their digests, logs that hand out records in other portions.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use engram_log::{
    AppendError, Appended, EraseError, Erasure, Follow, FollowError, Follower, Input, Lane, Lanes, Log, Offset,
    ReadError, Record, TimestampMs,
};
use engram_server::node::projectors;
use engram_views::testing::{MemoryLog, scratch_dir};
use engram_views::{Options, ProjectError, Snapshot, Views};

/// A number from the environment: how long a run is.
#[expect(clippy::disallowed_methods, reason = "a long run is asked for by the environment, not by the test")]
pub(crate) fn asked(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a whole number"))
}

/// So many seeds.
pub(crate) fn seeds(count: u64) -> std::ops::Range<u64> {
    let first = asked("ENGRAM_SEED", 1);
    first..first + count
}

pub(crate) type Digests = Vec<(String, String)>;

pub(crate) fn digests(snapshot: &Snapshot) -> Result<Digests, engram_views::ViewError> {
    let digests = snapshot.digests()?;
    Ok(digests.into_iter().map(|view| (view.name.to_owned(), view.digest.to_hex().to_string())).collect())
}

/// Opens the views in a directory as a server does.
pub(crate) fn open(dir: &Path, log: &dyn CloneLog, ingest_rows: usize) -> Result<Arc<Views>, ProjectError> {
    Views::open(dir, log.shared(), projectors(), Options { ingest_rows, ..Options::default() })
}

/// The digests of a log, from views that nothing has happened to.
pub(crate) fn expected(log: &dyn CloneLog) -> Digests {
    let directory = scratch_dir();
    let views = open(directory.path(), log, 0).expect("views of a log in memory open");
    digests(&views.snapshot()).expect("views in memory can be read")
}

/// A log that can be handed to several.
pub(crate) trait CloneLog {
    fn shared(&self) -> Arc<dyn Log>;
}

impl CloneLog for MemoryLog {
    fn shared(&self) -> Arc<dyn Log> {
        Arc::new(self.clone())
    }
}

impl CloneLog for Arc<dyn Log> {
    fn shared(&self) -> Arc<dyn Log> {
        Arc::clone(self)
    }
}

/// A log that hands its followers few records at a time.
#[derive(Clone)]
pub(crate) struct InPortions {
    pub(crate) log: MemoryLog,
    pub(crate) records: usize,
}

impl CloneLog for InPortions {
    fn shared(&self) -> Arc<dyn Log> {
        Arc::new(self.clone())
    }
}

impl Log for InPortions {
    fn append(&self, lane: Lane, inputs: &[Input], now: TimestampMs) -> Result<Appended, AppendError> {
        self.log.append(lane, inputs, now)
    }

    fn wait_durable(&self, offset: Offset) -> Result<(), AppendError> {
        self.log.wait_durable(offset)
    }

    fn durable_end(&self) -> Offset {
        self.log.durable_end()
    }

    fn read(&self, offset: Offset) -> Result<Record, ReadError> {
        self.log.read(offset)
    }

    fn erase(&self, erasures: &[Erasure], reason: &str, now: TimestampMs) -> Result<Option<Appended>, EraseError> {
        self.log.erase(erasures, reason, now)
    }

    fn wait_erased(&self, timeout: Duration) -> Result<bool, EraseError> {
        self.log.wait_erased(timeout)
    }

    fn follow(&self, after: Offset, lanes: Lanes) -> Result<Follower, FollowError> {
        Ok(Box::new(PortionFollower { follower: self.log.follow(after, lanes)?, records: self.records }))
    }
}

struct PortionFollower {
    follower: Follower,
    records: usize,
}

impl Follow for PortionFollower {
    fn next(&mut self, out: &mut Vec<Record>, max: usize, timeout: Duration) -> Result<usize, FollowError> {
        self.follower.next(out, max.min(self.records), timeout)
    }

    fn position(&self) -> Offset {
        self.follower.position()
    }
}

/// Copies a directory with all that is in it. What vanishes meanwhile is left out, as from a copy of a running store.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the copy can be made");
    for entry in fs::read_dir(from).into_iter().flatten().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            copy_file(&entry.path(), &target);
        }
    }
}

/// Copies a file; long runs of zeros become holes, since the store's journals are mostly that.
fn copy_file(from: &Path, to: &Path) {
    let Ok(bytes) = fs::read(from) else { return };
    write_sparse(to, &bytes);
}

/// Writes a file with holes where there are long runs of zeros at its end.
pub(crate) fn write_sparse(path: &Path, bytes: &[u8]) {
    let used = used(bytes);
    fs::write(path, &bytes[..used]).expect("the file can be written");
    let file = fs::OpenOptions::new().write(true).open(path).expect("it was just written");
    file.set_len(bytes.len() as u64).expect("a file can grow");
}

/// The length without the zeros at the end.
pub(crate) fn used(bytes: &[u8]) -> usize {
    // In words first: journals are 64 MiB long.
    let mut end = bytes.len();
    while end >= 4096 && bytes[end - 4096..end].iter().fold(0, |all, byte| all | byte) == 0 {
        end -= 4096;
    }
    bytes[..end].iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

/// All files below a directory, relative to it, in order.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    fn walk(dir: &Path, root: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).expect("the directory can be read") {
            let path = entry.expect("the directory can be read").path();
            if path.is_dir() {
                walk(&path, root, found);
            } else {
                found.push(path.strip_prefix(root).expect("it lies below").to_owned());
            }
        }
    }
    let mut found = Vec::new();
    walk(dir, dir, &mut found);
    found.sort();
    found
}
