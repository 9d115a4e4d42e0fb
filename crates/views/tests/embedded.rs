//! With the real log: live, closed, killed, opened for reading only.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{NAMES, digests, digests_of, projectors, rows, seen};
use engram_log::{EmbeddedLog, FsStorage, Lane, Log, Offset, TimestampMs};
use engram_views::rebuild::{self, Until};
use engram_views::testing::scratch_dir;
use engram_views::{Options, Views};

fn open_log(dir: &Path) -> Arc<EmbeddedLog> {
    let options = engram_log::Options { segment_bytes: 1 << 20, ..engram_log::Options::default() };
    EmbeddedLog::open(FsStorage::open(dir).unwrap(), options).unwrap()
}

fn open_views(dir: &Path, log: &Arc<EmbeddedLog>) -> Arc<Views> {
    let log: Arc<dyn Log> = Arc::clone(log) as _;
    Views::open(&dir.join("views"), log, projectors(), Options::default()).unwrap()
}

fn append(log: &EmbeddedLog, names: std::ops::Range<u32>) -> Offset {
    let mut last = Offset::ZERO;
    for name in names {
        let lane = if name % 7 == 0 { Lane::Ephemeral } else { Lane::Journal };
        last = log.append(lane, &[seen(&name.to_string())], TimestampMs(1)).unwrap().last;
    }
    last
}

#[test]
fn followed_live_closed_and_taken_up_again() {
    let directory = scratch_dir();
    let log = open_log(directory.path());
    let views = open_views(directory.path(), &log);
    views.start(Vec::new());
    views.wait_applied_blocking(append(&log, 1..500)).unwrap();
    let before = digests(&views);
    views.close();
    log.close().unwrap();
    drop((views, log));

    let log = open_log(directory.path());
    let views = open_views(directory.path(), &log);
    assert_eq!(digests(&views), before);
    views.start(Vec::new());
    let last = append(&log, 500..600);
    views.wait_applied_blocking(last).unwrap();
    let snapshot = views.snapshot();
    assert_eq!(snapshot.offset(), last);
    assert_eq!(rows(&*snapshot, &NAMES).len(), 599 - 85, "all names but those of the ephemeral lane");
    let scratch = scratch_dir();
    let rebuilt = rebuild::into(scratch.path(), Arc::clone(&log) as _, projectors(), Until::End, &mut |_| {}).unwrap();
    assert_eq!(digests_of(&rebuilt).unwrap(), digests_of(&snapshot).unwrap());
}

#[test]
fn the_log_may_stop_before_the_views() {
    let directory = scratch_dir();
    let log = open_log(directory.path());
    let views = open_views(directory.path(), &log);
    views.start(Vec::new());
    let last = append(&log, 1..100);
    log.close().unwrap();
    views.close();
    assert!(views.applied() >= last, "what was durable was applied");
    assert!(directory.path().join("views/clean").exists());
    let right = digests(&views);
    drop((views, log));

    let log = EmbeddedLog::open_read_only(FsStorage::open(directory.path()).unwrap()).unwrap();
    assert_eq!(digests(&open_views(directory.path(), &log)), right);
}
