//! Replay: everything that the log holds already, in large batches, observed by nobody.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use engram_failpoints::{Point, reached};
use engram_log::{FollowError, Follower, Lanes, Offset, Record, TimestampMs};

use crate::engine::Engine;
use crate::error::ProjectError;

/// Records per batch: enough to spread the cost of a commit, few enough to keep what is pending in the caches.
const BATCH_RECORDS: usize = 1024;
/// Batches read ahead of the one being applied.
const BATCHES_AHEAD: usize = 4;

/// Where a replay ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// At the durable end of the log.
    End,
    /// After the last record whose offset is not greater.
    Offset(Offset),
    /// After the last record whose time is not later.
    Time(TimestampMs),
}

impl Until {
    fn includes(self, record: &Record) -> bool {
        match self {
            Self::End => true,
            Self::Offset(last) => record.offset <= last,
            Self::Time(last) => record.timestamp <= last,
        }
    }
}

/// How far a replay has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The last record applied.
    pub offset: Offset,
    /// The durable end of the log when the replay began.
    pub end: Offset,
    /// Records applied by this replay.
    pub records: u64,
}

/// Applies the journal from the least cursor on and makes a checkpoint. Returns the offset that the views now stand
/// for.
pub(crate) fn replay(
    engine: &mut Engine,
    until: Until,
    progress: &mut dyn FnMut(Progress),
) -> Result<Offset, ProjectError> {
    let offset = run(engine, until, progress)?;
    engine.checkpoint()?;
    engine.flush_if_due(false)?;
    Ok(offset)
}

/// [`replay`] without the checkpoint: for generations that are not current yet.
pub(crate) fn run(
    engine: &mut Engine,
    until: Until,
    progress: &mut dyn FnMut(Progress),
) -> Result<Offset, ProjectError> {
    let end = engine.log.durable_end();
    if end == Offset::ZERO {
        return Ok(end);
    }
    let follower = engine.log.follow(engine.cursor(), Lanes::Journal)?;
    let (sender, receiver) = sync_channel(BATCHES_AHEAD);
    let mut records = 0;
    thread::scope(|scope| {
        scope.spawn(move || read_ahead(follower, &sender));
        for batch in receiver {
            let mut batch: Vec<Record> = batch?;
            let included = batch.partition_point(|record| until.includes(record));
            let done = included < batch.len();
            batch.truncate(included);
            engine.pend(&batch, None)?;
            if engine.pending_rows() >= engine.ingest_rows {
                engine.ingest()?;
            }
            reached(Point::ViewsReplayed);
            records += batch.len() as u64;
            progress(Progress { offset: engine.cursor(), end, records });
            if done {
                break;
            }
        }
        Ok::<_, ProjectError>(())
    })?;
    engine.commit()?;
    Ok(match until {
        Until::End => engine.cursor().max(end),
        Until::Offset(last) => last.min(engine.cursor().max(end)),
        Until::Time(_) => engine.cursor(),
    })
}

/// Reads on a thread of its own, so that reading and checking overlap with applying.
fn read_ahead(mut follower: Follower, sender: &SyncSender<Result<Vec<Record>, FollowError>>) {
    loop {
        let mut batch = Vec::with_capacity(BATCH_RECORDS);
        let message = match follower.next(&mut batch, BATCH_RECORDS, Duration::ZERO) {
            // A log that was opened to be read, or that has stopped, ends like this.
            Ok(0) | Err(FollowError::Stopped(_)) => return,
            Ok(_) => Ok(batch),
            Err(error) => Err(error),
        };
        let failed = message.is_err();
        // The receiver is gone when the replay has ended early.
        if sender.send(message).is_err() || failed {
            return;
        }
    }
}
