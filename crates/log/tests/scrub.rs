//! The scrubber finds rot in sealed segments while the log is in use, and keeps to its rate.

use std::sync::Arc;
use std::time::Duration;

use engram_log::storage::sim::SimStorage;
use engram_log::{EmbeddedLog, Erasure, Input, Lane, Log, Offset, Options, Scrubber, TimestampMs};
use engram_log_format::v1;

fn options() -> Options {
    Options { segment_bytes: 4096, zero_ahead_bytes: 0, reserve_bytes: 0, ..Options::default() }
}

fn input(bytes: usize) -> Input {
    let value = Some(vec![b'x'; bytes]);
    Input::from(v1::ProfileFieldSet { user_id: "@a:b".to_owned(), key: "k".to_owned(), value })
}

fn append(log: &EmbeddedLog, bytes: usize) {
    let appended = log.append(Lane::Journal, &[input(bytes)], TimestampMs(0)).expect("taken");
    log.wait_durable(appended.last).expect("durable");
}

/// Steps until a round is complete. Returns the time that it asked to wait.
fn round(scrubber: &mut Scrubber, bytes_per_second: u64) -> Duration {
    let (rounds, mut waited) = (scrubber.progress().rounds, Duration::ZERO);
    loop {
        let wait = scrubber.step(bytes_per_second);
        if scrubber.progress().rounds > rounds {
            return waited;
        }
        waited += wait;
    }
}

fn filled() -> (Arc<SimStorage>, Arc<EmbeddedLog>) {
    let storage = SimStorage::new();
    let log = EmbeddedLog::open(storage.clone(), options()).expect("it opens");
    (0..20).for_each(|_| append(&log, 900));
    (storage, log)
}

#[test]
fn a_round_reads_every_sealed_byte_at_the_rate_that_is_asked_for() {
    let (_storage, log) = filled();
    let mut scrubber = log.scrubber();
    let waited = round(&mut scrubber, 1000);
    let progress = scrubber.progress().clone();
    assert!(progress.damage.is_empty() && progress.records >= 15, "{progress:?}");
    assert_eq!(progress.bytes, progress.bytes_total);
    assert_eq!(waited.as_millis(), u128::from(progress.bytes), "a byte a millisecond");
    append(&log, 5000);
    round(&mut scrubber, u64::MAX);
    assert_eq!(scrubber.progress().rounds, 2);
    assert!(scrubber.progress().bytes_total > progress.bytes_total, "the next round sees what was sealed since");
}

#[test]
fn every_flipped_byte_of_a_sealed_segment_is_found() {
    let (storage, log) = filled();
    let replacement = Some(input(5).encode().to_vec());
    let erasures = [Erasure { offset: Offset(4), replacement: None }, Erasure { offset: Offset(5), replacement }];
    log.erase(&erasures, "test", TimestampMs(0)).expect("it is taken");
    assert!(log.wait_erased(Duration::from_secs(60)).expect("nothing is given up"));
    let image = storage.image();
    let (path, content) = image.iter().find(|(path, _)| path.contains("journal")).expect("there are segments");
    for at in 0..content.len() as u64 {
        storage.damage(path, at, 0x10);
        let mut scrubber = log.scrubber();
        round(&mut scrubber, u64::MAX);
        let damage = &scrubber.progress().damage;
        assert!(damage.iter().any(|damage| &damage.segment == path && damage.position <= at), "byte {at}: {damage:?}");
        storage.damage(path, at, 0x10);
    }
    append(&log, 10);
}
