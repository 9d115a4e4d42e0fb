//! A data directory of every format version that was ever released: it must open, verify, and hold what it held.
//!
//! `tests/golden/v1` was written by the first version of the format: every kind of record in both lanes, a clean
//! shutdown, and then segments that a crash left open. It never changes. A new version gets a directory of its own, which
//! `ENGRAM_WRITE_GOLDEN=v2 cargo test -p engram-log --test golden` writes if it is not there.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use engram_log::storage::sim::SimStorage;
use engram_log::verify::verify_deep;
use engram_log::{EmbeddedLog, FsStorage, Kind, Lane, Lanes, Log, Offset, Options, Record, Storage, TimestampMs};
use engram_log_format::{Retention, input, sample};

fn golden(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(version)
}

fn options() -> Options {
    Options { segment_bytes: 4096, ephemeral_segment_bytes: 4096, reserve_bytes: 0, ..Options::default() }
}

/// Writes every kind of record, closes the log in order, and then lets the process die while it writes again.
fn write(dir: &Path) {
    let storage = SimStorage::new();
    for round in 0..2 {
        let log = EmbeddedLog::open(storage.clone(), options()).expect("it opens");
        for record in sample::all().into_iter().skip(round * 20) {
            let by_age = input::retention(record.kind()) == Some(Retention::ByAge);
            let lane = if by_age { Lane::Ephemeral } else { Lane::Journal };
            let appended = log.append(lane, &[record], TimestampMs(1_000_000)).expect("taken");
            log.wait_durable(appended.last).expect("durable");
        }
        if round == 0 {
            log.close().expect("it closes");
        }
    }
    for (path, bytes) in storage.image() {
        let path = dir.join(path);
        std::fs::create_dir_all(path.parent().expect("it has one")).expect("a directory");
        std::fs::write(path, bytes).expect("written");
    }
}

/// A copy in memory, so that the files stay as they are.
fn load(dir: &Path) -> Arc<SimStorage> {
    let storage = FsStorage::open(dir).expect("the directory is there");
    let mut image = std::collections::BTreeMap::new();
    for lane in ["log/journal", "log/ephemeral"] {
        for name in storage.list(lane).expect("it is there") {
            let path = format!("{lane}/{name}");
            image.insert(path.clone(), std::fs::read(dir.join(&path)).expect("readable"));
        }
    }
    SimStorage::from_image(&image)
}

fn read_all(log: &EmbeddedLog) -> Vec<Record> {
    let mut follower = log.follow(Offset::ZERO, Lanes::Both).expect("it follows");
    let mut records = Vec::new();
    while follower.next(&mut records, 100, Duration::ZERO).is_ok_and(|count| count > 0) {}
    records
}

#[test]
fn the_first_version_opens() {
    #[expect(clippy::disallowed_methods, reason = "refreshes what the test compares with")]
    if let Ok(version) = std::env::var("ENGRAM_WRITE_GOLDEN")
        && !golden(&version).exists()
    {
        write(&golden(&version));
    }
    let storage = load(&golden("v1"));
    let dynamic: Arc<dyn Storage> = storage.clone();
    let report = verify_deep(&dynamic, &mut |_| {}).expect("it can be read");
    assert!(report.is_good() && report.torn_tails.is_empty(), "{report:?}");
    let log = EmbeddedLog::open_read_only(storage.clone()).expect("it opens to read");
    let before = read_all(&log);
    drop(log);
    let log = EmbeddedLog::open(storage, options()).expect("it opens to write");
    let after = read_all(&log);
    let inputs: Vec<_> = before.iter().map(|record| record.input().expect("it validates").to_owned()).collect();
    for sample in sample::all().iter().filter(|input| input.kind().0 >= Kind::FIRST_INPUT) {
        assert!(inputs.contains(sample), "{sample:?} is there");
    }
    let same = before.iter().zip(&after).all(|(one, two)| one.offset == two.offset && one.payload() == two.payload());
    assert!(same && after.len() > before.len(), "nothing is lost by opening it, and its own records follow");
}
