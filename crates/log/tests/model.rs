//! The log under a scheduler that tries the orders in which its threads may run: group commit, the hand-over of
//! followers from segments to memory, the exchange of a segment's file under readers, and the end.
//!
//! `RUSTFLAGS="--cfg shuttle" cargo test -p engram-log --test model --target-dir target/shuttle`;
//! `ENGRAM_MODEL_SCHEDULES` is the number of schedules of each model.

#![cfg(shuttle)]

use std::sync::Arc;
use std::time::Duration;

use engram_log::storage::sim::SimStorage;
use engram_log::{
    AppendError, EmbeddedLog, Erasure, FollowError, Input, Kind, Lane, Lanes, Log, Offset, Options, PayloadState,
    Record, TimestampMs,
};
use engram_log_format::v1;
use shuttle::thread;

/// Memory holds next to nothing, segments rotate all the time: followers go to and fro between them.
fn options() -> Options {
    Options {
        segment_bytes: 4096,
        ephemeral_segment_bytes: 4096,
        tail_bytes_max: 400,
        zero_ahead_bytes: 0,
        reserve_bytes: 0,
        erase_bytes_per_second: u64::MAX,
        ..Options::default()
    }
}

fn input(bytes: usize) -> Input {
    let value = Some(vec![b'x'; bytes]);
    Input::from(v1::ProfileFieldSet { user_id: "@a:b".to_owned(), key: "k".to_owned(), value })
}

