//! Rot, misdirected writes and mistakes: every change of a log that holds every kind of record is found, and found
//! where it is.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use engram_log::storage::Storage;
use engram_log::storage::sim::{Image, SimStorage};
use engram_log::verify::{Report, verify, verify_deep};
use engram_log::{EmbeddedLog, Erasure, Lane, Lanes, Log, Offset, OpenError, Options, TimestampMs};
use engram_log_format::frame::FrameBuilder;
use engram_log_format::record::{Chain, RecordFields};
use engram_log_format::segment::{FOOTER_BYTES, INDEX_ENTRY_BYTES, SEGMENT_HEADER_BYTES, SegmentHeader};
use engram_log_format::{Kind, Retention, frame, input, sample};

fn options() -> Options {
    Options {
        segment_bytes: 4096,
        ephemeral_segment_bytes: 4096,
        zero_ahead_bytes: 256,
        reserve_bytes: 0,
        ..Options::default()
    }
}

/// Every kind of record, in sealed segments of the journal and one that a crash left open, and in ephemeral ones. Some
/// payloads are gone, some have another in their place.
fn sample_log() -> Image {
    log_of(2)
}

/// The same as a clean stop leaves it: also the newest segments are sealed.
fn closed_log() -> Image {
    log_of(1)
}

/// A log that was closed after its first round, and not after the second.
fn log_of(rounds: usize) -> Image {
    let storage = SimStorage::new();
    for round in 0..rounds {
        let log = EmbeddedLog::open(storage.clone(), options()).expect("it opens");
        for record in sample::all() {
            let lane = match input::retention(record.kind()) {
                Some(Retention::ByAge) => Lane::Ephemeral,
                _ => Lane::Journal,
            };
            let appended = log.append(lane, &[record], TimestampMs(1)).expect("taken");
            log.wait_durable(appended.last).expect("durable");
            // The second time a crash comes early, so that the image stays small.
            if round == 1 && appended.last.0.is_multiple_of(8) {
                break;
            }
        }
        if round == 0 {
            erase(&log);
            log.close().expect("it closes");
        }
    }
    storage.image()
}

/// Erases two records and replaces one that is followed by another of its frame, and one that is not.
fn erase(log: &EmbeddedLog) {
    let named = |name: &str| sample::all().into_iter().find(|input| input::kind_name(input.kind()) == Some(name));
    let mut erasures = Vec::new();
    let mut records = Vec::new();
    let mut follower = log.follow(Offset::ZERO, Lanes::Journal).expect("it follows");
    while follower.next(&mut records, 100, Duration::ZERO).is_ok_and(|count| count > 0) {}
    for (name, replaced) in
        [("to-device-sent", false), ("pdu", true), ("account-data-set", true), ("receipt-sent", false)]
    {
        let kind = named(name).expect("there is one of each").kind();
        let record = records.iter().find(|record| record.kind == kind).expect("every kind was appended");
        let replacement = replaced.then(|| record.payload()[..record.payload().len() - 8].to_vec());
        erasures.push(Erasure { offset: record.offset, replacement });
    }
    log.erase(&erasures, "test", TimestampMs(1)).expect("it is taken");
    assert!(log.wait_erased(Duration::from_secs(60)).expect("nothing is given up"));
}

fn verify_image(image: &Image) -> Report {
    let storage: Arc<dyn Storage> = SimStorage::from_image(image);
    verify(&storage, &mut |_| {}).expect("the files can be read")
}

/// Changes of one kind, and what became of them.
#[derive(Debug, Default)]
struct Tally {
    tried: u64,
    found: u64,
    located: u64,
    /// Of those found: taken for an unfinished write, since they hit the last frame of a log that a crash left open.
    torn: u64,
}

impl Tally {
    /// Verifies an image in which `path` was changed at byte `at`.
    fn check(&mut self, lane: &Image, path: &str, at: usize) {
        let report = verify_image(lane);
        let here = || report.damage.iter().chain(&report.torn_tails).filter(|damage| damage.segment == path);
        self.tried += 1;
        self.found += u64::from(here().next().is_some());
        self.torn += u64::from(report.damage.is_empty() && here().next().is_some());
        // The position is the start of the part that the change belongs to: never behind it.
        self.located += u64::from(here().any(|damage| damage.position <= at as u64));
    }

