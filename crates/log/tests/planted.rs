//! What somebody has planted in payloads: the beginnings of frames, and whole frames with right checksums. A power loss
//! in the middle of their writing is recovered from in a time that the bytes on disk bound and not what they hold,
//! nothing acknowledged is lost, and nothing that was planted is taken for a record.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use engram_log::storage::Storage;
use engram_log::storage::sim::{CrashPoint, Fate, Image, Op, SimStorage};
use engram_log::verify::verify;
use engram_log::{EmbeddedLog, Input, Lane, Lanes, Log, Offset, OpenError, Options, TimestampMs};
use engram_log_format::frame::{self, FrameBuilder, SegmentKey};
use engram_log_format::record::{ALIGNMENT, Chain, RecordFields};
use engram_log_format::segment::{SEGMENT_HEADER_BYTES, SegmentHeader};
use engram_log_format::{Kind, v1};

/// Bytes of a planted payload.
const PLANTED_BYTES: usize = 24 << 10;

/// How often recovery may read the bytes of a log: frames are read twice at most, and so is what is behind them.
const READS_OF_EACH_BYTE: u64 = 6;

/// The offset that a forged record claims, far above all others.
const FORGED: Offset = Offset(1_000_000);

fn options() -> Options {
    Options {
        segment_bytes: 64 << 10,
        ephemeral_segment_bytes: 4096,
        zero_ahead_bytes: 4096,
        reserve_bytes: 0,
        ..Options::default()
    }
}

fn message(content: Vec<u8>) -> Input {
    let (user_id, event_type) = ("@a:b".to_owned(), "t".to_owned());
    Input::from(v1::AccountDataSet { user_id, room_id: None, event_type, content })
}

/// A message in which these bytes lie where a frame could begin.
fn plant(bytes: &[u8]) -> Input {
    for pad in 0..ALIGNMENT {
        let input = message([&vec![b' '; pad], bytes].concat());
        let encoded = input.encode();
        let at = encoded.windows(32).position(|window| window == &bytes[..32]).expect("the content is there");
        if at.is_multiple_of(ALIGNMENT) {
            return input;
        }
    }
    panic!("content cannot be aligned");
}

/// The beginnings of frames, one behind the other, each of a length that fits.
fn beginnings() -> Input {
    let length = 8_u32 << 10;
    let mut head = [length.to_le_bytes(), (length ^ u32::from_le_bytes(*b"ENGR")).to_le_bytes()].concat();
    head.resize(ALIGNMENT, 1);
    plant(&head.repeat(PLANTED_BYTES / ALIGNMENT))
}

/// Whole frames with right checksums, as somebody makes them who has read the files.
fn forgeries(key: &SegmentKey) -> Input {
    let mut builder = FrameBuilder::with_capacity(0);
    let fields =
        RecordFields { offset: FORGED, timestamp: TimestampMs(1), kind: Kind(40), schema: 1, ends_append: true };
    builder.push(&fields, b"forged");
    let mut chain = Chain::start([7; 16], Lane::Journal);
    plant(&builder.finish(key, &mut chain).bytes.repeat(50))
}

fn newest(image: &Image) -> (String, SegmentHeader) {
    let (path, bytes) = image.iter().rfind(|(path, _)| path.contains("journal")).expect("there are segments");
    (path.clone(), SegmentHeader::decode(bytes).expect("a sound segment"))
}

/// A log in which a message was acknowledged and the planted one written, and where in its trace that began.
struct Attack {
    storage: Arc<SimStorage>,
    acknowledged: Offset,
    planted: Offset,
    begun: usize,
}

fn attack(planted: impl FnOnce(&SegmentKey) -> Input) -> Attack {
    let storage = SimStorage::new();
    let log = EmbeddedLog::open(storage.clone(), options()).expect("it opens");
    let acknowledged = append(&log, &message(b"acknowledged".to_vec()));
    let planted = planted(&newest(&storage.image()).1.key());
    let begun = storage.trace().len();
    let planted = append(&log, &planted);
    Attack { storage, acknowledged, planted, begun }
}

