//! The embedded log: segments on this machine's disk, one writer thread, any number of readers.
//!
//! Where to begin: `sequencer` takes appends and assigns offsets, `appender` writes them, `writer` knows
//! the steps of writing a lane, `tail` holds the newest records, `catalog` reads old ones, `follow`
//! goes from one to the other, `recover` and `scan` take over what a former process left.

mod appender;
mod catalog;
mod follow;
pub(crate) mod frames;
mod open;
pub(crate) mod recover;
mod reserve;
pub(crate) mod scan;
mod scrub;
mod sequencer;
mod stat;
mod tail;
#[cfg(test)]
mod tests;
pub(crate) mod writer;

use std::sync::Arc;

use engram_log_format::frame::FrameRecord;
use engram_log_format::record::HEADER_BYTES;
use engram_log_format::{Input, Lane, Offset, TimestampMs};
use rkyv::util::AlignedVec;

pub use self::open::{OpenError, Options};
pub use self::scrub::{ScrubProgress, Scrubber};
pub use self::stat::{SegmentStat, Stat};

use self::catalog::Catalog;
use self::follow::EmbeddedFollower;
use self::sequencer::{End, Sequencer};
use self::tail::Tail;
use crate::interface::{AppendError, Appended, FollowError, Follower, Lanes, Log, ReadError};
use crate::record::Record;
use crate::storage::Lock;
use crate::sync::{Mutex, thread::JoinHandle};

/// The log in files of this machine.
pub struct EmbeddedLog {
    sequencer: Arc<Sequencer>,
    tail: Arc<Tail>,
    catalog: Arc<Catalog>,
    log_id: [u8; 16],
    appender: Mutex<Option<JoinHandle<()>>>,
    lock: Mutex<Option<Lock>>,
}

impl EmbeddedLog {
    /// Writes what was taken, says in the log that it was closed, seals it, and gives up the directory's lock.
    ///
    /// After that, appends and followers are told that the log has stopped. An error if it had
    /// stopped before for another reason.
    pub fn close(&self) -> Result<(), AppendError> {
        let reason = self.join(End::Clean);
        if reason == appender::CLOSED { Ok(()) } else { Err(AppendError::Stopped(reason)) }
    }

    /// Ends the appender and waits for it. Returns why the log has stopped.
    fn join(&self, end: End) -> String {
        let mut appender = self.appender.lock();
        if let Some(thread) = appender.take() {
            self.sequencer.end(end);
            // A panic has been reported by its hook, and has stopped the log.
            let _ = thread.join();
        }
        *self.lock.lock() = None;
        self.tail.stopped().unwrap_or_default()
    }
}

impl Drop for EmbeddedLog {
    fn drop(&mut self) {
        self.join(End::Plain);
    }
}

impl std::fmt::Debug for EmbeddedLog {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("EmbeddedLog").field("durable_end", &self.tail.published()).finish_non_exhaustive()
    }
}

impl Log for EmbeddedLog {
    fn append(&self, lane: Lane, inputs: &[Input], now: TimestampMs) -> Result<Appended, AppendError> {
        self.sequencer.append(lane, inputs, now)
    }

    fn wait_durable(&self, offset: Offset) -> Result<(), AppendError> {
        self.tail.wait(offset)
    }

    fn durable_end(&self) -> Offset {
        self.tail.published()
    }

    fn read(&self, offset: Offset) -> Result<Record, ReadError> {
        if let Some(record) = self.tail.read(offset) {
            return Ok(record);
        }
        if offset > self.tail.published() {
            return Err(ReadError::NotFound(offset));
        }
        for lane in [Lane::Journal, Lane::Ephemeral] {
            if let Some(record) = self.catalog.read(lane, offset)? {
                return Ok(record);
            }
        }
        Err(ReadError::NotFound(offset))
    }

    fn follow(&self, after: Offset, lanes: Lanes) -> Result<Follower, FollowError> {
        Ok(Box::new(EmbeddedFollower::new(self.catalog.clone(), self.tail.clone(), after, lanes)))
    }
}

/// A record of a verified frame that begins at `start` of `buffer`.
fn record_of(lane: Lane, buffer: &Arc<AlignedVec>, start: usize, record: &FrameRecord) -> Record {
    let header = &record.header;
    let payload = start + record.position + HEADER_BYTES;
    let payload = payload..payload + header.stored_bytes();
    Record::new(header.offset, header.timestamp, header.kind, header.schema, lane, buffer.clone(), payload)
}
