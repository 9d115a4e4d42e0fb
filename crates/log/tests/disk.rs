//! A disk that is full at any byte, a disk that has come to a stop, and a clock that jumps.

use std::sync::Arc;
use std::time::Duration;

use engram_log::storage::sim::SimStorage;
use engram_log::{AppendError, EmbeddedLog, Input, Lane, Lanes, Log, Offset, OpenError, Options, TimestampMs};
use engram_log_format::v1;

const SEGMENT_BYTES: u64 = 4096;
const RESERVE_BYTES: u64 = 4096;

fn options() -> Options {
    Options {
        segment_bytes: SEGMENT_BYTES,
        ephemeral_segment_bytes: 4096,
        zero_ahead_bytes: 256,
        reserve_bytes: RESERVE_BYTES,
        disk_full_retry_ms: 1,
        queue_bytes_max: 64 << 10,
        ..Options::default()
    }
}

fn input(number: u64) -> Input {
    let value = Some(format!("{number} {}", "x".repeat(600)).into_bytes());
    Input::from(v1::ProfileFieldSet { user_id: "@a:b".to_owned(), key: "k".to_owned(), value })
}

/// Appends one record and waits for it.
fn append(log: &EmbeddedLog, number: u64) -> Result<Offset, AppendError> {
    let appended = log.append(Lane::Journal, &[input(number)], TimestampMs(0))?;
    log.wait_durable(appended.last).map(|()| appended.first)
}

fn check(log: &EmbeddedLog, acknowledged: &[(Offset, u64)], place: &str) {
    for (offset, number) in acknowledged {
        let record = log.read(*offset).unwrap_or_else(|error| panic!("{place}: {error}"));
        assert_eq!(record.input().expect("valid").to_owned(), input(*number), "{place}");
    }
}

/// Appends until the disk is full, with room for `capacity` bytes.
fn fill(storage: &Arc<SimStorage>, capacity: u64) -> (Arc<EmbeddedLog>, Vec<(Offset, u64)>) {
    storage.set_capacity(Some(capacity));
    let log = EmbeddedLog::open(storage.clone(), options()).unwrap_or_else(|error| panic!("{capacity}: {error}"));
    let mut acknowledged = Vec::new();
    for number in 0.. {
        match append(&log, number) {
            Ok(offset) => acknowledged.push((offset, number)),
            Err(AppendError::DiskFull) => break,
            Err(error) => panic!("capacity {capacity}: {error}"),
        }
    }
    (log, acknowledged)
}

#[test]
fn a_disk_that_is_full_at_any_byte_is_survived() {
    let (first, last) = (2 * SEGMENT_BYTES + RESERVE_BYTES, 3 * SEGMENT_BYTES + 2 * RESERVE_BYTES);
    for capacity in first..=last {
        let place = format!("capacity {capacity}");
        let storage = SimStorage::new();
        let (log, mut acknowledged) = fill(&storage, capacity);
        assert!(acknowledged.len() > 3, "{place}: what there is room for is taken");
        assert_eq!(log.append(Lane::Journal, &[input(0)], TimestampMs(0)), Err(AppendError::DiskFull), "{place}");
        check(&log, &acknowledged, &format!("{place}: reads go on"));
        if capacity % 2 == 0 {
            // Space is freed, and the log goes on without a restart; what had waited is there as well.
            storage.set_capacity(None);
            let number = 1000 + capacity;
            let offset = loop {
                match append(&log, number) {
                    Ok(offset) => break offset,
                    Err(error) => assert_eq!(error, AppendError::DiskFull, "{place}"),
                }
                std::thread::yield_now();
            };
            acknowledged.push((offset, number));
            log.close().unwrap_or_else(|error| panic!("{place}: {error}"));
        } else {
            // It is closed while the disk is full: the reserve is what it ends in order with.
            log.close().unwrap_or_else(|error| panic!("{place}: {error}"));
        }
        storage.set_capacity(None);
        let log = EmbeddedLog::open(storage, options()).unwrap_or_else(|error| panic!("{place}: {error}"));
        check(&log, &acknowledged, &format!("{place}: opened again"));
    }
    println!("full disk: at each of {} bytes: reads went on, nothing acknowledged was lost", last - first + 1);
}

#[test]
fn a_full_disk_does_not_keep_a_server_from_starting() {
    let storage = SimStorage::new();
    let log = EmbeddedLog::open(storage.clone(), options()).expect("it opens");
    let offset = append(&log, 1).expect("there is space");
    drop(log);
    storage.set_capacity(Some(storage.used()));
    let log = EmbeddedLog::open(storage.clone(), options()).expect("the reserve has room for it");
    check(&log, &[(offset, 1)], "opened on a full disk");
    drop(log);
    // The reserve is used up now.
    storage.set_capacity(Some(storage.used()));
    let error = EmbeddedLog::open(storage.clone(), options()).expect_err("there is no space at all");
    assert!(matches!(error, OpenError::Append(AppendError::DiskFull)), "{error}");
    let log = EmbeddedLog::open_read_only(storage).expect("it can be read");
    check(&log, &[(offset, 1)], "opened to read");
}

