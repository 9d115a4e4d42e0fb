//! Failing calls, a full disk, limits and locks: what the log says, and that it keeps what it acknowledged.

use std::sync::Arc;

use engram_log::storage::sim::{CrashPoint, Fate, Fault, SimStorage};
use engram_log::{
    AppendError, EmbeddedLog, FsStorage, Input, Lane, LockError, Log, Offset, OpenError, Options, Storage, TimestampMs,
    limits,
};
use engram_log_format::v1;

fn options() -> Options {
    Options {
        segment_bytes: 4096,
        ephemeral_segment_bytes: 4096,
        zero_ahead_bytes: 256,
        reserve_bytes: 4096,
        disk_full_retry_ms: 1,
        ..Options::default()
    }
}

fn input(number: usize, bytes: usize) -> Input {
    let mut value = format!("{number} ").into_bytes();
    value.resize(value.len() + bytes, b'x');
    Input::from(v1::ProfileFieldSet { user_id: "@a:b".to_owned(), key: "k".to_owned(), value: Some(value) })
}

/// Appends until something fails; returns what was acknowledged, and the failure.
fn append_until_failure(log: &EmbeddedLog) -> (Vec<(Offset, Input)>, Option<AppendError>) {
    let mut acknowledged = Vec::new();
    for number in 0..20 {
        let lane = if number % 5 == 4 { Lane::Ephemeral } else { Lane::Journal };
        let what = input(number, 600);
        let appended = log.append(lane, std::slice::from_ref(&what), TimestampMs(0));
        let done = appended.and_then(|appended| log.wait_durable(appended.last).map(|()| appended.first));
        match done {
            Ok(offset) if lane == Lane::Journal => acknowledged.push((offset, what)),
            Ok(_) => {}
            Err(error) => return (acknowledged, Some(error)),
        }
    }
    (acknowledged, None)
}

const FAULTS: [Fault; 5] = [Fault::Io, Fault::NoSpace, Fault::TooManyFiles, Fault::Interrupted, Fault::Short];

/// Reads back what was acknowledged.
fn check_acknowledged(storage: Arc<SimStorage>, acknowledged: &[(Offset, Input)], place: &str) -> Arc<EmbeddedLog> {
    let log = EmbeddedLog::open(storage, options()).unwrap_or_else(|error| panic!("{place}: {error}"));
    for (offset, expected) in acknowledged {
        let record = log.read(*offset).unwrap_or_else(|error| panic!("{place}: {error}"));
        assert_eq!(&record.input().expect("valid").to_owned(), expected, "{place}");
    }
    log
}

/// The disk after a power loss, with what was undecided kept or lost.
fn power_loss(storage: &SimStorage, fate: Fate) -> Arc<SimStorage> {
    let mut point = CrashPoint::new();
    storage.trace().iter().for_each(|op| point.step(op));
    let entries = if fate == Fate::Kept { point.undecided_entries() } else { 0 };
    SimStorage::from_image(&point.image(entries, |_| fate))
}

/// Lets one call fail. Returns whether the workload got so far.
fn fail_one_call(call: u64, fault: Fault) -> bool {
    let storage = SimStorage::new();
    storage.fail_at(call, fault);
    let place = format!("call {call} fails with {fault:?}");
    let mut acknowledged = Vec::new();
    if let Ok(log) = EmbeddedLog::open(storage.clone(), options()) {
        let (done, failure) = append_until_failure(&log);
        acknowledged = done;
        match failure {
            None => {
                if log.close().is_ok() && storage.calls() <= call {
                    return false;
                }
            }
            // Nothing was written: the log waits for space, and finds it the next time.
            Some(AppendError::DiskFull) => assert_eq!(fault, Fault::NoSpace, "{place}"),
            Some(failure) => {
                assert!(matches!(failure, AppendError::Stopped(_)), "{place}: {failure:?}");
                let more = log.append(Lane::Journal, &[input(0, 0)], TimestampMs(0));
                assert!(matches!(more, Err(AppendError::Stopped(_))), "{place}: it must not go on");
                assert!(log.close().is_err(), "{place}: it has not ended in order");
            }
        }
    }
    // The power fails, or the process alone is started again, and sees what the kernel has in memory and the disk not.
    for fate in [Fate::Kept, Fate::Lost] {
        check_acknowledged(power_loss(&storage, fate), &acknowledged, &format!("{place}, then {fate:?}"));
    }
    let log = check_acknowledged(storage.clone(), &acknowledged, &format!("{place}, then a restart"));
    let (more, failure) = append_until_failure(&log);
    assert_eq!(failure, None, "{place}: it fails once");
    acknowledged.extend(more);
    drop(log);
    for fate in [Fate::Kept, Fate::Lost] {
        let place = format!("{place}, then a restart, then a power loss with {fate:?}");
        check_acknowledged(power_loss(&storage, fate), &acknowledged, &place);
    }
    true
}

