//! Benchmark `replay`: how fast all views are rebuilt from the log of a stopped server.
//!
//! `engram-bench mix` fills a log with mixed records; any real log will do as well.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use engram_log::{EmbeddedLog, FsStorage, Lanes, Log, Offset};
use engram_server::node::projectors;
use engram_views::{Progress, Until};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::stats::rate;

/// How many records are read at once when they are counted.
const READ_BATCH: usize = 4096;

/// What came out.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Which scenario.
    pub scenario: &'static str,
    /// Records of the journal.
    pub records: usize,
    /// Bytes of their payloads.
    pub payload_bytes: usize,
    /// Records per second when the journal is only read and verified.
    pub read_records_per_second: f64,
    /// Records per second when all views are rebuilt from it.
    pub rebuilt_records_per_second: f64,
    /// Seconds that the rebuild took.
    pub rebuild_seconds: f64,
}

/// Reads the log in `data_dir`, then rebuilds all views from it in `scratch`, which must not exist yet.
pub fn run(data_dir: &Path, scratch: &Path, mut progress: impl FnMut(Progress)) -> Result<Report> {
    let log = EmbeddedLog::open_read_only(FsStorage::open(data_dir)?).map_err(|error| Error::Log(error.to_string()))?;
    let begin = Instant::now();
    let (records, payload_bytes) = count(&*log)?;
    let read = begin.elapsed();
    std::fs::create_dir_all(scratch)?;
    let begin = Instant::now();
    let shared: Arc<dyn Log> = log;
    let rebuilt = engram_views::rebuild::into(scratch, shared, projectors(), Until::End, &mut progress);
    let snapshot = rebuilt.map_err(|error| Error::Log(error.to_string()))?;
    let elapsed = begin.elapsed();
    drop(snapshot);
    Ok(Report {
        scenario: "replay",
        records,
        payload_bytes,
        read_records_per_second: rate(records, read),
        rebuilt_records_per_second: rate(records, elapsed),
        rebuild_seconds: elapsed.as_secs_f64(),
    })
}

fn count(log: &dyn Log) -> Result<(usize, usize)> {
    let failed = |error: engram_log::FollowError| Error::Log(error.to_string());
    let end = log.durable_end();
    let mut follower = log.follow(Offset::ZERO, Lanes::Journal).map_err(failed)?;
    let mut batch = Vec::new();
    let (mut records, mut bytes) = (0, 0);
    while follower.position() < end {
        batch.clear();
        match follower.next(&mut batch, READ_BATCH, std::time::Duration::ZERO) {
            // A log that is only read says so when everything was delivered.
            Ok(0) | Err(engram_log::FollowError::Stopped(_)) => break,
            Ok(count) => records += count,
            Err(error) => return Err(failed(error)),
        }
        bytes += batch.iter().map(|record| record.payload().len()).sum::<usize>();
    }
    Ok((records, bytes))
}