#[test]
fn nothing_is_taken_below_the_space_that_has_to_be_left_also_if_somebody_else_has_used_it() {
    const LEFT: u64 = 10_000;
    let options = Options { free_bytes_min: LEFT, ..options() };
    let storage = SimStorage::new();
    storage.set_capacity(Some(100_000));
    let log = EmbeddedLog::open(storage.clone(), options).expect("it opens");
    let free = || 100_000 - storage.used();
    let mut number = 0;
    let refused = loop {
        match append(&log, number) {
            Ok(_) => number += 1,
            Err(error) => break error,
        }
        // A segment is begun as long as there is what has to be left, and takes its own size from that.
        assert!(free() + SEGMENT_BYTES >= LEFT, "{} bytes are left", free());
    };
    assert_eq!(refused, AppendError::DiskFull);
    assert!(log.is_disk_full() && number > 50, "{number} records");
    assert!(free() >= LEFT - SEGMENT_BYTES + RESERVE_BYTES, "the reserve was given up for others: {}", free());
    let wait_until = |full: bool| {
        while log.is_disk_full() != full {
            std::thread::yield_now();
        }
    };
    storage.set_capacity(Some(200_000));
    wait_until(false);
    // While the log is idle.
    storage.set_capacity(Some(storage.used() + LEFT - 1));
    wait_until(true);
    assert_eq!(append(&log, number), Err(AppendError::DiskFull));
    storage.set_capacity(None);
    wait_until(false);
    append(&log, number).expect("there is space");
    log.close().expect("it closes");
}

#[test]
fn a_disk_that_has_stopped_holds_up_neither_readers_nor_more_writers_than_the_queue_takes() {
    let storage = SimStorage::new();
    let log = EmbeddedLog::open(storage.clone(), options()).expect("it opens");
    let before = append(&log, 0).expect("durable");
    storage.hold_syncs(true);
    let mut taken = Vec::new();
    let refused = loop {
        match log.append(Lane::Journal, &[input(taken.len() as u64 + 1)], TimestampMs(0)) {
            Ok(appended) => taken.push((appended.first, taken.len() as u64 + 1)),
            Err(error) => break error,
        }
        assert!(taken.len() < 1000, "the queue is bounded");
    };
    assert_eq!(refused, AppendError::Busy);
    check(&log, &[(before, 0)], "reads go on");
    assert!(log.read(taken[0].0).is_err(), "what is not on disk is not shown");
    assert_eq!(log.durable_end(), before);
    let mut follower = log.follow(before, Lanes::Both).expect("it follows");
    assert_eq!(follower.next(&mut Vec::new(), 10, Duration::ZERO).expect("it waits"), 0);
    log.stat().expect("figures are to be had");
    storage.hold_syncs(false);
    log.wait_durable(taken[taken.len() - 1].0).expect("durable in the end");
    check(&log, &taken, "all that was taken");
    let mut records = Vec::new();
    while records.len() < taken.len() {
        follower.next(&mut records, 1000, Duration::from_secs(60)).expect("they come");
    }
}

#[test]
fn times_never_decrease_whatever_the_clock_does() {
    const YEAR: u64 = 365 * 24 * 3600 * 1000;
    let storage = SimStorage::new();
    let now = 60 * YEAR;
    let jumps = [now, now + 1, now + 10 * YEAR, now, 0, now - 10 * YEAR, now + 5, now + 10 * YEAR + 1];
    let mut last = TimestampMs(0);
    for opened in jumps {
        let log = EmbeddedLog::open(storage.clone(), Options { now: TimestampMs(opened), ..options() }).expect("opens");
        for (lane, now) in jumps.iter().flat_map(|now| [(Lane::Journal, *now), (Lane::Ephemeral, *now)]) {
            let appended = log.append(lane, &[input(now)], TimestampMs(now)).expect("taken");
            assert!(appended.timestamp >= last && appended.timestamp.0 >= now, "times never decrease");
            last = appended.timestamp;
        }
        log.close().expect("it closes");
    }
    let log = EmbeddedLog::open_read_only(storage).expect("it opens to read");
    let mut follower = log.follow(Offset::ZERO, Lanes::Both).expect("it follows");
    let mut records = Vec::new();
    while follower.next(&mut records, 100, Duration::ZERO).is_ok_and(|count| count > 0) {}
    assert!(records.windows(2).all(|pair| pair[0].timestamp <= pair[1].timestamp));
    assert!(records.windows(2).all(|pair| pair[0].offset < pair[1].offset), "the order is that of the offsets");
}