#[test]
fn whichever_call_fails_nothing_acknowledged_is_lost_and_nothing_is_acknowledged_after() {
    for fault in FAULTS {
        let mut call = 0;
        while fail_one_call(call, fault) {
            call += 1;
        }
        assert!(call > 20, "the workload makes calls");
        println!("faults: each of {call} calls failed once with {fault:?}: nothing acknowledged was lost");
    }
}

#[test]
fn whichever_read_fails_nothing_is_taken_for_damage_or_changed() {
    let storage = SimStorage::new();
    let log = EmbeddedLog::open(storage.clone(), options()).expect("it opens");
    let (acknowledged, _) = append_until_failure(&log);
    drop(log);
    let image = storage.image();
    for fault in FAULTS {
        for read in 0.. {
            let place = format!("read {read} fails with {fault:?}");
            let storage = SimStorage::from_image(&image);
            storage.fail_read_at(read, fault);
            match EmbeddedLog::open(storage.clone(), options()) {
                Err(error) => assert!(!matches!(error, OpenError::Damaged { .. }), "{place}: {error}"),
                Ok(log) => {
                    for (offset, expected) in &acknowledged {
                        if let Ok(record) = log.read(*offset) {
                            assert_eq!(&record.input().expect("valid").to_owned(), expected, "{place}");
                        }
                    }
                }
            }
            let reads = storage.reads();
            storage.fail_read_at(u64::MAX, fault);
            check_acknowledged(storage, &acknowledged, &place);
            if reads <= read {
                println!("faults: each of {read} reads failed once with {fault:?}: nothing was changed");
                break;
            }
        }
    }
}

#[test]
fn limits_are_enforced_before_anything_is_taken() {
    let log = EmbeddedLog::open(SimStorage::new(), options()).expect("it opens");
    let before = log.stat().expect("figures").next;
    let large = input(0, limits::RECORD_BYTES_MAX);
    let result = log.append(Lane::Journal, &[large], TimestampMs(0));
    assert!(matches!(result, Err(AppendError::TooLarge { limit: limits::RECORD_BYTES_MAX, .. })), "{result:?}");
    assert_eq!(log.stat().expect("figures").next, before, "a refused append takes no offset");
}

#[test]
fn an_append_larger_than_a_segment_is_atomic_and_readable() {
    let storage = SimStorage::new();
    let log = EmbeddedLog::open(storage.clone(), options()).expect("it opens");
    let inputs: Vec<Input> = (0..100).map(|number| input(number, 500)).collect();
    let appended = log.append(Lane::Journal, &inputs, TimestampMs(0)).expect("taken");
    log.wait_durable(appended.last).expect("durable");
    log.close().expect("it closes");
    let log = EmbeddedLog::open(storage, options()).expect("it opens again");
    for (number, expected) in inputs.iter().enumerate() {
        let record = log.read(Offset(appended.first.0 + number as u64)).expect("there");
        assert_eq!(&record.input().expect("valid").to_owned(), expected);
    }
}

#[test]
fn a_second_writer_is_refused_and_told_who_holds_the_lock() {
    let dir = tempfile::tempdir().expect("a directory");
    let open = || FsStorage::open(dir.path()).expect("the directory opens");
    let log = EmbeddedLog::open(open(), Options::default()).expect("it opens");
    let me = std::process::id().to_string();
    for second in [EmbeddedLog::open(open(), Options::default()), EmbeddedLog::open_read_only(open())] {
        let error = second.expect_err("it is locked");
        assert!(matches!(&error, OpenError::Locked(LockError::Held { holder }) if *holder == me), "{error}");
    }
    log.close().expect("it closes");
    let reader = EmbeddedLog::open_read_only(open()).expect("a stopped server's log can be read");
    assert!(matches!(reader.append(Lane::Journal, &[input(0, 0)], TimestampMs(0)), Err(AppendError::Stopped(_))));
    let another: Result<Arc<EmbeddedLog>, OpenError> = EmbeddedLog::open_read_only(open());
    assert!(another.is_ok(), "readers do not exclude each other");
}

#[test]
fn a_log_belongs_to_one_server() {
    let storage: Arc<dyn Storage> = SimStorage::new();
    drop(EmbeddedLog::open(storage.clone(), options()).expect("it opens"));
    let other = Options { server_name: "example.org".to_owned(), ..options() };
    assert!(matches!(EmbeddedLog::open(storage.clone(), other), Err(OpenError::OtherServer { .. })));
    assert!(EmbeddedLog::open(storage, options()).is_ok());
}

#[test]
fn a_read_only_opening_of_nothing_says_so() {
    assert!(matches!(EmbeddedLog::open_read_only(SimStorage::new()), Err(OpenError::Empty)));
}