fn append(log: &EmbeddedLog, input: &Input) -> Offset {
    let appended = log.append(Lane::Journal, std::slice::from_ref(input), TimestampMs(1)).expect("it is taken");
    log.wait_durable(appended.last).expect("durable");
    appended.last
}

/// Where writes are cut: around the head of a frame, and further in.
const CUTS: [usize; 11] = [1, 4, 8, 16, 31, 32, 33, 48, 512, 4096, PLANTED_BYTES];

/// Where the writes of a recovery are cut.
const CUTS_OF_RECOVERY: [usize; 3] = [8, 32, 512];

/// What a power loss may leave of what is not synced yet.
fn fates(point: &CrashPoint, cuts: &[usize]) -> Vec<Vec<Fate>> {
    let undecided = point.undecided();
    let mut all = vec![vec![Fate::Kept; undecided.len()], vec![Fate::Lost; undecided.len()]];
    for cut in cuts {
        for torn in [Fate::TornBefore(*cut), Fate::TornAfter(*cut)] {
            all.push(vec![torn; undecided.len()]);
        }
    }
    if undecided.is_empty() { vec![Vec::new()] } else { all }
}

/// Calls `each` with every image that was not there before.
fn images(trace: &[Op], from: usize, cuts: &[usize], mut each: impl FnMut(Image, usize)) {
    let (mut point, mut seen) = (CrashPoint::new(), BTreeSet::new());
    for (number, op) in trace.iter().enumerate() {
        point.step(op);
        if number >= from {
            for fates in fates(&point, cuts) {
                for entries in BTreeSet::from([0, point.undecided_entries()]) {
                    let image = point.image(entries, |op| fates[op]);
                    let mut hasher = DefaultHasher::new();
                    (&image, number + 1 == trace.len()).hash(&mut hasher);
                    if seen.insert(hasher.finish()) {
                        each(image, number);
                    }
                }
            }
        }
    }
}

/// Opens what a power loss has left, and returns the storage.
fn check(image: &Image, attack: &Attack, is_acknowledged: bool, place: &str) -> Arc<SimStorage> {
    let storage = SimStorage::from_image(image);
    let log = EmbeddedLog::open(storage.clone(), options()).unwrap_or_else(|error| panic!("{place}: {error}"));
    check_reads(&storage, image, place);
    let mut records = Vec::new();
    let mut follower = log.follow(Offset::ZERO, Lanes::Journal).expect("it follows");
    while follower.next(&mut records, 100, Duration::ZERO).expect("everything can be read") > 0 {}
    let has = |offset: Offset| records.iter().any(|record| record.offset == offset);
    assert!(has(attack.acknowledged), "{place}: an acknowledged record is lost");
    assert!(has(attack.planted) || !is_acknowledged, "{place}: the planted message was acknowledged, and is lost");
    assert!(!has(FORGED), "{place}: a forged record is taken");
    storage
}

fn check_reads(storage: &SimStorage, image: &Image, place: &str) {
    let (read, bytes) = (storage.bytes_read(), image.values().map(|bytes| bytes.len() as u64).sum::<u64>());
    assert!(read <= bytes * READS_OF_EACH_BYTE, "{place}: {read} bytes were read of {bytes}");
}

/// A power loss at every point of the writing, and at every point of the recovery from each. Returns the number of
/// states.
fn every_crash(attack: &Attack) -> usize {
    let trace = attack.storage.trace();
    let (last, mut states) = (trace.len() - 1, 0);
    images(&trace, attack.begun, &CUTS, |image, number| {
        let is_acknowledged = number == last;
        let place = format!("crash after call {number} of {last}");
        let recovered = check(&image, attack, is_acknowledged, &place);
        let trace = recovered.trace();
        let start = trace.iter().position(|op| matches!(op, Op::SyncDir(dir) if dir.is_empty())).expect("an image");
        states += 1;
        images(&trace, start, &CUTS_OF_RECOVERY, |image, inner| {
            check(&image, attack, is_acknowledged, &format!("{place}, then after call {inner} of the recovery"));
            states += 1;
        });
    });
    states
}