    fn finish(&self, what: &str) {
        let Self { tried, found, located, torn } = self;
        println!("rot: {found} of {tried} {what} found, {located} located, {torn} of them as a torn tail");
        assert!(*tried > 0 && found == tried && located == tried, "{what}: {self:?}");
    }
}

/// A lane is verified by itself, since changes in one file can only show there or in the next.
fn each_file(image: &Image, mut each: impl FnMut(&mut Image, &str, &[u8])) {
    for (path, bytes) in image {
        let dir = path.rsplit_once('/').expect("it has a directory").0;
        let of_lane = image.iter().filter(|(other, _)| other.starts_with(dir));
        let mut lane: Image = of_lane.map(|(path, bytes)| (path.clone(), bytes.clone())).collect();
        each(&mut lane, path, bytes);
    }
}

/// Tries a changed content of a file, unless it is no change.
fn try_content(tally: &mut Tally, lane: &mut Image, path: &str, changed: Vec<u8>) {
    let slot = lane.get_mut(path).expect("it is there");
    if *slot == changed {
        return;
    }
    let same = slot.iter().zip(&changed).take_while(|(one, two)| one == two).count();
    let at = same.min(slot.len() - 1);
    let whole = std::mem::replace(slot, changed);
    tally.check(lane, path, at);
    lane.insert(path.to_owned(), whole);
}

/// Where the records of a file lie, frames and all that is behind them left out.
fn records_of(bytes: &[u8]) -> Vec<Range<usize>> {
    let header = SegmentHeader::decode(bytes).expect("a sound segment");
    let (mut records, mut at) = (Vec::new(), SEGMENT_HEADER_BYTES);
    while let Ok(length) = frame::verify(&bytes[at..], &header.key(), None, |record| {
        let start = at + record.position;
        records.push(start..start + record.header.record_bytes());
    }) {
        at += length;
    }
    records
}

/// Flips every bit of every file.
fn flip_all(image: &Image) -> Tally {
    let mut tally = Tally::default();
    each_file(image, |lane, path, bytes| {
        for (at, bit) in (0..bytes.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            lane.get_mut(path).expect("it is there")[at] ^= 1 << bit;
            tally.check(lane, path, at);
            lane.get_mut(path).expect("it is there")[at] ^= 1 << bit;
        }
    });
    tally
}

#[test]
fn every_flipped_bit_is_found_and_located() {
    let image = sample_log();
    let sound = verify_image(&image);
    assert!(sound.is_good() && sound.torn_tails.is_empty(), "{sound:?}");
    assert!(sound.records > sample::all().len() as u64, "all kinds are there");
    assert_eq!((sound.erased, sound.replaced), (2, 2), "and all states of payloads");
    flip_all(&image).finish("single-bit flips");
}

/// After a clean stop nothing is unfinished: whatever does not verify is damage, also in the newest segments, their
/// indexes and their footers.
#[test]
fn every_flipped_bit_of_a_closed_log_is_damage() {
    let image = closed_log();
    let sound = verify_image(&image);
    assert!(sound.is_good() && sound.torn_tails.is_empty(), "{sound:?}");
    let tally = flip_all(&image);
    assert_eq!(tally.torn, 0, "{tally:?}");
    tally.finish("single-bit flips of a closed log");
}

/// Index and footer follow from the frames: where they alone are damaged, in the newest segment, the log starts with
/// all records.
#[test]
fn a_damaged_end_of_the_newest_segment_is_made_anew() {
    let image = closed_log();
    let newest = image.keys().rfind(|path| path.contains("journal")).expect("there are segments").clone();
    let records = verify_image(&image).records;
    for back in [1, FOOTER_BYTES / 2, FOOTER_BYTES + INDEX_ENTRY_BYTES / 2] {
        let storage = SimStorage::from_image(&image);
        storage.damage(&newest, (image[&newest].len() - back) as u64, 1);
        let log = EmbeddedLog::open(storage.clone(), options()).expect("everything that was acknowledged is there");
        drop(log);
        let report = verify_image(&storage.image());
        assert!(report.is_good() && report.records > records, "{back} bytes before the end: {report:?}");
    }
}

