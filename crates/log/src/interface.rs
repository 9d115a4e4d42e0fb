//! What a log does, whatever stands behind it: append, point read, follow, erase.

use std::time::Duration;

use engram_log_format::{Input, Lane, Offset, TimestampMs};

use crate::record::{PayloadState, Record};

/// Which lanes a reader wants to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lanes {
    /// The journal alone: what persistent views are a function of.
    Journal,
    /// The ephemeral lane alone, as far back as it is kept: what was said before a restart.
    Ephemeral,
    /// Both lanes, merged in offset order.
    Both,
}

impl Lanes {
    /// Whether a reader of these lanes sees records of `lane`.
    pub fn include(self, lane: Lane) -> bool {
        match self {
            Self::Both => true,
            Self::Journal => lane == Lane::Journal,
            Self::Ephemeral => lane == Lane::Ephemeral,
        }
    }
}

/// What the log assigned to an append. Not a promise of durability: see [`Log::wait_durable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Offset of the first record.
    pub first: Offset,
    /// Offset of the last record; `first..=last` is contiguous.
    pub last: Offset,
    /// The time that the records carry.
    pub timestamp: TimestampMs,
}

/// Why an append was not taken. Nothing of it was or will be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// More is waiting for the disk than the queue may hold: try again later (503 or 429).
    #[error("the log's queue is full: the disk does not keep up")]
    Busy,
    /// A record is larger than the format allows.
    #[error("a record of {bytes} bytes exceeds the limit of {limit}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The disk is full: the log is read-only until space is freed.
    #[error("the disk is full: the log is read-only until space is freed")]
    DiskFull,
    /// The log has stopped: after a failed write or sync nothing more is acknowledged.
    #[error("the log has stopped: {0}")]
    Stopped(String),
}

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No record has this offset: beyond the end, in a gap, or dropped by retention.
    #[error("no record at offset {0}")]
    NotFound(Offset),
    /// The bytes on disk do not verify.
    #[error("damaged record: {0}")]
    Damaged(String),
    /// The storage failed.
    #[error("cannot read the log: {0}")]
    Io(#[from] std::io::Error),
}

/// Why a follower cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The log has stopped, in order or after an error; everything durable was delivered before.
    #[error("the log has stopped: {0}")]
    Stopped(String),
    /// Reading older segments failed.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// One payload to be given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// The record. It is of the journal, durable, and none of the log's own.
    pub offset: Offset,
    /// What takes the payload's place: an encoded payload of the record's own kind and schema version, no longer than
    /// the one that was written. None: nothing does.
    pub replacement: Option<Vec<u8>>,
}

/// Records that are written anew together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The first offset.
    pub first: Offset,
    /// The last one.
    pub last: Offset,
}

impl Extent {
    /// The end of what has none yet.
    pub const OPEN: Offset = Offset(u64::MAX);
}

/// Why an erasure was not taken. Nothing is erased then; after [`AppendError::DiskFull`] and [`AppendError::Stopped`]
/// it may have been announced: ask again.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// The record of the erasure could not be written, or too much waits to be erased ([`AppendError::Busy`]).
    #[error(transparent)]
    Append(#[from] AppendError),
    /// A record that is to be erased cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The log's own records stay, and those of the ephemeral lane go with their segment.
    #[error("record {0} is none that can be erased")]
    NotErasable(Offset),
    /// A replacement is longer than what it would take the place of.
    #[error("{bytes} bytes cannot take the place of the {limit} of record {offset}")]
    TooLong {
        /// The record.
        offset: Offset,
        /// Bytes of the replacement.
        bytes: usize,
        /// Bytes of the payload as it was written.
        limit: usize,
    },
    /// Erasures that were taken had to be given up: the payloads are still there. Asking again tries again.
    #[error("an erasure was given up: {0}")]
    GivenUp(String),
}

