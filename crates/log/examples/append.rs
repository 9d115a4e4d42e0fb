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

/// Each figure is the best of so many: other load only ever makes it worse.
const ROUNDS: usize = 5;

/// Records of one round of batched appends.
const BATCHED: u64 = 200_000;

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

/// Processor time in seconds, of the writing thread and of all others: a figure that other load on the machine
/// changes less than it does the time on the clock.
fn processor_seconds() -> (f64, f64) {
    let (mut writing, mut others) = (0.0, 0.0);
    for task in std::fs::read_dir("/proc/self/task").expect("Linux") {
        let path = task.expect("an entry").path();
        let read = |name| std::fs::read_to_string(path.join(name)).unwrap_or_default();
        let nanoseconds: f64 = read("schedstat").split(' ').next().and_then(|part| part.parse().ok()).unwrap_or(0.0);
        let sum = if read("comm").trim() == "engram-log" { &mut writing } else { &mut others };
        *sum += nanoseconds / 1e9;
    }
    (writing, others)
}

#[expect(clippy::disallowed_methods, reason = "a measurement")]
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}

/// The median of each of several rounds, and the best of them.
fn best_median(rounds: usize, each: usize, mut work: impl FnMut(usize)) -> f64 {
    let mut best = f64::MAX;
    for round in 0..rounds {
        let mut times: Vec<Duration> = (0..each).map(|number| timed(|| work(round * each + number)).1).collect();
        times.sort_unstable();
        best = best.min(times[each / 2].as_nanos() as f64 / 1e3);
    }
    best
}

/// One append at a time, in turn with the cheapest durable write there is: a block that is already written.
fn idle_append_with(storage: &Arc<FsStorage>, dir: &Path, what: &str, options: Options) {
    let log = EmbeddedLog::open(storage.clone(), options).expect("it opens");
    let file = File::create(dir.join("raw")).expect("a file");
    file.write_all_at(&vec![0; 8 << 20], 0).expect("space");
    file.sync_all().expect("synced");
    let block = vec![1; 1024];
    let (mut raw, mut ours) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        raw.push(best_median(1, 500, |number| {
            file.write_all_at(&block, (number as u64) * 1024).expect("written");
            file.sync_data().expect("synced");
        }));
        ours.push(best_median(1, 500, |number| {
            let number = (round * 500 + number) as u64;
            let appended = log.append(Lane::Journal, &[input(number, 650)], TimestampMs(0)).expect("taken");
            log.wait_durable(appended.last).expect("durable");
        }));
    }
    let best = |times: &[f64]| times.iter().copied().fold(f64::MAX, f64::min);
    let (raw, ours) = (best(&raw), best(&ours));
    println!("idle append {what}: {ours:.0} µs, a write and fdatasync: {raw:.0} µs, ratio {:.2}", ours / raw);
}

fn concurrent_appends(log: &Arc<EmbeddedLog>, writers: u64) {
    let each = (1000 * writers).min(20_000) / writers;
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

/// One producer, in appends of 100 records, that waits when the queue is full.
fn batched_appends(log: &Arc<EmbeddedLog>, records: u64) {
    let inputs: Vec<Input> = (0..100).map(|number| input(number, 900)).collect();
    let (mut best, mut processor) = (0.0_f64, (f64::MAX, f64::MAX));
    for _ in 0..ROUNDS {
        let before = processor_seconds();
        let ((), took) = timed(|| {
            let mut last = Offset::ZERO;
            for number in 0..records / 100 {
                last = loop {
                    match log.append(Lane::Journal, &inputs, TimestampMs(number)) {
                        Ok(appended) => break appended.last,
                        Err(_) => log.wait_durable(last).expect("durable"),
                    }
                };
            }
            log.wait_durable(last).expect("durable");
        });
        let after = processor_seconds();
        let each = |after: f64, before: f64| (after - before) * 1e6 / records as f64;
        best = best.max(records as f64 / took.as_secs_f64());
        processor = (processor.0.min(each(after.0, before.0)), processor.1.min(each(after.1, before.1)));
    }
    println!(
        "batched: {best:.0} records/s of 1 KiB; processor time of each: {:.2} µs writing, {:.2} µs encoding",
        processor.0, processor.1
    );
}

fn replay(log: &Arc<EmbeddedLog>) {
    let (mut best, mut processor, mut records) = (0.0_f64, f64::MAX, 0);
    for _ in 0..ROUNDS {
        let before = processor_seconds().1;
        let ((), took) = timed(|| {
            let mut follower = log.follow(Offset::ZERO, Lanes::Journal).expect("it follows");
            let mut out = Vec::new();
            records = 0;
            while follower.next(&mut out, 1000, Duration::ZERO).expect("it reads") > 0 {
                records += out.len();
                out.clear();
            }
        });
        best = best.max(records as f64 / took.as_secs_f64());
        processor = processor.min((processor_seconds().1 - before) * 1e6 / records as f64);
    }
    println!("replay of {records}: {best:.0} records/s, digests checked, {processor:.2} µs of processor time each");
}

/// Reads in an order that no cache of lines foresees: among the newest records, and among all.
fn point_reads(log: &Arc<EmbeddedLog>) {
    // What the batched appends have written has no gaps, and is far more than what is in memory.
    let (end, all) = (log.durable_end().0, ROUNDS as u64 * BATCHED);
    let mut at = 1;
    let mut read = |among: u64| {
        best_median(ROUNDS, 20_000, |_| {
            at = at * 48_271 % 2_147_483_647;
            let offset = Offset(end - at % among);
            std::hint::black_box(log.read(offset).expect("it is there"));
        })
    };
    println!("point read: {:.2} µs among the newest 10,000, {:.2} µs among {all}", read(10_000), read(all));
}

fn main() {
    let dir = std::env::args().nth(1).expect("usage: append DIR");
    let dir = Path::new(&dir);
    let storage = FsStorage::open(dir).expect("the directory opens");
    idle_append_with(&storage, dir, "without zeros ahead", Options { zero_ahead_bytes: 0, ..Options::default() });
    idle_append_with(&storage, dir, "with zeros ahead", Options::default());
    let log = EmbeddedLog::open(storage.clone(), Options::default()).expect("it opens");
    for writers in [1, 16, 128] {
        concurrent_appends(&log, writers);
    }
    batched_appends(&log, BATCHED);
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