#[test]
fn planted_beginnings_of_frames_cost_no_more_than_other_bytes_wherever_the_power_fails() {
    let states = every_crash(&attack(|_| beginnings()));
    println!("planted: {states} crash states: nothing lost");
    assert!(states > 100, "{states} states");
}

#[test]
fn forged_frames_are_not_taken_wherever_the_power_fails() {
    let states = every_crash(&attack(forgeries));
    println!("planted: {states} crash states: nothing lost");
    assert!(states > 100, "{states} states");
}

/// The head of a frame with planted content rots after it was acknowledged. No crash leaves that: the start is refused
/// whether something follows or not, and the damage is found where it is.
#[test]
fn rot_before_planted_bytes_is_damage() {
    let each: [fn(&SegmentKey) -> Input; 2] = [|_| beginnings(), forgeries];
    for planted in each {
        let attack = attack(planted);
        let mut image = attack.storage.image();
        let (path, header) = newest(&image);
        let at = frame_of(&image[&path], &header, attack.planted);
        image.get_mut(&path).expect("it is there")[at..at + 16].fill(0);
        let storage = SimStorage::from_image(&image);
        let error = EmbeddedLog::open(storage.clone(), options()).expect_err("an acknowledged record is damaged");
        let OpenError::Damaged { position, after, .. } = &error else { panic!("{error}") };
        assert_eq!((*position, *after), (at as u64, attack.acknowledged), "{error}");
        check_reads(&storage, &image, "rot");
        assert!(storage.image() == image, "a refused start changes nothing");
    }
}

/// Where the frame of a record begins.
fn frame_of(bytes: &[u8], header: &SegmentHeader, offset: Offset) -> usize {
    let mut at = SEGMENT_HEADER_BYTES;
    loop {
        let mut found = false;
        let each = |record: frame::FrameRecord| found |= record.header.offset == offset;
        let length = frame::verify(&bytes[at..], &header.key(), None, each).expect("the frame is there");
        if found {
            return at;
        }
        at += length;
    }
}

/// In a sealed segment the index says where frames begin: a verification goes on behind damage with what was written,
/// and counts nothing that was planted.
#[test]
fn a_verification_goes_on_behind_damage_with_what_was_written() {
    let storage = SimStorage::new();
    let log = EmbeddedLog::open(storage.clone(), options()).expect("it opens");
    let key = newest(&storage.image()).1.key();
    let planted = append(&log, &forgeries(&key));
    append(&log, &message(b"later".to_vec()));
    log.close().expect("it closes");
    let image = storage.image();
    let whole = report(&image);
    assert!(whole.is_good(), "{whole:?}");
    let (path, bytes) = image.iter().find(|(path, _)| path.contains("journal")).expect("there are segments");
    let header = SegmentHeader::decode(bytes).expect("a sound segment");
    let at = frame_of(bytes, &header, planted);
    let mut damaged = image.clone();
    damaged.get_mut(path).expect("it is there")[at..at + 16].fill(0);
    let found = report(&damaged);
    assert_eq!(found.damage.len(), 1, "{found:?}");
    assert_eq!((found.damage[0].segment.as_str(), found.damage[0].position), (path.as_str(), at as u64));
    assert_eq!(found.records, whole.records - 1, "all others verify, and no forged one is counted");
    assert_eq!(found.last, whole.last, "a forged offset is not believed");
}

fn report(image: &Image) -> engram_log::verify::Report {
    let storage: Arc<dyn Storage> = SimStorage::from_image(image);
    verify(&storage, &mut |_| {}).expect("the files can be read")
}
