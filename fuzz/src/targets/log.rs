//! Whole files on a simulated disk: verified, opened, read, continued.

use std::sync::Arc;
use std::time::Duration;

use engram_log::storage::Storage;
use engram_log::storage::sim::{Image, SimStorage};
use engram_log::verify::{verify, verify_deep};
use engram_log::{EmbeddedLog, Lanes, Log, Offset, Options, TimestampMs};
use engram_log_format::record::Chain;
use engram_log_format::segment::SegmentHeader;
use engram_log_format::{Input, Lane, v1};

use crate::reseal;

const MAGIC: &[u8] = b"ENGRAMSG";
/// More files than any of the questions about them needs.
const FILES_MAX: usize = 8;

/// One or more segments, one behind the other: each begins where the magic number of a segment is.
pub(crate) fn log(input: &[u8]) {
    let files = split(input);
    read_log(&image(&files));
    let mut resealed = files;
    let mut chains: [Option<Chain>; 2] = [None; 2];
    for file in &mut resealed {
        let lane = usize::from(file.get(10).is_some_and(|lane| *lane == 1));
        chains[lane] = reseal::segment(file, chains[lane]);
    }
    read_log(&image(&resealed));
}

fn split(input: &[u8]) -> Vec<Vec<u8>> {
    let starts: Vec<usize> =
        input.windows(MAGIC.len()).enumerate().filter(|(_, at)| *at == MAGIC).map(|(at, _)| at).collect();
    let ends = starts.iter().skip(1).copied().chain([input.len()]);
    starts.iter().zip(ends).take(FILES_MAX).map(|(start, end)| input[*start..end].to_vec()).collect()
}

/// The files under the names that their headers give them.
fn image(files: &[Vec<u8>]) -> Image {
    let mut image = Image::new();
    for (number, file) in files.iter().enumerate() {
        let (lane, base) = SegmentHeader::decode(file)
            .map_or((Lane::Journal, number as u64 + 1), |header| (header.lane, header.base.0));
        let dir = if lane == Lane::Journal { "journal" } else { "ephemeral" };
        image.insert(format!("log/{dir}/{base:020}.seg"), file.clone());
    }
    image
}

fn read_log(image: &Image) {
    let storage: Arc<dyn Storage> = SimStorage::from_image(image);
    let report = verify(&storage, &mut |_| {}).expect("memory can be read");
    let deep = verify_deep(&storage, &mut |_| {}).expect("memory can be read");
    assert!(deep.damage.len() >= report.damage.len(), "who looks closer finds no less");
    let read = EmbeddedLog::open_read_only(SimStorage::from_image(image)).map(|log| read_all(&log));
    let sound = report.is_good() && report.records > 0;
    if sound && let Ok(records) = &read {
        assert_eq!(*records as u64, report.records, "who follows sees what was verified");
    }
    let storage = SimStorage::from_image(image);
    let options = Options {
        segment_bytes: 4096,
        ephemeral_segment_bytes: 4096,
        reserve_bytes: 0,
        zero_ahead_bytes: 0,
        ..Options::default()
    };
    let Ok(log) = EmbeddedLog::open(storage.clone(), options) else { return };
    let value: Input = v1::OffsetLease { below: 1 }.into();
    let _ = log.append(Lane::Journal, &[value], TimestampMs(0)).and_then(|appended| log.wait_durable(appended.last));
    if log.close().is_err() {
        return;
    }
    drop(log);
    let storage: Arc<dyn Storage> = storage;
    let after = verify(&storage, &mut |_| {}).expect("memory can be read");
    assert!(!sound || after.is_good(), "a sound log that was continued is sound: {after:?}");
    assert!(!sound || after.records > report.records, "and has lost nothing: {report:?} {after:?}");
}

fn read_all(log: &EmbeddedLog) -> usize {
    let Ok(mut follower) = log.follow(Offset::ZERO, Lanes::Both) else { return 0 };
    let mut records = Vec::new();
    while follower.next(&mut records, 100, Duration::ZERO).is_ok_and(|count| count > 0) {}
    assert!(records.windows(2).all(|pair| pair[0].offset < pair[1].offset), "in order, and none twice");
    for record in &records {
        let _ = log.read(record.offset).map(|record| record.input().is_ok());
    }
    records.len()
}
