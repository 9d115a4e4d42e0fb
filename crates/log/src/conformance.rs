//! What every implementation of [`Log`] must do, whatever stands behind it: one suite for all of them.
//!
//! An implementation's test hands in a function that opens its log, again and again on the same data.

use std::sync::Arc;
use std::time::Duration;

use engram_log_format::{Input, InputRef, Kind, Lane, Offset, TimestampMs, v1};

use crate::interface::{Appended, EraseError, Erasure, FollowError, Lanes, Log, ReadError};
use crate::record::{PayloadState, Record};

/// Opens the log under test: a fresh one at first, then the same data again. Closed before by dropping.
pub trait Engine {
    /// Opens it.
    fn open(&self) -> Arc<dyn Log>;
}

/// Runs every check, each on an engine of its own.
pub fn run<E: Engine>(mut fresh: impl FnMut() -> E) {
    appends_are_contiguous_and_timestamps_never_decrease(&fresh());
    what_is_durable_can_be_read(&fresh());
    unknown_offsets_are_not_found(&fresh());
    followers_see_everything_once_and_in_order(&fresh());
    a_follower_of_one_lane_sees_no_record_of_the_other(&fresh());
    appends_are_delivered_whole(&fresh());
    a_follower_times_out_and_goes_on(&fresh());
    followers_of_a_busy_log_miss_nothing(&fresh());
    offsets_are_not_reused_after_reopening(&fresh());
    concurrent_writers_get_disjoint_offsets(&fresh());
    erased_payloads_are_gone_and_all_else_stays(&fresh());
    an_erasure_says_what_it_does_and_does_it_once(&fresh());
    what_cannot_be_erased_is_refused(&fresh());
}

/// An input of any size, told from others by its number.
pub fn input(number: u64, bytes: usize) -> Input {
    let mut content = format!("{{\"number\":{number}}}").into_bytes();
    content.resize(content.len().max(bytes), b' ');
    Input::from(v1::AccountDataSet {
        user_id: "@alice:localhost".to_owned(),
        room_id: None,
        event_type: "org.example.number".to_owned(),
        content,
    })
}

/// An ephemeral input, told from others by its number.
pub fn ephemeral(number: u64) -> Input {
    Input::from(v1::TypingSet {
        room_id: "!room:localhost".to_owned(),
        user_id: "@alice:localhost".to_owned(),
        until_ms: Some(number),
    })
}

/// Reads everything that is there now: those records that writers have appended, not the log's own.
pub fn read_all(log: &dyn Log, after: Offset, lanes: Lanes, max: usize) -> Vec<Record> {
    let mut follower = log.follow(after, lanes).expect("following begins");
    let mut records = Vec::new();
    loop {
        match follower.next(&mut records, max, Duration::ZERO) {
            Ok(0) | Err(FollowError::Stopped(_)) => break,
            Ok(_) => {}
            Err(error) => panic!("a follower failed: {error}"),
        }
    }
    assert!(records.is_sorted_by(|left, right| left.offset < right.offset), "offsets strictly increase");
    records.retain(|record| record.kind.0 >= Kind::FIRST_INPUT);
    records
}

fn append(log: &dyn Log, inputs: &[Input]) -> Appended {
    log.append(Lane::Journal, inputs, TimestampMs(1000)).expect("an append is taken")
}

fn appends_are_contiguous_and_timestamps_never_decrease(engine: &impl Engine) {
    let log = engine.open();
    let first = log.append(Lane::Journal, &[input(1, 0), input(2, 0)], TimestampMs(5000)).expect("taken");
    let second = log.append(Lane::Journal, &[input(3, 0)], TimestampMs(4000)).expect("taken");
    assert_eq!(first.last, first.first.next());
    assert!(second.first > first.last);
    assert_eq!(second.timestamp, TimestampMs(5000), "a clock that goes back does not show");
    log.wait_durable(second.last).expect("durable");
    assert!(log.durable_end() >= second.last);
    assert_eq!(log.read(second.first).expect("there").timestamp, second.timestamp);
}

fn what_is_durable_can_be_read(engine: &impl Engine) {
    let inputs: Vec<Input> = (0..50).map(|number| input(number, number as usize * 37)).collect();
    let log = engine.open();
    let appended = append(&*log, &inputs);
    log.wait_durable(appended.last).expect("durable");
    for reopened in [log, engine.open()] {
        for (number, expected) in inputs.iter().enumerate() {
            let record = reopened.read(Offset(appended.first.0 + number as u64)).expect("it is durable");
            assert_eq!(&record.input().expect("valid").to_owned(), expected);
        }
    }
}

