//! A record as everybody above the log sees it.

use std::ops::Range;
use std::sync::Arc;

use engram_log_format::input::DecodeError;
use engram_log_format::{InputRef, Kind, Lane, Offset, TimestampMs};
use rkyv::util::AlignedVec;

/// One record: its place, its time, and its payload, whose digest has been checked.
///
/// Cheap to clone: the payload is shared with the frame that it was written or read with.
#[derive(Clone)]
pub struct Record {
    /// Position in the one order of the node.
    pub offset: Offset,
    /// When it was appended; never less than the record's before it.
    pub timestamp: TimestampMs,
    /// What the payload is.
    pub kind: Kind,
    /// Version of the payload's type.
    pub schema: u16,
    /// The lane it was written to.
    pub lane: Lane,
    bytes: Arc<AlignedVec>,
    payload: Range<usize>,
}

impl Record {
    /// Assembles a record from a shared buffer. The payload must start at a multiple of 16.
    pub fn new(
        offset: Offset,
        timestamp: TimestampMs,
        kind: Kind,
        schema: u16,
        lane: Lane,
        bytes: Arc<AlignedVec>,
        payload: Range<usize>,
    ) -> Self {
        assert!(payload.start.is_multiple_of(16), "payloads are aligned to 16 bytes");
        assert!(payload.end <= bytes.len(), "a payload lies inside its buffer");
        Self { offset, timestamp, kind, schema, lane, bytes, payload }
    }

    /// The payload's bytes. Empty if it was erased.
    pub fn payload(&self) -> &[u8] {
        &self.bytes[self.payload.clone()]
    }

    /// The payload, validated and read in place.
    pub fn input(&self) -> Result<InputRef<'_>, DecodeError> {
        InputRef::decode(self.kind, self.schema, self.payload())
    }
}

impl std::fmt::Debug for Record {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:?} {:?} {} bytes", self.offset, self.kind, self.payload.len())
    }
}
