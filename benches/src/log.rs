//! Benchmark `log`: the log's appends beside what the disk itself does, measured in the same run.
//!
//! One raw fdatasync after a write of the same size is the unit: an idle append should take little more. The raw
//! sequential write is the ceiling of what batches can reach.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use engram_log::{AppendError, EmbeddedLog, FsStorage, Input, Lane, Log, Options as LogOptions, TimestampMs};
use engram_log_format::v1;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::stats::{Latencies, rate};

const MIB: usize = 1024 * 1024;
/// Size of the file that is written over and over to measure single syncs.
const SYNC_FILE_BYTES: usize = 64 * MIB;
/// Size of the file of the sequential write.
const SEQUENTIAL_BYTES: usize = 512 * MIB;
/// Threads that append batches.
const BATCH_THREADS: usize = 2;

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Appenders that each wait for their record before the next one.
    pub concurrency: Vec<usize>,
    /// Bytes of JSON in a record.
    pub record_bytes: usize,
    /// Records per append when batches are measured.
    pub batch: usize,
    /// How long each figure is measured.
    pub duration: Duration,
}

/// A figure by what was measured.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What was measured.
    pub scenario: &'static str,
    /// Threads that append.
    pub concurrency: usize,
    /// Records, or single syncs.
    pub records: usize,
    /// Records per second.
    pub records_per_second: f64,
    /// Megabytes (10^6) of payload per second.
    pub megabytes_per_second: f64,
    /// Median time until it is on stable storage.
    pub latency_ms_p50: f64,
    /// The same, of the slowest hundredth.
    pub latency_ms_p99: f64,
}

impl Report {
    fn new(scenario: &'static str, concurrency: usize, bytes: usize, run: Run) -> Self {
        let Run { records, elapsed, mut latencies } = run;
        Self {
            scenario,
            concurrency,
            records,
            records_per_second: rate(records, elapsed),
            megabytes_per_second: rate(records * bytes, elapsed) / 1e6,
            latency_ms_p50: latencies.percentile_ms(50),
            latency_ms_p99: latencies.percentile_ms(99),
        }
    }
}

struct Run {
    records: usize,
    elapsed: Duration,
    latencies: Latencies,
}

