//! Erasure: whatever is erased in whatever order, the log verifies, the rest is as it was, and the erased bytes are
//! nowhere.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use engram_log::storage::sim::{CrashPoint, Fate, Fault, Image, Op, SimStorage};
use engram_log::verify::{Report, verify_deep};
use engram_log::{
    AppendError, EmbeddedLog, EraseError, Erasure, Input, Lane, Lanes, Log, Offset, Options, PayloadState, Record,
    Storage, TimestampMs,
};
use engram_log_format::v1;
use proptest::collection::vec;
use proptest::prelude::*;

const LONG: Duration = Duration::from_secs(60);

fn options() -> Options {
    Options {
        segment_bytes: 4096,
        ephemeral_segment_bytes: 4096,
        zero_ahead_bytes: 256,
        tail_bytes_max: 3000,
        reserve_bytes: 4096,
        disk_full_retry_ms: 1,
        erase_bytes_per_second: u64::MAX,
        ..Options::default()
    }
}

fn open(storage: &Arc<SimStorage>) -> Arc<EmbeddedLog> {
    EmbeddedLog::open(storage.clone(), options()).expect("it opens")
}

/// A marker that is found wherever the payload is.
fn marker(number: usize) -> String {
    format!("<secret {number:06}>")
}

fn input(number: usize, bytes: usize) -> Input {
    let value = format!("{}{}", marker(number), "x".repeat(bytes));
    Input::from(v1::ProfileFieldSet {
        user_id: "@a:b".to_owned(),
        key: "k".to_owned(),
        value: Some(value.into_bytes()),
    })
}

/// What takes the place of any payload.
fn redacted(version: usize) -> Input {
    let value = format!("r{version}");
    Input::from(v1::ProfileFieldSet {
        user_id: "@a:b".to_owned(),
        key: "k".to_owned(),
        value: Some(value.into_bytes()),
    })
}

fn erasure(offset: Offset, version: Option<usize>) -> Erasure {
    Erasure { offset, replacement: version.map(|version| redacted(version).encode().to_vec()) }
}

fn append(log: &EmbeddedLog, number: usize, bytes: usize) -> Offset {
    let appended = log.append(Lane::Journal, &[input(number, bytes)], TimestampMs(0)).expect("taken");
    log.wait_durable(appended.last).expect("durable");
    appended.first
}

fn erase(log: &EmbeddedLog, erasures: &[Erasure]) {
    log.erase(erasures, "test", TimestampMs(0)).expect("it is taken");
    assert!(log.wait_erased(LONG).expect("nothing is given up"), "it is done in time");
}

fn verified(storage: &Arc<SimStorage>) -> Report {
    let storage: Arc<dyn Storage> = storage.clone();
    verify_deep(&storage, &mut |_| {}).expect("it can be read")
}

fn is_left_over(path: &str) -> bool {
    path.rsplit('.').next() == Some("new")
}

fn is_anywhere(image: &Image, text: &str) -> bool {
    image.values().any(|file| file.windows(text.len()).any(|bytes| bytes == text.as_bytes()))
}

fn chain_ends(storage: &Arc<SimStorage>) -> Vec<([u8; 32], Offset)> {
    use engram_log_format::segment::{Footer, SegmentHeader};
    let image = storage.image();
    let sealed = image.iter().filter(|(path, _)| path.contains("/0")).filter_map(|(_, file)| {
        let header = SegmentHeader::decode(file).expect("a sound segment");
        Footer::decode(file, &header.key()).ok()
    });
    sealed.map(|footer| (footer.chain.0, footer.last)).collect()
}

#[expect(clippy::option_option, reason = "not erased, or gone, or replaced by a version")]
fn expected(number: usize, bytes: usize, state: Option<Option<usize>>) -> (PayloadState, Option<Input>) {
    match state {
        None => (PayloadState::Whole, Some(input(number, bytes))),
        Some(Some(version)) => (PayloadState::Replaced, Some(redacted(version))),
        Some(None) => (PayloadState::Gone, None),
    }
}

fn seen(record: &Record) -> (PayloadState, Option<Input>) {
    (record.state(), record.input().ok().map(engram_log::InputRef::to_owned))
}

