//! Rot: every single-bit flip of a log that holds every kind of record is found, and found where it is.

use std::sync::Arc;

use engram_log::storage::Storage;
use engram_log::storage::sim::{Image, SimStorage};
use engram_log::verify::{Report, verify};
use engram_log::{EmbeddedLog, Lane, Log, Offset, OpenError, Options, TimestampMs};
use engram_log_format::segment::{FOOTER_BYTES, SEGMENT_HEADER_BYTES};
use engram_log_format::{Retention, input, sample};

fn options() -> Options {
    Options {
        segment_bytes: 4096,
        ephemeral_segment_bytes: 4096,
        zero_ahead_bytes: 256,
        reserve_bytes: 0,
        ..Options::default()
    }
}

/// Every kind of record, in two sealed segments of the journal and one that a crash left open, and in ephemeral ones.
fn sample_log() -> Image {
    let storage = SimStorage::new();
    for round in 0..2 {
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
            log.close().expect("it closes");
        }
    }
    storage.image()
}

fn verify_image(image: &Image) -> Report {
    let storage: Arc<dyn Storage> = SimStorage::from_image(image);
    verify(&storage, &mut |_| {}).expect("the files can be read")
}

#[test]
fn every_flipped_bit_is_found_and_located() {
    let mut image = sample_log();
    let sound = verify_image(&image);
    assert!(sound.is_good() && sound.torn_tails.is_empty(), "{sound:?}");
    assert!(sound.records > sample::all().len() as u64, "all kinds are there");
    let paths: Vec<String> = image.keys().cloned().collect();
    let (mut flips, mut found, mut located) = (0_u64, 0_u64, 0_u64);
    for path in paths {
        // A lane is verified by itself, and flips in one file can only show there or in the next.
        let dir = path.rsplit_once('/').expect("it has a directory").0.to_owned();
        let mut lane: Image = image
            .iter()
            .filter(|(other, _)| other.starts_with(&dir))
            .map(|(path, bytes)| (path.clone(), bytes.clone()))
            .collect();
        for at in 0..image[&path].len() {
            for bit in 0..8 {
                lane.get_mut(&path).expect("it is there")[at] ^= 1 << bit;
                let report = verify_image(&lane);
                lane.get_mut(&path).expect("it is there")[at] ^= 1 << bit;
                flips += 1;
                let first = report.damage.iter().chain(&report.torn_tails).find(|damage| damage.segment == path);
                found += u64::from(first.is_some());
                // The position is the start of the part that the bit belongs to: never behind it.
                located += u64::from(first.is_some_and(|damage| damage.position <= at as u64));
            }
        }
    }
    image.clear();
    println!("rot: {found} of {flips} single-bit flips found, {located} of {flips} located");
    assert_eq!(found, flips);
    assert_eq!(located, flips);
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
