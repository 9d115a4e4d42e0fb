//! Failing calls, a full disk, limits and locks: what the log says, and that it keeps what it acknowledged.

use std::sync::Arc;

use engram_log::storage::sim::{CrashPoint, Fate, Fault, SimStorage};
use engram_log::{
    AppendError, EmbeddedLog, FsStorage, Input, Lane, LockError, Log, Offset, OpenError, Options, Storage, TimestampMs,
    limits,
};
use engram_log_format::v1;

fn options() -> Options {
    Options { segment_bytes: 4096, ephemeral_segment_bytes: 4096, zero_ahead_bytes: 256, ..Options::default() }
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

#[test]
fn whichever_call_fails_nothing_acknowledged_is_lost_and_nothing_is_acknowledged_after() {
    for call in 0.. {
        let storage = SimStorage::new();
        storage.fail_at(call, Fault::Io);
        let mut acknowledged = Vec::new();
        if let Ok(log) = EmbeddedLog::open(storage.clone(), options()) {
            let (done, failure) = append_until_failure(&log);
            acknowledged = done;
            if failure.is_some() {
                assert!(matches!(failure, Some(AppendError::Stopped(_))), "call {call}: {failure:?}");
                let more = log.append(Lane::Journal, &[input(0, 0)], TimestampMs(0));
                assert!(matches!(more, Err(AppendError::Stopped(_))), "call {call}: it must not go on");
                assert!(log.close().is_err(), "call {call}: it has not ended in order");
            } else if log.close().is_ok() && storage.calls() <= call {
                println!("faults: each of {call} calls failed once: nothing acknowledged was lost");
                return;
            }
        }
        // What a failed sync did not write may be gone for ever.
        let mut point = CrashPoint::new();
        storage.trace().iter().for_each(|op| point.step(op));
        for (entries, fate) in [(point.undecided_entries(), Fate::Kept), (0, Fate::Lost)] {
            let image = point.image(entries, |_| fate);
            let log = EmbeddedLog::open(SimStorage::from_image(&image), options())
                .unwrap_or_else(|error| panic!("call {call}, {fate:?}: {error}"));
            for (offset, expected) in &acknowledged {
                let record = log.read(*offset).unwrap_or_else(|error| panic!("call {call}, {fate:?}: {error}"));
                assert_eq!(&record.input().expect("valid").to_owned(), expected);
            }
        }
    }
}

#[test]
fn a_full_disk_is_survived_without_a_restart() {
    let storage = SimStorage::new();
    let log = EmbeddedLog::open(storage.clone(), options()).expect("it opens");
    storage.set_disk_full(true);
    let (acknowledged, failure) = append_until_failure(&log);
    assert_eq!(failure, Some(AppendError::DiskFull));
    assert!(!acknowledged.is_empty(), "the segment that is there takes some more");
    assert_eq!(log.append(Lane::Journal, &[input(0, 0)], TimestampMs(0)), Err(AppendError::DiskFull));
    for (offset, expected) in &acknowledged {
        assert_eq!(&log.read(*offset).expect("reads go on").input().expect("valid").to_owned(), expected);
    }
    storage.set_disk_full(false);
    let appended = loop {
        match log.append(Lane::Journal, &[input(99, 10)], TimestampMs(0)) {
            Ok(appended) => break appended,
            Err(error) => assert_eq!(error, AppendError::DiskFull),
        }
        std::thread::yield_now();
    };
    log.wait_durable(appended.last).expect("durable");
    log.close().expect("it closes in order");
    let log = EmbeddedLog::open(storage, options()).expect("it opens again");
    for (offset, _) in &acknowledged {
        assert!(log.read(*offset).is_ok());
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