/// The one source of truth: an ordered, durable sequence of records.
///
/// Offsets are assigned when an append is taken, in the order in which appends are taken; so a writer
/// that holds a lock round `append` knows that its records precede those of the next holder.
pub trait Log: Send + Sync + 'static {
    /// Takes one atomic append: all of its records reach the log or none does, with contiguous offsets.
    ///
    /// Returns as soon as the offsets are assigned; does not wait for the disk and does not block
    /// longer than it takes to enqueue. `now` is the writer's clock; the records carry the larger of
    /// it and the last record's time. An empty append is a bug.
    ///
    /// Journal records become visible to followers only when they are on stable storage; ephemeral
    /// ones at once, but never before the records that precede them in offset order.
    fn append(&self, lane: Lane, inputs: &[Input], now: TimestampMs) -> Result<Appended, AppendError>;

    /// Blocks until every record up to `offset` is on stable storage (ephemeral ones: written).
    ///
    /// After an error the outcome is open: the records may be there after a restart, and those of a full disk
    /// are written once there is space. `offset` must have been handed out by [`Log::append`].
    fn wait_durable(&self, offset: Offset) -> Result<(), AppendError>;

    /// The last offset that followers may have seen; zero for an empty log.
    fn durable_end(&self) -> Offset;

    /// Reads one record by its offset: from memory if it is recent, else from its segment.
    fn read(&self, offset: Offset) -> Result<Record, ReadError>;

    /// Reads the records after `after` in order: those of old segments first, then live ones.
    fn follow(&self, after: Offset, lanes: Lanes) -> Result<Follower, FollowError>;

    /// Takes payloads out of the log. Offsets, times, kinds and digests stay, and the log verifies as before.
    ///
    /// First a `v1::Erased` record that names all of them is written; this returns when it is on stable storage. Then,
    /// in the background and at a bounded rate, the payloads are taken from storage and memory: see
    /// [`Log::wait_erased`] and [`Log::payload_state`]. What has the wanted state already, or is on its way to it, is
    /// passed over; if nothing is left, nothing is written and `None` is returned. What is gone stays gone: a
    /// replacement for it is passed over too. Followers that have read ahead may still deliver what was there.
    ///
    /// After a crash in between the record is there and some of the payloads are too: whoever asked compares
    /// [`Log::payload_state`] with what was announced, and asks again. So does whoever has restored parts of a log from
    /// an old copy.
    ///
    /// Each call may cost a rewrite of every part of the log that holds one of the records, and ends the newest part if
    /// it holds one: call it seldom, with many. At most [`crate::limits::ERASURES_MAX`] in one call.
    fn erase(&self, erasures: &[Erasure], reason: &str, now: TimestampMs) -> Result<Option<Appended>, EraseError>;

    /// Waits until every erasure that was taken has been carried out; false if the time was over before. An error,
    /// once, if some had to be given up.
    fn wait_erased(&self, timeout: Duration) -> Result<bool, EraseError>;

    /// The stretch of the log that is written anew as a whole when the payload of one of its records is erased; none if
    /// an erasure costs no rewriting, or nothing is known of the record. A stretch that is still being written has no
    /// end, and its last offset is [`Extent::OPEN`].
    fn extent(&self, _offset: Offset) -> Option<Extent> {
        None
    }

    /// What is there of a record's payload.
    fn payload_state(&self, offset: Offset) -> Result<PayloadState, ReadError> {
        self.read(offset).map(|record| record.state())
    }
}

/// A cursor over the log. Blocking: it lives on a thread of its own.
pub trait Follow: Send {
    /// Appends the next records to `out`, at most `max` of them but never part of an atomic append unless
    /// that alone exceeds `max`. Waits up to `timeout` for the first one; returns the number of records
    /// added, zero when the time is over. Offsets strictly increase.
    fn next(&mut self, out: &mut Vec<Record>, max: usize, timeout: Duration) -> Result<usize, FollowError>;

    /// The offset of the last record that was returned.
    fn position(&self) -> Offset;
}

/// A follower of any log.
pub type Follower = Box<dyn Follow>;