fn unknown_offsets_are_not_found(engine: &impl Engine) {
    let log = engine.open();
    for offset in [Offset::ZERO, Offset(u64::MAX / 2)] {
        assert!(matches!(log.read(offset), Err(ReadError::NotFound(found)) if found == offset));
    }
}

fn followers_see_everything_once_and_in_order(engine: &impl Engine) {
    let log = engine.open();
    let mut offsets = Vec::new();
    for number in 0..200 {
        let lane = if number % 3 == 0 { Lane::Ephemeral } else { Lane::Journal };
        let what = if lane == Lane::Ephemeral { ephemeral(number) } else { input(number, 300) };
        let appended = log.append(lane, &[what], TimestampMs(number)).expect("taken");
        log.wait_durable(appended.last).expect("durable");
        offsets.push(appended.first);
    }
    for start in [0, 1, 57, 199] {
        let after = if start == 0 { Offset::ZERO } else { offsets[start - 1] };
        let seen: Vec<Offset> = read_all(&*log, after, Lanes::Both, 7).iter().map(|record| record.offset).collect();
        assert_eq!(seen, offsets[start..]);
    }
}

fn a_follower_of_one_lane_sees_no_record_of_the_other(engine: &impl Engine) {
    let log = engine.open();
    for number in 0..40 {
        append(&*log, &[input(number, 10)]);
        log.append(Lane::Ephemeral, &[ephemeral(number)], TimestampMs(0)).expect("taken");
    }
    let last = append(&*log, &[input(40, 10)]);
    log.wait_durable(last.last).expect("durable");
    let records = read_all(&*log, Offset::ZERO, Lanes::Journal, 100);
    assert_eq!(records.len(), 41);
    assert!(records.iter().all(|record| record.lane == Lane::Journal));
    let records = read_all(&*log, Offset::ZERO, Lanes::Ephemeral, 100);
    assert_eq!(records.len(), 40);
    assert!(records.iter().all(|record| record.lane == Lane::Ephemeral));
}

fn appends_are_delivered_whole(engine: &impl Engine) {
    let log = engine.open();
    let start = log.durable_end();
    let sizes = [3, 1, 4, 1, 5, 9, 2, 6];
    let mut ends = Vec::new();
    for size in sizes {
        let inputs: Vec<Input> = (0..size).map(|number| input(number, 20)).collect();
        ends.push(append(&*log, &inputs).last);
    }
    log.wait_durable(*ends.last().expect("not empty")).expect("durable");
    let mut follower = log.follow(start, Lanes::Both).expect("following begins");
    let mut records = Vec::new();
    while follower.position() < *ends.last().expect("not empty") {
        let before = records.len();
        let count = follower.next(&mut records, 6, Duration::from_secs(60)).expect("records are there");
        assert_eq!(records.len() - before, count);
        assert!(count <= 6);
        // The append of nine alone exceeds the maximum: it comes in two parts.
        let in_nine = follower.position() > ends[4] && follower.position() < ends[5];
        assert!(in_nine || ends.contains(&follower.position()), "an append was cut at {}", follower.position());
    }
    assert_eq!(records.len() as u64, sizes.iter().sum::<u64>());
}

fn a_follower_times_out_and_goes_on(engine: &impl Engine) {
    let log = engine.open();
    let mut follower = log.follow(log.durable_end(), Lanes::Both).expect("following begins");
    let mut records = Vec::new();
    assert_eq!(follower.next(&mut records, 10, Duration::from_millis(1)).expect("no failure"), 0);
    let waiting = std::thread::spawn(move || {
        let mut records = Vec::new();
        follower.next(&mut records, 10, Duration::from_secs(60)).expect("no failure");
        records.first().map(|record| record.offset)
    });
    let appended = append(&*log, &[input(1, 0)]);
    assert_eq!(waiting.join().expect("no panic"), Some(appended.first));
}

