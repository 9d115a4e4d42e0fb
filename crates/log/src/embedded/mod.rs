//! The embedded log: segments on this machine's disk, one writer thread, any number of readers.
//!
//! Where to begin: `sequencer` takes appends and assigns offsets, `appender` writes them, `writer` knows
//! the steps of writing a lane, `tail` holds the newest records, `catalog` reads old ones, `follow`
//! goes from one to the other, `recover`, `scan` and `search` take over what a former process
//! left, `erase` and `rewrite` take payloads out of segments, `files` knows the names and the ends of their files.

mod appender;
mod catalog;
mod erase;
mod error;
pub(crate) mod files;
mod follow;
pub(crate) mod frames;
mod open;
mod outcomes;
mod recover;
mod reserve;
mod rewrite;
pub(crate) mod scan;
mod scrub;
pub(crate) mod search;
mod sequencer;
mod stat;
mod tail;
#[cfg(test)]
mod tests;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use engram_log_format::frame::FrameRecord;
use engram_log_format::record::{RecordHeader, Stored};
use engram_log_format::{Input, Lane, Offset, TimestampMs};
use rkyv::util::AlignedVec;

pub use self::error::OpenError;
pub use self::open::Options;
pub use self::scrub::{ScrubProgress, Scrubber};
pub use self::stat::{SegmentStat, Stat};

use self::catalog::Catalog;
use self::erase::Eraser;
use self::follow::EmbeddedFollower;
use self::sequencer::{End, Sequencer};
use self::tail::Tail;
use crate::interface::{
    AppendError, Appended, EraseError, Erasure, Extent, FollowError, Follower, Lanes, Log, ReadError,
};
use crate::record::{PayloadState, Record};
use crate::storage::Lock;
use crate::sync::Mutex;
use crate::sync::thread::{self, JoinHandle};

/// The log in files of this machine.
pub struct EmbeddedLog {
    sequencer: Arc<Sequencer>,
    tail: Arc<Tail>,
    catalog: Arc<Catalog>,
    eraser: Arc<Eraser>,
    log_id: [u8; 16],
    appender: Mutex<Option<JoinHandle<()>>>,
    erasing: Mutex<Option<JoinHandle<()>>>,
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

    /// Starts the erasing thread, if it does not run: most logs never need it.
    fn start_erasing(&self) -> std::io::Result<()> {
        let mut erasing = self.erasing.lock();
        if erasing.is_none() {
            let eraser = self.eraser.clone();
            let thread = thread::Builder::new().name("engram-erase".to_owned()).spawn(move || eraser.run())?;
            *erasing = Some(thread);
        }
        Ok(())
    }

    /// Whether appends are refused for lack of space, and those that were taken wait for some.
    pub fn is_disk_full(&self) -> bool {
        self.tail.is_disk_full()
    }

    /// Ends the threads and waits for them. Returns why the log has stopped.
    fn join(&self, end: End) -> String {
        self.eraser.end();
        if let Some(thread) = self.erasing.lock().take() {
            let _ = thread.join();
        }
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

    fn erase(&self, erasures: &[Erasure], reason: &str, now: TimestampMs) -> Result<Option<Appended>, EraseError> {
        let appended = self.eraser.take(&self.sequencer, erasures, reason, now)?;
        self.start_erasing().map_err(|error| EraseError::GivenUp(format!("cannot start its thread: {error}")))?;
        Ok(appended)
    }

    fn extent(&self, offset: Offset) -> Option<Extent> {
        let segment = self.catalog.find(Lane::Journal, offset)?;
        let last = segment.footer().map_or(Extent::OPEN, |footer| footer.last);
        // What lies behind a sealed segment is in a gap, or not there yet.
        (offset <= last).then_some(Extent { first: segment.header.base, last })
    }

    fn wait_erased(&self, timeout: Duration) -> Result<bool, EraseError> {
        self.eraser.wait(timeout)
    }
}

/// A record of a verified frame that begins at `start` of `buffer`.
fn record_of(lane: Lane, buffer: &Arc<AlignedVec>, start: usize, record: &FrameRecord) -> Record {
    record_at(lane, buffer, start + record.position, &record.header)
}

/// The verified record that begins at `start` of `buffer`.
fn record_at(lane: Lane, buffer: &Arc<AlignedVec>, start: usize, header: &RecordHeader) -> Record {
    let payload = header.payload_range();
    let payload = start + payload.start..start + payload.end;
    let record =
        Record::new(header.offset, header.timestamp, header.kind, header.schema, lane, buffer.clone(), payload);
    record.with_state(match header.stored {
        Stored::Whole => PayloadState::Whole,
        Stored::Replaced(_) => PayloadState::Replaced,
        Stored::Erased => PayloadState::Gone,
    })
}