#[test]
fn every_change_of_two_bytes_and_every_zeroed_sector_is_found() {
    let (mut pairs, mut zeroed) = (Tally::default(), Tally::default());
    change_bytes(&sample_log(), &mut pairs, &mut zeroed);
    let torn = pairs.torn + zeroed.torn;
    change_bytes(&closed_log(), &mut pairs, &mut zeroed);
    assert_eq!(pairs.torn + zeroed.torn, torn, "in a closed log nothing is torn");
    pairs.finish("changes of two bytes");
    zeroed.finish("zeroed blocks of 16 to 4096 bytes");
}

fn change_bytes(image: &Image, pairs: &mut Tally, zeroed: &mut Tally) {
    each_file(image, |lane, path, bytes| {
        for at in 0..bytes.len() - 1 {
            let (one, two) = (bytes[at], bytes[at + 1]);
            // Inverted, zeroed, filled, exchanged, and the same bit in both.
            for changed in [[!one, !two], [0, 0], [255, 255], [two, one], [one ^ 1, two ^ 1]] {
                let mut content = bytes.to_vec();
                content[at..at + 2].copy_from_slice(&changed);
                try_content(pairs, lane, path, content);
            }
        }
        for size in [16, 64, 512, 4096] {
            for at in (0..bytes.len()).step_by(size.min(512)) {
                let mut content = bytes.to_vec();
                let end = (at + size).min(bytes.len());
                content[at..end].fill(0);
                try_content(zeroed, lane, path, content);
            }
        }
    });
}

#[test]
fn every_moved_doubled_or_cut_record_is_found() {
    let image = sample_log();
    let (mut swapped, mut doubled, mut cut, mut replayed) =
        (Tally::default(), Tally::default(), Tally::default(), Tally::default());
    each_file(&image, |lane, path, bytes| {
        let records = records_of(bytes);
        for (number, record) in records.iter().enumerate() {
            for other in &records[number + 1..] {
                let (first, second) = (&bytes[record.clone()], &bytes[other.clone()]);
                let between = &bytes[record.end..other.start];
                let parts = [&bytes[..record.start], second, between, first, &bytes[other.end..]];
                try_content(&mut swapped, lane, path, parts.concat());
                if first.len() == second.len() {
                    let mut content = bytes.to_vec();
                    content.copy_within(record.clone(), other.start);
                    try_content(&mut replayed, lane, path, content);
                }
            }
            let parts = [&bytes[..record.end], &bytes[record.start..]];
            // Also with the file's length as it was.
            try_content(&mut doubled, lane, path, parts.concat());
            try_content(&mut doubled, lane, path, parts.concat()[..bytes.len()].to_vec());
            for less in (16..=record.len()).step_by(16) {
                let mut content = [&bytes[..record.end - less], &bytes[record.end..]].concat();
                try_content(&mut cut, lane, path, content.clone());
                content.resize(bytes.len(), 0);
                try_content(&mut cut, lane, path, content);
            }
        }
    });
    swapped.finish("swapped records");
    doubled.finish("doubled records");
    replayed.finish("records overwritten by an older one");
    cut.finish("shortened or removed records");
}

/// A file is cut to the length that sealing gives only when its end is on stable storage, so no length is one that a
/// crash leaves.
#[test]
fn a_file_that_is_cut_at_any_length_is_found() {
    let mut tally = Tally::default();
    for image in [sample_log(), closed_log()] {
        each_file(&image, |lane, path, bytes| {
            for length in 0..bytes.len() {
                try_content(&mut tally, lane, path, bytes[..length].to_vec());
            }
        });
    }
    tally.finish("truncations, at every length of every file,");
    assert_eq!(tally.torn, 0, "{tally:?}");
}

#[test]
fn exchanged_segments_are_found() {
    let image = sample_log();
    let paths: Vec<&String> = image.keys().collect();
    let (mut tried, mut found) = (0, 0);
    for one in &paths {
        for two in paths.iter().filter(|two| two > &one) {
            let mut changed = image.clone();
            changed.insert((*one).clone(), image[*two].clone());
            // One file is there twice, then both are exchanged.
            for _ in 0..2 {
                tried += 1;
                found += u64::from(!verify_image(&changed).is_good());
                changed.insert((*two).clone(), image[*one].clone());
            }
        }
    }
    println!("rot: {found} of {tried} exchanged or doubled segments found");
    assert_eq!(found, tried);
}