/// Followers of different speed read while both lanes are written: old records and new ones without gap or repetition.
fn followers_of_a_busy_log_miss_nothing(engine: &impl Engine) {
    const APPENDS: u64 = 300;
    let log = engine.open();
    let start = log.durable_end();
    let followers: Vec<_> = [1, 5, 1000]
        .into_iter()
        .map(|max| {
            let mut follower = log.follow(start, Lanes::Both).expect("following begins");
            std::thread::spawn(move || {
                let mut records = Vec::new();
                let input_count =
                    |records: &[Record]| records.iter().filter(|record| record.kind.0 >= Kind::FIRST_INPUT).count();
                while input_count(&records) < APPENDS as usize {
                    follower.next(&mut records, max, Duration::from_secs(60)).expect("no failure");
                }
                records.retain(|record| record.kind.0 >= Kind::FIRST_INPUT);
                records.iter().map(|record| record.offset).collect::<Vec<Offset>>()
            })
        })
        .collect();
    let mut offsets = Vec::new();
    for number in 0..APPENDS {
        let (lane, what) = match number % 4 {
            0 => (Lane::Ephemeral, ephemeral(number)),
            _ => (Lane::Journal, input(number, 100)),
        };
        let appended = log.append(lane, &[what], TimestampMs(number)).expect("taken");
        if number % 7 == 0 {
            log.wait_durable(appended.last).expect("durable");
        }
        offsets.push(appended.first);
    }
    for follower in followers {
        assert_eq!(follower.join().expect("no panic"), offsets);
    }
}

fn offsets_are_not_reused_after_reopening(engine: &impl Engine) {
    let mut last = Offset::ZERO;
    let mut expected = Vec::new();
    for number in 0..4 {
        let log = engine.open();
        let appended = append(&*log, &[input(number, 100)]);
        assert!(appended.first > last);
        log.wait_durable(appended.last).expect("durable");
        last = appended.last;
        expected.push(appended.first);
        let seen: Vec<Offset> =
            read_all(&*log, Offset::ZERO, Lanes::Both, 3).iter().map(|record| record.offset).collect();
        assert_eq!(seen, expected);
    }
}

fn concurrent_writers_get_disjoint_offsets(engine: &impl Engine) {
    let log = engine.open();
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let log = log.clone();
            std::thread::spawn(move || {
                let mut offsets = Vec::new();
                for number in 0..50 {
                    let appended = append(&*log, &[input(writer * 1000 + number, 50), input(number, 50)]);
                    log.wait_durable(appended.last).expect("durable");
                    offsets.extend([appended.first, appended.last]);
                }
                offsets
            })
        })
        .collect();
    let mut offsets: Vec<Offset> = writers.into_iter().flat_map(|writer| writer.join().expect("no panic")).collect();
    offsets.sort_unstable();
    let seen: Vec<Offset> = read_all(&*log, Offset::ZERO, Lanes::Both, 64).iter().map(|record| record.offset).collect();
    assert_eq!(seen, offsets, "every record is there once");
}

fn replace(offset: Offset, by: &Input) -> Erasure {
    Erasure { offset, replacement: Some(by.encode().to_vec()) }
}

fn remove(offset: Offset) -> Erasure {
    Erasure { offset, replacement: None }
}

/// Erases, and waits until it is done.
fn erase(log: &dyn Log, erasures: &[Erasure]) -> Option<Appended> {
    let appended = log.erase(erasures, "test", TimestampMs(0)).expect("it is taken");
    assert!(log.wait_erased(Duration::from_secs(60)).expect("nothing is given up"), "it is done in time");
    appended
}

/// Appends so many inputs, some of them together.
fn append_many(log: &dyn Log, count: u64) -> Vec<Offset> {
    let mut offsets = Vec::new();
    for number in (0..count).step_by(2) {
        let appended = append(log, &[input(number, 300), input(number + 1, 10 * number as usize)]);
        log.wait_durable(appended.last).expect("durable");
        offsets.extend([appended.first, appended.last]);
    }
    offsets
}

