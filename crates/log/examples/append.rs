//! Measures the log on this machine's disk: `cargo run --release -p engram-log --example append -- DIR`.
//!
//! Everything is compared with plain fdatasync and plain reading of the same file system in the same run.

#![expect(clippy::cast_precision_loss, reason = "figures for people")]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engram_log::{EmbeddedLog, FsStorage, Input, Lane, Lanes, Log, Offset, Options, TimestampMs};
use engram_log_format::v1;

fn input(number: u64, bytes: usize) -> Input {
    Input::from(v1::Pdu {
        room_id: "!roooooooooooooooooooooooooooooooooooooooooom".to_owned(),
        event_id: format!("$event{number:040}"),
        room_version: "12".to_owned(),
        source: v1::PduSource::Local,
        json: vec![b'x'; bytes],
        transaction: None,
        verified_keys: Vec::new(),
    })
}

/// Processor time of this process so far, in seconds: a figure that other load on the machine does not change much.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("not empty").split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().expect("a number");
    (ticks(11) + ticks(12)) / 100.0
}

#[expect(clippy::disallowed_methods, reason = "a measurement")]
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}

fn percentiles(name: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |part: usize| times[times.len() * part / 100].as_micros();
    println!("{name}: p50 {} µs, p90 {} µs, p99 {} µs", at(50), at(90), at(99));
}

/// Overwrites blocks that are already written: the cheapest durable write there is.
fn raw_fdatasync(dir: &Path) {
    let file = File::create(dir.join("raw")).expect("a file");
    file.write_all_at(&vec![0; 8 << 20], 0).expect("space");
    file.sync_all().expect("synced");
    let block = vec![1; 1024];
    let write = |number: u64| {
        file.write_all_at(&block, number * 1024).expect("written");
        file.sync_data().expect("synced");
    };
    percentiles("raw write and fdatasync", (0..2000).map(|number| timed(|| write(number)).1).collect());
}

fn idle_append(log: &Arc<EmbeddedLog>) {
    let append = |number| {
        let appended = log.append(Lane::Journal, &[input(number, 650)], TimestampMs(0)).expect("taken");
        log.wait_durable(appended.last).expect("durable");
    };
    percentiles("idle append of one record", (0..2000).map(|number| timed(|| append(number)).1).collect());
}

fn concurrent_appends(log: &Arc<EmbeddedLog>, writers: u64) {
    let each = 20_000 / writers;
    let ((), took) = timed(|| {
        std::thread::scope(|scope| {
            for writer in 0..writers {
                scope.spawn(move || {
                    for number in 0..each {
                        let appended = log.append(Lane::Journal, &[input(writer << 32 | number, 650)], TimestampMs(0));
                        log.wait_durable(appended.expect("taken").last).expect("durable");
                    }
                });
            }
        });
    });
    println!("{writers} writers, each waiting: {:.0} appends/s", (each * writers) as f64 / took.as_secs_f64());
}

fn batched_appends(log: &Arc<EmbeddedLog>, records: u64) {
    let inputs: Vec<Input> = (0..100).map(|number| input(number, 900)).collect();
    let processor = processor_seconds();
    let ((), took) = timed(|| {
        let mut last = Offset::ZERO;
        for _ in 0..records / 100 {
            last = loop {
                match log.append(Lane::Journal, &inputs, TimestampMs(0)) {
                    Ok(appended) => break appended.last,
                    Err(_) => std::thread::yield_now(),
                }
            };
        }
        log.wait_durable(last).expect("durable");
    });
    let processor = (processor_seconds() - processor) * 1e6 / records as f64;
    let rate = records as f64 / took.as_secs_f64();
    println!("batched: {rate:.0} records/s of 1 KiB, {processor:.2} µs of processor time each");
}

fn replay(log: &Arc<EmbeddedLog>) {
    let processor = processor_seconds();
    let (records, took) = timed(|| {
        let mut follower = log.follow(Offset::ZERO, Lanes::Journal).expect("it follows");
        let (mut records, mut bytes, mut out) = (0, 0, Vec::new());
        while follower.next(&mut out, 1000, Duration::ZERO).expect("it reads") > 0 {
            records += out.len();
            bytes += out.iter().map(|record| record.payload().len()).sum::<usize>();
            out.clear();
        }
        println!("replayed {records} records, {} MB", bytes >> 20);
        records
    });
    let processor = (processor_seconds() - processor) * 1e6 / records as f64;
    let rate = records as f64 / took.as_secs_f64();
    println!("replay: {rate:.0} records/s, digests checked, {processor:.2} µs of processor time each");
}

fn point_reads(log: &Arc<EmbeddedLog>) {
    let end = log.durable_end().0;
    let mut at = 1;
    let times = (0..20_000).map(|_| {
        at = at * 48_271 % 2_147_483_647;
        timed(|| log.read(Offset(at % end + 1)).map(|record| record.offset)).1
    });
    let mut times: Vec<Duration> = times.collect();
    times.sort_unstable();
    println!(
        "point read: p50 {:.1} µs, p99 {:.1} µs",
        times[10_000].as_nanos() as f64 / 1e3,
        times[19_800].as_nanos() as f64 / 1e3
    );
}

fn main() {
    let dir = std::env::args().nth(1).expect("usage: append DIR");
    let dir = Path::new(&dir);
    let storage = FsStorage::open(dir).expect("the directory opens");
    raw_fdatasync(dir);
    let log = EmbeddedLog::open(storage.clone(), Options::default()).expect("it opens");
    idle_append(&log);
    raw_fdatasync(dir);
    idle_append(&log);
    for writers in [1, 16, 128] {
        concurrent_appends(&log, writers);
    }
    batched_appends(&log, 500_000);
    replay(&log);
    point_reads(&log);
    let stat = log.stat().expect("figures");
    println!(
        "{} records, {} bytes, {:.0} bytes a record",
        stat.records(),
        stat.bytes(),
        stat.bytes() as f64 / stat.records() as f64
    );
    let ((), took) = timed(|| log.close().expect("it closes"));
    println!("closed in {took:?}");
    let (log, took) = timed(|| EmbeddedLog::open(storage, Options::default()).expect("it opens again"));
    println!("opened again in {took:?}");
    drop(log);
}