/// Appends, trying again while the lease is on its way, and waits.
fn append(log: &EmbeddedLog, lane: Lane, records: usize) -> (Offset, Offset) {
    let inputs = vec![input(500); records];
    loop {
        match log.append(lane, &inputs, TimestampMs(0)) {
            Ok(appended) => {
                log.wait_durable(appended.last).expect("durable");
                assert!(log.durable_end() >= appended.last, "what was waited for is there");
                assert!(log.read(appended.first).is_ok(), "what is durable can be read");
                return (appended.first, appended.last);
            }
            Err(AppendError::Busy) => thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Follows until so many inputs were seen.
fn follow(log: &EmbeddedLog, lanes: Lanes, wanted: usize) -> Vec<Record> {
    let mut follower = log.follow(Offset::ZERO, lanes).expect("it follows");
    let mut records = Vec::new();
    while records.iter().filter(|record: &&Record| record.kind.0 >= Kind::FIRST_INPUT).count() < wanted {
        follower.next(&mut records, 3, Duration::MAX).expect("more is to come");
    }
    assert!(records.windows(2).all(|pair| pair[0].offset < pair[1].offset), "in order, and none twice");
    records
}

#[expect(clippy::disallowed_methods, reason = "how long a model runs is not part of it")]
fn check(name: &str, model: impl Fn() + Send + Sync + 'static) {
    let schedules = std::env::var("ENGRAM_MODEL_SCHEDULES").map_or(2000, |value| value.parse().expect("a number"));
    let model = Arc::new(model);
    let again = model.clone();
    shuttle::check_random(move || model(), schedules);
    shuttle::check_pct(move || again(), schedules, 3);
    println!("model: {name}: {schedules} random schedules, {schedules} with three changes of priority");
}

#[test]
fn group_commit() {
    check("group commit of three writers", || {
        let log = EmbeddedLog::open(SimStorage::new(), options()).expect("it opens");
        let writers = [(Lane::Journal, 1), (Lane::Journal, 2), (Lane::Ephemeral, 1)].map(|(lane, records)| {
            let log = log.clone();
            thread::spawn(move || [append(&log, lane, records), append(&log, lane, records)])
        });
        let mut spans: Vec<(Offset, Offset)> =
            writers.into_iter().flat_map(|writer| writer.join().expect("it ends")).collect();
        spans.sort_unstable();
        assert!(spans.windows(2).all(|pair| pair[0].1 < pair[1].0), "offsets are handed out once: {spans:?}");
        log.close().expect("it closes");
    });
}

#[test]
fn hand_over_to_followers() {
    check("two followers of two writers", || {
        let log = EmbeddedLog::open(SimStorage::new(), options()).expect("it opens");
        let writers = [(Lane::Journal, 3), (Lane::Ephemeral, 2)].map(|(lane, appends)| {
            let log = log.clone();
            thread::spawn(move || (0..appends).for_each(|_| _ = append(&log, lane, 1)))
        });
        let both = log.clone();
        let both = thread::spawn(move || follow(&both, Lanes::Both, 5));
        let journal = follow(&log, Lanes::Journal, 3);
        let both = both.join().expect("it ends");
        writers.into_iter().for_each(|writer| writer.join().expect("it ends"));
        let of_journal = both.iter().filter(|record| record.lane == Lane::Journal).map(|record| record.offset);
        let common: Vec<Offset> = of_journal.take(journal.len()).collect();
        assert!(journal.iter().map(|record| record.offset).take(common.len()).eq(common), "both see the same order");
        log.close().expect("it closes");
    });
}

#[test]
fn readers_while_a_segment_is_exchanged() {
    check("an erasure under a reader, a follower and a writer", || {
        let log = EmbeddedLog::open(SimStorage::new(), options()).expect("it opens");
        let offsets: Vec<Offset> = (0..3).map(|_| append(&log, Lane::Journal, 1).0).collect();
        let (reading, following, writing) = (log.clone(), log.clone(), log.clone());
        let targets = [offsets[0], offsets[2]];
        let reader = thread::spawn(move || {
            let mut gone = [false; 2];
            for number in [0, 1, 0, 1] {
                let state = reading.read(targets[number]).expect("it is there, whatever the file").state();
                assert!(state == PayloadState::Gone || !gone[number], "what is gone stays gone");
                gone[number] = state == PayloadState::Gone;
            }
        });
        let follower = thread::spawn(move || follow(&following, Lanes::Journal, 4));
        let writer = thread::spawn(move || append(&writing, Lane::Journal, 1).0);
        let erasures = targets.map(|offset| Erasure { offset, replacement: None });
        while let Err(error) = log.erase(&erasures, "test", TimestampMs(0)) {
            assert!(error.to_string() == AppendError::Busy.to_string(), "{error}");
            thread::yield_now();
        }
        assert!(log.wait_erased(Duration::MAX).expect("nothing is given up"));
        for offset in &targets {
            assert_eq!(log.read(*offset).expect("it is there").state(), PayloadState::Gone);
        }
        reader.join().expect("it ends");
        let mut expected = offsets.clone();
        expected.push(writer.join().expect("it ends"));
        let seen = follower.join().expect("it ends");
        let seen = seen.iter().filter(|record| record.kind.0 >= Kind::FIRST_INPUT).map(|record| record.offset);
        assert_eq!(seen.collect::<Vec<_>>(), expected, "none is missing and none comes twice");
        log.close().expect("it closes");
    });
}

#[test]
fn the_end_wakes_everybody() {
    check("a close under a writer and a follower", || {
        let log = EmbeddedLog::open(SimStorage::new(), options()).expect("it opens");
        let (writing, following) = (log.clone(), log.clone());
        let writer = thread::spawn(move || {
            let mut durable = Vec::new();
            while let Ok(appended) = writing.append(Lane::Journal, &[input(10)], TimestampMs(0)) {
                if writing.wait_durable(appended.last).is_ok() {
                    durable.push(appended.last);
                }
                if durable.len() == 3 {
                    break;
                }
            }
            durable
        });
        let follower = thread::spawn(move || {
            let mut follower = following.follow(Offset::ZERO, Lanes::Journal).expect("it follows");
            let mut records = Vec::new();
            loop {
                match follower.next(&mut records, 10, Duration::MAX) {
                    Ok(_) => {}
                    Err(FollowError::Stopped(_)) => return records,
                    Err(error) => panic!("{error}"),
                }
            }
        });
        log.close().expect("it closes");
        let durable = writer.join().expect("it ends");
        let seen: Vec<Offset> = follower.join().expect("it ends").iter().map(|record| record.offset).collect();
        assert!(durable.iter().all(|offset| seen.contains(offset)), "what was durable was delivered before the end");
    });
}
