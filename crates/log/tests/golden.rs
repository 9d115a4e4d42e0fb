//! A data directory of every format version that was ever released: it must open, verify, and hold what it held.
//!
//! `tests/golden/v1` was written by the first version of the format: every kind of record in both lanes, a clean
//! shutdown, and then segments that a crash left open; `tests/golden/v1-erased` has payloads that are replaced and
//! gone. They never change. A new version gets directories of its own, which `ENGRAM_WRITE_GOLDEN=v2 cargo test -p
//! engram-log --test golden` writes if they are not there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use engram_log::storage::sim::SimStorage;
use engram_log::verify::verify_deep;
use engram_log::{
    EmbeddedLog, Erasure, FsStorage, Input, InputRef, Kind, Lane, Lanes, Log, Offset, Options, PayloadState, Record,
    Storage, TimestampMs,
};
use engram_log_format::{Retention, input, sample, v1};

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
    save(&storage, dir);
}

/// Writes some records, replaces the payload of the second, erases those of the third and the last, and closes the log.
fn write_erased(dir: &Path) {
    let storage = SimStorage::new();
    let log = EmbeddedLog::open(storage.clone(), options()).expect("it opens");
    let inputs: Vec<Input> = (0..5).map(receipt).collect();
    let appended = log.append(Lane::Journal, &inputs, TimestampMs(1_000_000)).expect("taken");
    log.wait_durable(appended.last).expect("durable");
    let at = |number: u64| Offset(appended.first.0 + number);
    let erasures = [
        Erasure { offset: at(1), replacement: Some(receipt(9).encode().to_vec()) },
        Erasure { offset: at(2), replacement: None },
        Erasure { offset: at(4), replacement: None },
    ];
    log.erase(&erasures, "redaction", TimestampMs(2_000_000)).expect("it is taken");
    assert!(log.wait_erased(Duration::from_secs(60)).expect("nothing is given up"));
    log.close().expect("it closes");
    save(&storage, dir);
}

fn receipt(number: u64) -> Input {
    let (room_id, user_id) = ("!room:example.org".to_owned(), "@alice:example.org".to_owned());
    let (receipt_type, event_id) = ("m.read".to_owned(), format!("$event{number}"));
    Input::from(v1::ReceiptSent { room_id, user_id, receipt_type, event_id, thread_id: None, at_ms: number })
}

/// Writes the directory that the environment names, if it is one of these and not there.
fn write_if_asked(is_mine: impl Fn(&str) -> bool, write: impl Fn(&Path)) {
    #[expect(clippy::disallowed_methods, reason = "refreshes what the test compares with")]
    if let Ok(version) = std::env::var("ENGRAM_WRITE_GOLDEN")
        && is_mine(&version)
        && !golden(&version).exists()
    {
        write(&golden(&version));
    }
}

fn save(storage: &SimStorage, dir: &Path) {
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
    write_if_asked(|version| !version.contains("erased"), write);
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
    let kinds: BTreeSet<Kind> = inputs.iter().map(Input::kind).filter(|kind| kind.0 >= Kind::FIRST_INPUT).collect();
    assert_eq!(kinds.len(), 23, "all kinds that there were then are there");
    for sample in sample::all().iter().filter(|input| kinds.contains(&input.kind())) {
        assert!(inputs.contains(sample), "{sample:?} is there");
    }
    let same = before.iter().zip(&after).all(|(one, two)| one.offset == two.offset && one.payload() == two.payload());
    assert!(same && after.len() > before.len(), "nothing is lost by opening it, and its own records follow");
}

#[test]
fn erased_payloads_of_the_first_version_stay_erased() {
    write_if_asked(|version| version.contains("erased"), write_erased);
    let storage = load(&golden("v1-erased"));
    let dynamic: Arc<dyn Storage> = storage.clone();
    let report = verify_deep(&dynamic, &mut |_| {}).expect("it can be read");
    assert!(report.is_good() && report.torn_tails.is_empty(), "{report:?}");
    assert_eq!((report.erased, report.replaced, report.erasures_pending), (2, 1, 0));
    let log = EmbeddedLog::open(storage, options()).expect("it opens to write");
    let records = read_all(&log);
    let receipts = records.iter().filter(|record| record.kind == receipt(0).kind());
    let seen: Vec<_> = receipts.map(|record| (record.state(), record.input().ok().map(InputRef::to_owned))).collect();
    let whole = |number| (PayloadState::Whole, Some(receipt(number)));
    let gone = || (PayloadState::Gone, None);
    assert_eq!(seen, [whole(0), (PayloadState::Replaced, Some(receipt(9))), gone(), whole(3), gone()]);
}