fn erased_payloads_are_gone_and_all_else_stays(engine: &impl Engine) {
    let log = engine.open();
    let offsets = append_many(&*log, 60);
    let small = input(0, 0);
    // Twice, so that what was erased lies in what is erased again; the last one is the newest record.
    for part in [1, 2] {
        let wanted = offsets.iter().enumerate().skip(part).step_by(2 * part + 1);
        let erasures = wanted.map(|(number, at)| if number % 4 == 0 { remove(*at) } else { replace(*at, &small) });
        erase(&*log, &erasures.collect::<Vec<_>>());
    }
    let mut expected: Vec<PayloadState> = vec![PayloadState::Whole; offsets.len()];
    for part in [1, 2] {
        for number in (part..offsets.len()).step_by(2 * part + 1) {
            expected[number] = if number % 4 == 0 { PayloadState::Gone } else { PayloadState::Replaced };
        }
    }
    let check = |number: usize, record: &Record| {
        assert_eq!((record.offset, record.state()), (offsets[number], expected[number]));
        match record.state() {
            PayloadState::Whole => {
                let bytes = if number.is_multiple_of(2) { 300 } else { 10 * (number - 1) };
                assert_eq!(record.input().expect("valid").to_owned(), input(number as u64, bytes));
            }
            PayloadState::Replaced => assert_eq!(record.input().expect("valid").to_owned(), small),
            PayloadState::Gone => assert!(record.payload().is_empty() && record.input().is_err()),
        }
        assert!(record.kind == small.kind() && record.timestamp == TimestampMs(1000), "the rest stays");
    };
    for log in [log, engine.open()] {
        for (number, offset) in offsets.iter().enumerate() {
            assert_eq!(log.payload_state(*offset).expect("there"), expected[number]);
            check(number, &log.read(*offset).expect("there"));
        }
        for start in [0, 1, 31] {
            let after = if start == 0 { Offset::ZERO } else { offsets[start - 1] };
            let records = read_all(&*log, after, Lanes::Journal, 7);
            assert_eq!(records.len(), offsets.len() - start);
            records.iter().enumerate().for_each(|(number, record)| check(start + number, record));
        }
    }
}

fn an_erasure_says_what_it_does_and_does_it_once(engine: &impl Engine) {
    let log = engine.open();
    let offsets = append_many(&*log, 6);
    let erasures = [remove(offsets[3]), replace(offsets[0], &input(1, 0)), replace(offsets[4], &input(2, 0))];
    let appended = erase(&*log, &erasures).expect("something is to be done");
    let record = log.read(appended.first).expect("the record of the erasure is there");
    let Ok(InputRef::Erased(erased)) = record.input() else { panic!("{record:?}") };
    assert_eq!(erased.reason.as_str(), "test");
    let named: Vec<(u64, bool)> =
        erased.records.iter().map(|record| (record.offset.to_native(), record.replacement.is_some())).collect();
    assert_eq!(named, [(offsets[0].0, true), (offsets[3].0, false), (offsets[4].0, true)]);
    let end = log.durable_end();
    assert_eq!(erase(&*log, &erasures), None, "all of it is done");
    assert_eq!(erase(&*log, &[replace(offsets[3], &input(1, 0))]), None, "what is gone stays gone");
    assert_eq!(log.durable_end(), end, "nothing was written");
    // Both at once: it goes.
    assert!(erase(&*log, &[remove(offsets[4]), replace(offsets[4], &input(3, 0))]).is_some());
    assert_eq!(log.payload_state(offsets[4]).expect("there"), PayloadState::Gone);
    assert!(erase(&*log, &[replace(offsets[0], &input(3, 0))]).is_some(), "another replacement");
    assert_eq!(log.read(offsets[0]).expect("there").input().expect("valid").to_owned(), input(3, 0));
}

fn what_cannot_be_erased_is_refused(engine: &impl Engine) {
    let log = engine.open();
    let offsets = append_many(&*log, 4);
    let typing = log.append(Lane::Ephemeral, &[ephemeral(1)], TimestampMs(0)).expect("taken");
    log.wait_durable(typing.last).expect("durable");
    let own = erase(&*log, &[remove(offsets[1])]).expect("something is to be done");
    let end = log.durable_end();
    let refused = |erasure: Erasure| {
        let whole = remove(offsets[2]);
        log.erase(&[whole, erasure], "test", TimestampMs(0)).expect_err("it is refused")
    };
    for offset in [typing.first, own.first] {
        assert!(matches!(refused(remove(offset)), EraseError::NotErasable(found) if found == offset));
    }
    let nowhere = end.next();
    assert!(matches!(refused(remove(nowhere)), EraseError::Read(ReadError::NotFound(found)) if found == nowhere));
    let long = refused(replace(offsets[3], &input(1, 100_000)));
    assert!(matches!(long, EraseError::TooLong { offset, .. } if offset == offsets[3]), "{long}");
    assert_eq!((log.durable_end(), log.payload_state(offsets[2]).expect("there")), (end, PayloadState::Whole));
}
