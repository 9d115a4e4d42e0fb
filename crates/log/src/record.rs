//! A record as everybody above the log sees it.

use std::ops::Range;
use std::sync::Arc;

use engram_log_format::input::DecodeError;
use engram_log_format::{InputRef, Kind, Lane, Offset, TimestampMs};
use rkyv::util::AlignedVec;

/// What is there of a record's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PayloadState {
    /// It is as it was written.
    Whole,
    /// Another payload of the same kind has taken its place.
    Replaced,
    /// It was erased.
    Gone,
}

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
    state: PayloadState,
    bytes: Arc<AlignedVec>,
    payload: Range<usize>,
}

impl Record {
    /// Assembles a record with a whole payload from a shared buffer. The payload must start at a multiple of 16.
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
        Self { offset, timestamp, kind, schema, lane, state: PayloadState::Whole, bytes, payload }
    }

    /// The record, said to be in another state than whole.
    #[must_use]
    pub(crate) fn with_state(self, state: PayloadState) -> Self {
        assert!(state != PayloadState::Gone || self.payload.is_empty(), "nothing is there of a payload that is gone");
        Self { state, ..self }
    }

    /// The record after an erasure: with `replacement` in the payload's place, or without payload. What is gone stays
    /// gone.
    #[must_use]
    pub fn erased(&self, replacement: Option<&[u8]>) -> Self {
        let replacement = replacement.filter(|_| self.state != PayloadState::Gone);
        let mut bytes = AlignedVec::new();
        bytes.extend_from_slice(replacement.unwrap_or_default());
        let state = if replacement.is_some() { PayloadState::Replaced } else { PayloadState::Gone };
        Self { state, payload: 0..bytes.len(), bytes: Arc::new(bytes), ..self.clone() }
    }

    /// What is there of the payload.
    pub fn state(&self) -> PayloadState {
        self.state
    }

    /// The payload's bytes. Empty if it was erased.
    pub fn payload(&self) -> &[u8] {
        &self.bytes[self.payload.clone()]
    }

    /// The payload, validated and read in place. An error of its own if it was erased.
    pub fn input(&self) -> Result<InputRef<'_>, DecodeError> {
        if self.state == PayloadState::Gone {
            return Err(DecodeError::Erased { kind: self.kind });
        }
        InputRef::decode(self.kind, self.schema, self.payload())
    }
}

impl std::fmt::Debug for Record {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:?} {:?} {} bytes", self.offset, self.kind, self.payload.len())
    }
}