fn follow(log: &EmbeddedLog) -> BTreeMap<Offset, Record> {
    let mut follower = log.follow(Offset::ZERO, Lanes::Both).expect("it follows");
    let mut records = Vec::new();
    while follower.next(&mut records, 7, Duration::ZERO).is_ok_and(|count| count > 0) {}
    records.into_iter().map(|record| (record.offset, record)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any subset, in any order, in any number of steps, some records more than once, with restarts in between.
    #[test]
    fn whatever_is_erased_the_rest_is_as_it_was(
        sizes in vec(0_usize..1500, 1..40),
        steps in vec((vec((any::<prop::sample::Index>(), prop::option::of(0_usize..9)), 1..12), any::<bool>()), 1..6),
    ) {
        let storage = SimStorage::new();
        let mut log = open(&storage);
        let appended = sizes.iter().enumerate().map(|(number, bytes)| append(&log, number, *bytes));
        let offsets: Vec<Offset> = appended.collect();
        let before = chain_ends(&storage);
        let mut states = BTreeMap::new();
        for (step, reopen) in steps {
            let mut erasures = Vec::new();
            for (index, version) in step {
                let number = index.index(offsets.len());
                erasures.push(erasure(offsets[number], version));
                states.entry(number).and_modify(|state: &mut Option<_>| *state = state.and(version)).or_insert(version);
            }
            erase(&log, &erasures);
            if reopen {
                log.close().expect("it closes");
                log = open(&storage);
            }
            let all = follow(&log);
            for (number, offset) in offsets.iter().enumerate() {
                let expected = expected(number, sizes[number], states.get(&number).copied());
                prop_assert_eq!(&seen(&log.read(*offset).expect("there")), &expected);
                prop_assert_eq!(&seen(&all[offset]), &expected);
            }
        }
        let image = storage.image();
        for number in 0..offsets.len() {
            prop_assert_eq!(is_anywhere(&image, &marker(number)), !states.contains_key(&number), "record {}", number);
        }
        let report = verified(&storage);
        prop_assert!(report.is_good() && report.erasures_pending == 0, "{report:?}");
        prop_assert_eq!((report.erased + report.replaced) as usize, states.len());
        let after = chain_ends(&storage);
        prop_assert!(before.iter().all(|end| after.contains(end)), "the chain is what it was");
    }
}

#[test]
fn an_erasure_gives_space_back() {
    let storage = SimStorage::new();
    let log = open(&storage);
    let offsets: Vec<Offset> = (0..40).map(|number| append(&log, number, 900)).collect();
    let before = log.stat().expect("figures");
    erase(&log, &offsets.iter().map(|offset| erasure(*offset, None)).collect::<Vec<_>>());
    let after = log.stat().expect("figures");
    assert_eq!(after.records(), before.records() + 1);
    assert!(after.bytes() + 40 * 900 < before.bytes() + 5000, "{} of {} bytes are left", after.bytes(), before.bytes());
    let files: usize = storage.image().iter().filter(|(path, _)| path.contains("/0")).map(|(_, file)| file.len()).sum();
    assert!((files as u64) < after.bytes() + 2 * 4096, "the files are as short as that");
    assert_eq!(append(&log, 99, 10), after.durable_end.next(), "offsets go on");
}

#[test]
fn who_has_the_old_file_open_reads_on() {
    let storage = SimStorage::new();
    let log = open(&storage);
    let offsets: Vec<Offset> = (0..30).map(|number| append(&log, number, 500)).collect();
    let mut follower = log.follow(Offset::ZERO, Lanes::Journal).expect("it follows");
    let mut scrubber = log.scrubber();
    let mut records = Vec::new();
    follower.next(&mut records, 5, Duration::ZERO).expect("they are there");
    scrubber.step(u64::MAX);
    erase(&log, &offsets.iter().map(|offset| erasure(*offset, Some(1))).collect::<Vec<_>>());
    while follower.next(&mut records, 5, Duration::ZERO).expect("it goes on") > 0 {}
    let found: Vec<Offset> =
        records.iter().filter(|record| offsets.contains(&record.offset)).map(|record| record.offset).collect();
    assert_eq!(found, offsets, "none is missing and none comes twice");
    let rounds = scrubber.progress().rounds;
    while scrubber.progress().rounds < rounds + 2 {
        scrubber.step(u64::MAX);
        assert!(scrubber.progress().damage.is_empty(), "{:?}", scrubber.progress());
    }
}

#[test]
fn a_log_that_ends_in_the_middle_of_it_keeps_the_old_file() {
    let storage = SimStorage::new();
    let slow = Options { erase_bytes_per_second: 1, segment_bytes: 4 << 20, ..options() };
    let log = EmbeddedLog::open(storage.clone(), slow).expect("it opens");
    let offsets: Vec<Offset> = (0..4).map(|number| append(&log, number, 600_000)).collect();
    let erasures: Vec<Erasure> = offsets.iter().map(|offset| erasure(*offset, None)).collect();
    assert!(log.erase(&erasures, "test", TimestampMs(0)).expect("it is taken").is_some());
    assert!(!log.wait_erased(Duration::from_millis(1)).expect("nothing is given up"), "it takes a fortnight");
    assert_eq!(log.erase(&erasures, "test", TimestampMs(0)).expect("it is taken"), None, "it is on its way");
    append(&log, 9, 10);
    log.close().expect("it closes");
    assert!(storage.image().keys().all(|path| !is_left_over(path)), "nothing is left behind");
    let report = verified(&storage);
    assert!(report.is_good() && report.erased == 0 && report.erasures_pending == 4, "{report:?}");
    let log = open(&storage);
    assert_eq!(log.payload_state(offsets[0]).expect("there"), PayloadState::Whole);
    erase(&log, &erasures);
    log.close().expect("it closes");
    let report = verified(&storage);
    assert!(report.is_good() && report.erased == 4 && report.erasures_pending == 0, "{report:?}");
}

#[test]
fn a_full_disk_lets_the_erasure_wait_and_the_log_go_on() {
    let storage = SimStorage::new();
    let log = open(&storage);
    let offsets: Vec<Offset> = (0..8).map(|number| append(&log, number, 900)).collect();
    // A segment has room, another file has not.
    let last = append(&log, 8, 10);
    storage.set_capacity(Some(storage.used() + 100));
    log.erase(&[erasure(offsets[0], None)], "test", TimestampMs(0)).expect("it is taken");
    assert!(!log.wait_erased(Duration::from_millis(20)).expect("nothing is given up"), "there is no room for it");
    let more = append(&log, 9, 10);
    assert!(log.read(last).is_ok() && log.read(more).is_ok());
    assert_eq!(log.payload_state(offsets[0]).expect("there"), PayloadState::Whole);
    storage.set_capacity(None);
    assert!(log.wait_erased(LONG).expect("nothing is given up"));
    assert_eq!(log.payload_state(offsets[0]).expect("there"), PayloadState::Gone);
}

#[test]
fn rot_is_not_given_a_digest_of_its_own() {
    let storage = SimStorage::new();
    let log = open(&storage);
    let offsets: Vec<Offset> = (0..12).map(|number| append(&log, number, 500)).collect();
    let (path, file) = storage.image().into_iter().find(|(path, _)| path.contains("journal")).expect("it is there");
    let at =
        file.windows(15).position(|bytes| bytes == marker(1).as_bytes()).expect("record 1 is in the first segment");
    storage.damage(&path, at as u64, 1);
    log.erase(&[erasure(offsets[0], None)], "test", TimestampMs(0)).expect("it is taken");
    let given_up = log.wait_erased(LONG);
    assert!(matches!(&given_up, Err(EraseError::GivenUp(why)) if why.contains(&path)), "{given_up:?}");
    assert!(log.wait_erased(LONG).expect("it was told once"));
    assert!(!verified(&storage).is_good(), "the damage is there to be found");
    append(&log, 20, 10);
    storage.damage(&path, at as u64, 1);
    erase(&log, &[erasure(offsets[0], None)]);
    assert!(verified(&storage).is_good());
}

/// An erasure of which one call fails. Returns whether it got so far.
fn fail_one_call(call: u64, fault: Fault) -> bool {
    let place = format!("call {call} fails with {fault:?}");
    let storage = SimStorage::new();
    let log = open(&storage);
    let offsets: Vec<Offset> = (0..12).map(|number| append(&log, number, 500)).collect();
    let targets = [(0, None), (3, Some(1)), (7, None), (11, Some(2))];
    let erasures: Vec<Erasure> = targets.iter().map(|(number, version)| erasure(offsets[*number], *version)).collect();
    let first = storage.calls();
    storage.fail_at(first + call, fault);
    let taken = log.erase(&erasures, "test", TimestampMs(0));
    let waited = log.wait_erased(LONG);
    let reached = storage.calls() > first + call;
    storage.fail_at(u64::MAX, fault);
    let check = |log: &EmbeddedLog, place: &str| {
        for (number, offset) in offsets.iter().enumerate() {
            let wanted = targets.iter().find(|(target, _)| *target == number).map(|(_, version)| *version);
            let found = seen(&log.read(*offset).unwrap_or_else(|error| panic!("{place}: {error}")));
            let possible = [expected(number, 500, None), expected(number, 500, wanted)];
            assert!(possible.contains(&found), "{place}: record {number} is {found:?}");
        }
    };
    check(&log, &place);
    // Only what concerns the log itself, its commit and the end of its segment, stops it.
    match (&taken, log.append(Lane::Journal, &[redacted(0)], TimestampMs(0))) {
        (Err(EraseError::Append(AppendError::Stopped(_))), Err(AppendError::Stopped(_)))
        | (Err(EraseError::Append(AppendError::DiskFull)), Err(AppendError::DiskFull)) => {}
        (Ok(Some(_)) | Err(EraseError::Append(AppendError::DiskFull)), Ok(appended)) => {
            log.wait_durable(appended.last).unwrap_or_else(|error| panic!("{place}: {error}"));
        }
        other => panic!("{place}: {other:?}, {waited:?}"),
    }
    drop(log);
    let mut point = CrashPoint::new();
    storage.trace().iter().for_each(|op| point.step(op));
    let lost = SimStorage::from_image(&point.image(0, |_| Fate::Lost));
    let kept = SimStorage::from_image(&point.image(point.undecided_entries(), |_| Fate::Kept));
    for (storage, then) in [(storage, "a restart"), (lost, "a power loss"), (kept, "a power loss that loses nothing")] {
        let place = format!("{place}, then {then}");
        let log = open(&storage);
        check(&log, &place);
        erase(&log, &erasures);
        log.close().unwrap_or_else(|error| panic!("{place}: {error}"));
        let report = verified(&storage);
        let good = report.is_good() && report.torn_tails.is_empty() && report.erasures_pending == 0;
        assert!(good && (report.erased, report.replaced) == (2, 2), "{place}: {report:?}");
        assert!(storage.image().keys().all(|path| !is_left_over(path)), "{place}: nothing is left behind");
    }
    reached
}

#[test]
fn whichever_call_of_an_erasure_fails_it_is_done_or_undone() {
    for fault in [Fault::Io, Fault::NoSpace, Fault::TooManyFiles, Fault::Interrupted, Fault::Short] {
        let mut call = 0;
        while fail_one_call(call, fault) {
            call += 1;
        }
        assert!(call > 20, "an erasure in several segments makes calls");
        println!("faults: each of the {call} calls of an erasure failed once with {fault:?}: done or undone");
    }
}

/// What is missing without a reason is damage, though every digest fits.
#[test]
fn an_erasure_that_nobody_announced_is_found() {
    use engram_log_format::frame;
    use engram_log_format::record::Change;
    use engram_log_format::segment::{SEGMENT_HEADER_BYTES, SegmentHeader};
    let storage = SimStorage::new();
    let log = open(&storage);
    let target = append(&log, 0, 100);
    drop(log);
    let mut image = storage.image();
    let file =
        image.values_mut().find(|file| is_anywhere(&Image::from([(String::new(), (*file).clone())]), &marker(0)));
    let file = file.expect("it is there");
    let header = SegmentHeader::decode(file).expect("sound");
    let length = file.len();
    let (mut changed, mut at, mut chain) = (file[..SEGMENT_HEADER_BYTES].to_vec(), SEGMENT_HEADER_BYTES, header.chain);
    while let Ok(bytes) = frame::frame_bytes(&file[at..]) {
        let frame = frame::rewrite(&file[at..], &header.key(), &mut chain, |record| {
            (record.offset == target).then_some(Change::Erase)
        });
        changed.extend_from_slice(&frame.expect("it verifies").bytes);
        at += bytes;
    }
    changed.resize(length, 0);
    *file = changed;
    let report = verified(&SimStorage::from_image(&image));
    assert_eq!((report.damage.len(), report.erased), (1, 1), "{report:?}");
    assert!(report.damage[0].reason.contains(&format!("record {target}")), "{report:?}");
}

#[test]
fn nothing_goes_before_it_is_announced_on_stable_storage() {
    let storage = SimStorage::new();
    let log = open(&storage);
    let offsets: Vec<Offset> = (0..12).map(|number| append(&log, number, 500)).collect();
    let before = storage.trace().len();
    storage.hold_syncs(true);
    let (erasing, first) = (log.clone(), offsets[0]);
    let thread = std::thread::spawn(move || erasing.erase(&[erasure(first, None)], "test", TimestampMs(0)));
    let is_written = |op: &Op| matches!(op, Op::Write(_, _, bytes) if bytes.windows(4).any(|part| part == b"test"));
    while !storage.trace()[before..].iter().any(is_written) {
        std::thread::yield_now();
    }
    // Time for whoever would not wait for the disk.
    let early = log.wait_erased(Duration::from_millis(20));
    storage.hold_syncs(false);
    assert!(early.expect("nothing is given up"), "nothing waits to be erased yet");
    thread.join().expect("no panic").expect("it is taken");
    assert!(log.wait_erased(LONG).expect("nothing is given up"));
    let trace = storage.trace().split_off(before);
    let announced = trace.iter().position(is_written).expect("it was written");
    let Op::Write(journal, ..) = trace[announced] else { unreachable!("it is a write") };
    let synced = announced
        + trace[announced..].iter().position(|op| matches!(op, Op::Sync(file) if *file == journal)).expect("synced");
    let begun = trace.iter().position(|op| matches!(op, Op::Create(path, _) if is_left_over(path))).expect("rewritten");
    assert!(synced < begun, "announced at {announced}, durable at {synced}, rewritten from {begun}");
}