#[test]
fn damage_before_the_last_commit_stops_the_start_and_changes_nothing() {
    let image = sample_log();
    let newest = image.keys().rfind(|path| path.contains("journal")).expect("there are segments").clone();
    let storage = SimStorage::from_image(&image);
    storage.damage(&newest, (SEGMENT_HEADER_BYTES + 40) as u64, 1);
    let damaged = storage.image();
    let error = EmbeddedLog::open(storage.clone(), options()).expect_err("acknowledged records are damaged");
    let OpenError::Damaged { segment, position, .. } = &error else { panic!("{error}") };
    assert_eq!((segment.as_str(), *position), (newest.as_str(), SEGMENT_HEADER_BYTES as u64));
    assert!(storage.image() == damaged, "a refused start changes nothing");
}

#[test]
fn missing_exchanged_and_cut_segments_stop_the_start() {
    let image = sample_log();
    let paths: Vec<String> = image.keys().filter(|path| path.contains("journal")).cloned().collect();
    assert!(paths.len() >= 3);
    let mut cases: Vec<(&str, Image)> = Vec::new();
    for path in &paths[..paths.len() - 1] {
        let mut missing = image.clone();
        missing.remove(path);
        cases.push(("missing", missing));
        let mut cut = image.clone();
        let bytes = cut.get_mut(path).expect("it is there");
        bytes.truncate(bytes.len() - FOOTER_BYTES / 2);
        cases.push(("cut", cut));
    }
    let mut cut = image.clone();
    cut.get_mut(&paths[paths.len() - 1]).expect("it is there").truncate(1000);
    cases.push(("newest cut", cut));
    let mut exchanged = image.clone();
    let (first, second) = (exchanged[&paths[0]].clone(), exchanged[&paths[1]].clone());
    exchanged.insert(paths[0].clone(), second);
    exchanged.insert(paths[1].clone(), first);
    cases.push(("exchanged", exchanged));
    for (what, case) in cases {
        let result = EmbeddedLog::open(SimStorage::from_image(&case), options());
        assert!(matches!(result, Err(OpenError::Damaged { .. })), "{what}: {result:?}");
        assert!(!verify_image(&case).is_good(), "{what}");
    }
}

#[test]
fn a_damaged_record_is_not_read() {
    let image = sample_log();
    let first = image.keys().find(|path| path.contains("journal")).expect("there are segments").clone();
    let storage = SimStorage::from_image(&image);
    storage.damage(&first, (SEGMENT_HEADER_BYTES + 32 + 64 + 3) as u64, 1);
    let log = EmbeddedLog::open_read_only(storage).expect("an old segment is not read at the start");
    assert!(log.read(Offset(1)).is_err_and(|error| error.to_string().contains("record 1")));
    assert!(log.read(Offset(2)).is_ok());
}

/// A payload that its digest vouches for and that is no value of its type: written by a bug, and not by rot.
#[test]
fn a_deep_verification_reads_every_payload() {
    let header = SegmentHeader {
        lane: Lane::Journal,
        log_id: [7; 16],
        base: Offset(1),
        previous: Offset::ZERO,
        lease_below: Offset(100),
        created: TimestampMs(0),
        allocated_bytes: 4096,
        chain: Chain::start([7; 16], Lane::Journal),
    };
    let mut builder = FrameBuilder::with_capacity(0);
    let fields =
        RecordFields { offset: Offset(1), timestamp: TimestampMs(0), kind: Kind(16), schema: 1, ends_append: true };
    builder.push(&fields, b"no archive of an event");
    let mut bytes = header.encode().to_vec();
    bytes.extend_from_slice(&builder.finish(&header.key(), &mut header.chain.clone()).bytes);
    bytes.resize(4096, 0);
    let image = Image::from([("log/journal/00000000000000000001.seg".to_owned(), bytes)]);
    let storage: Arc<dyn Storage> = SimStorage::from_image(&image);
    assert!(verify(&storage, &mut |_| {}).expect("readable").is_good(), "the bytes are what was written");
    let report = verify_deep(&storage, &mut |_| {}).expect("readable");
    assert_eq!(report.damage.iter().map(|damage| damage.position).collect::<Vec<_>>(), [160], "{report:?}");
}