/// Measures in a new folder below `dir`, which is removed again; `report` is told each figure.
pub fn run(dir: &Path, options: &Options, mut report: impl FnMut(&Report)) -> Result<()> {
    let folder = dir.join(format!("engram-bench-log-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let measured = measure(&folder, options, &mut report);
    fs::remove_dir_all(&folder)?;
    measured
}

fn measure(folder: &Path, options: &Options, report: &mut impl FnMut(&Report)) -> Result<()> {
    let bytes = options.record_bytes;
    report(&Report::new("raw fdatasync", 1, bytes, raw_syncs(&folder.join("sync"), bytes, options.duration)?));
    report(&Report::new("raw sequential write", 1, MIB, raw_sequential(&folder.join("sequential"))?));
    let log = open(&folder.join("log"))?;
    for &concurrency in &options.concurrency {
        report(&Report::new("append", concurrency, bytes, appends(&log, concurrency, bytes, options.duration)?));
    }
    let run = batches(&log, options)?;
    report(&Report::new("append in batches", BATCH_THREADS, bytes, run));
    log.close().map_err(refused)
}

/// A write of the size of a record into allocated space, and its fdatasync.
fn raw_syncs(path: &Path, bytes: usize, duration: Duration) -> Result<Run> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    let zeros = vec![0; MIB];
    (0..SYNC_FILE_BYTES / MIB).try_for_each(|_| file.write_all(&zeros))?;
    file.sync_all()?;
    file.seek(SeekFrom::Start(0))?;
    let record = vec![0x65; bytes];
    let mut latencies = Latencies::default();
    let begin = Instant::now();
    let mut position = 0;
    while begin.elapsed() < duration {
        if position + bytes > SYNC_FILE_BYTES {
            file.seek(SeekFrom::Start(0))?;
            position = 0;
        }
        position += bytes;
        let started = Instant::now();
        file.write_all(&record)?;
        file.sync_data()?;
        latencies.add(started.elapsed());
    }
    Ok(Run { records: latencies.count(), elapsed: begin.elapsed(), latencies })
}

/// Large writes in order, one fdatasync at the end: what the file system gives at best.
fn raw_sequential(path: &Path) -> Result<Run> {
    let chunk = vec![0x65; MIB];
    let mut file = File::create(path)?;
    let mut latencies = Latencies::default();
    let begin = Instant::now();
    for _ in 0..SEQUENTIAL_BYTES / MIB {
        let started = Instant::now();
        file.write_all(&chunk)?;
        latencies.add(started.elapsed());
    }
    file.sync_data()?;
    let run = Run { records: latencies.count(), elapsed: begin.elapsed(), latencies };
    fs::remove_file(path)?;
    Ok(run)
}

fn open(dir: &Path) -> Result<Arc<EmbeddedLog>> {
    fs::create_dir_all(dir)?;
    let options = LogOptions { now: now(), ..LogOptions::default() };
    EmbeddedLog::open(FsStorage::open(dir)?, options).map_err(|error| Error::Log(error.to_string()))
}

fn now() -> TimestampMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    TimestampMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn refused(error: AppendError) -> Error {
    Error::Log(error.to_string())
}

/// A record of the kind that most of a log consists of.
fn record(bytes: usize) -> Input {
    let room_id = "!benchmark:localhost".to_owned();
    let event_id = "$0123456789abcdefghijklmnopqrstuvwxyzABCDEFG".to_owned();
    v1::Pdu {
        room_id,
        event_id,
        room_version: "11".to_owned(),
        source: v1::PduSource::Local,
        json: vec![b'e'; bytes],
        transaction: None,
        verified_keys: Vec::new(),
    }
    .into()
}

/// Threads that append one record each and wait until it is on stable storage.
fn appends(log: &Arc<EmbeddedLog>, concurrency: usize, bytes: usize, duration: Duration) -> Result<Run> {
    let begin = Instant::now();
    let threads: Vec<_> = (0..concurrency)
        .map(|_| {
            let log = Arc::clone(log);
            thread::spawn(move || append_until(&log, bytes, begin + duration))
        })
        .collect();
    let mut latencies = Latencies::default();
    for thread in threads {
        latencies.merge(thread.join().expect("an appender does not panic")?);
    }
    Ok(Run { records: latencies.count(), elapsed: begin.elapsed(), latencies })
}

fn append_until(log: &EmbeddedLog, bytes: usize, deadline: Instant) -> Result<Latencies> {
    let input = [record(bytes)];
    let mut latencies = Latencies::default();
    while Instant::now() < deadline {
        let started = Instant::now();
        let appended = log.append(Lane::Journal, &input, now()).map_err(refused)?;
        log.wait_durable(appended.last).map_err(refused)?;
        latencies.add(started.elapsed());
    }
    Ok(latencies)
}

/// Threads that append without waiting as long as the queue takes it; everything is durable at the end.
fn batches(log: &Arc<EmbeddedLog>, options: &Options) -> Result<Run> {
    let begin = Instant::now();
    let threads: Vec<_> = (0..BATCH_THREADS)
        .map(|_| {
            let (log, options) = (Arc::clone(log), options.clone());
            thread::spawn(move || batches_until(&log, &options, begin + options.duration))
        })
        .collect();
    let mut records = 0;
    let mut latencies = Latencies::default();
    for thread in threads {
        let waits = thread.join().expect("an appender does not panic")?;
        records += waits.0;
        latencies.merge(waits.1);
    }
    Ok(Run { records, elapsed: begin.elapsed(), latencies })
}

fn batches_until(log: &EmbeddedLog, options: &Options, deadline: Instant) -> Result<(usize, Latencies)> {
    let inputs = vec![record(options.record_bytes); options.batch];
    let mut records = 0;
    let mut latencies = Latencies::default();
    let mut last = log.durable_end();
    while Instant::now() < deadline {
        match log.append(Lane::Journal, &inputs, now()) {
            Ok(appended) => {
                records += inputs.len();
                last = appended.last;
            }
            Err(AppendError::Busy) => {
                let started = Instant::now();
                log.wait_durable(last).map_err(refused)?;
                latencies.add(started.elapsed());
            }
            Err(error) => return Err(refused(error)),
        }
    }
    log.wait_durable(last).map_err(refused)?;
    Ok((records, latencies))
}
