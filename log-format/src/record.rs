//! The record header: 64 bytes before every payload, and the chain that runs over them.
//!
//! ```text
//!  0        4                  36       40       48         56     58     60    62    64
//!  ├ stored ┼ digest (32)      ┼ length ┼ offset ┼ timestamp ┼ kind ┼schema┼flags┼ 0  ┼ payload … ┼ 0…
//!           └──────────────── the chain covers 4..64 ───────────────────────────┘
//!                              └─────────── the digest covers 36..64 and the payload ───┘
//! ```
//!
//! The digest covers the fields beside the payload, so that a record read alone proves itself; the
//! chain covers the digest and not the payload, so that it survives the payload's erasure.
//! `stored` alone is outside both: it is what an erasure changes. Where another payload has taken the place of the one
//! that was written, its own digest and length lie between the header and it:
//!
//! ```text
//!  64                  96       100    112
//!  ┼ digest (32)       ┼ length ┼ 0    ┼ replacement … ┼ 0…
//! ```

use std::ops::Range;

use rkyv::util::AlignedVec;

use crate::bytes::{array_at, put, u16_at, u32_at, u64_at};
use crate::types::{Kind, Lane, Offset, TimestampMs};

/// Bytes of a record header.
pub const HEADER_BYTES: usize = 64;
/// Frames, record headers and payloads start at multiples of this.
pub const ALIGNMENT: usize = 16;
/// The largest payload: far below what an archive with 32-bit pointers can hold.
pub const PAYLOAD_BYTES_MAX: usize = 64 << 20;

const DIGEST_AT: usize = 4;
pub(crate) const LENGTH_AT: usize = 36;
const OFFSET_AT: usize = 40;
const TIMESTAMP_AT: usize = 48;
const KIND_AT: usize = 56;
const SCHEMA_AT: usize = 58;
const FLAGS_AT: usize = 60;
const RESERVED_AT: usize = 62;

const FLAG_ENDS_APPEND: u16 = 1;
const STORED_WHOLE: u32 = 0;
/// Far from zero, so that no single flipped bit makes a payload look erased.
const STORED_ERASED: u32 = u32::from_le_bytes(*b"GONE");

const STORED_REPLACED: u32 = u32::from_le_bytes(*b"REPL");

/// Bytes between the header of a replaced record and the replacement.
pub const REPLACEMENT_HEADER_BYTES: usize = 48;
const REPLACEMENT_LENGTH_AT: usize = HEADER_BYTES + 32;
const REPLACEMENT_RESERVED_AT: usize = HEADER_BYTES + 36;

/// What is still there of the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// The payload follows the header.
    Whole,
    /// Another payload has taken its place; the digest of the one that was written stays.
    Replaced(Replacement),
    /// The payload was erased: no bytes follow the header, its digest stays.
    Erased,
}

/// What has taken the place of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replacement {
    /// See [`RecordFields::replacement_digest`].
    pub digest: [u8; 32],
    /// Its length.
    pub bytes: u32,
}

/// What becomes of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// These bytes take its place.
    Replace(&'a [u8]),
    /// It goes.
    Erase,
}

/// A record's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// Whether the payload is still there.
    pub stored: Stored,
    /// BLAKE3 over the fields below and the payload.
    pub digest: [u8; 32],
    /// Length of the payload as it was written.
    pub payload_bytes: u32,
    /// Position in the one order of the node.
    pub offset: Offset,
    /// When it was appended.
    pub timestamp: TimestampMs,
    /// What the payload is.
    pub kind: Kind,
    /// Version of the payload's type.
    pub schema: u16,
    /// Whether this is the last record of its atomic append.
    pub ends_append: bool,
}

/// What a writer says about a record; the rest of the header follows from the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordFields {
    /// Position in the one order of the node.
    pub offset: Offset,
    /// When it was appended.
    pub timestamp: TimestampMs,
    /// What the payload is.
    pub kind: Kind,
    /// Version of the payload's type.
    pub schema: u16,
    /// Whether this is the last record of its atomic append.
    pub ends_append: bool,
}

/// What is wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Fewer bytes than the record needs.
    #[error("a record needs {needed} bytes and {present} are there")]
    Short {
        /// What it needs.
        needed: usize,
        /// What is there.
        present: usize,
    },
    /// The header has a value that no writer of this version produces.
    #[error("the record header's {0} is not a value of this format version")]
    Header(&'static str),
    /// Header or payload differ from what was written.
    #[error("the digest of record {offset} does not match its bytes")]
    Digest {
        /// The offset that the header names, which may be damaged itself.
        offset: Offset,
    },
    /// The bytes that fill up to the alignment are not zero.
    #[error("the padding after record {offset} is not zero")]
    Padding {
        /// The record's offset.
        offset: Offset,
    },
}

impl RecordHeader {
    /// Reads a header. Says nothing about whether it is what was written: see [`check`].
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.len() < HEADER_BYTES {
            return Err(RecordError::Short { needed: HEADER_BYTES, present: bytes.len() });
        }
        let stored = match u32_at(bytes, 0) {
            STORED_WHOLE => Stored::Whole,
            STORED_ERASED => Stored::Erased,
            STORED_REPLACED => Stored::Replaced(Replacement::parse(bytes)?),
            _ => return Err(RecordError::Header("storage state")),
        };
        let flags = u16_at(bytes, FLAGS_AT);
        if flags & !FLAG_ENDS_APPEND != 0 {
            return Err(RecordError::Header("flags"));
        }
        if u16_at(bytes, RESERVED_AT) != 0 {
            return Err(RecordError::Header("reserved field"));
        }
        let payload_bytes = u32_at(bytes, LENGTH_AT);
        if payload_bytes as usize > PAYLOAD_BYTES_MAX {
            return Err(RecordError::Header("payload length"));
        }
        Ok(Self {
            stored,
            digest: array_at(bytes, DIGEST_AT),
            payload_bytes,
            offset: Offset(u64_at(bytes, OFFSET_AT)),
            timestamp: TimestampMs(u64_at(bytes, TIMESTAMP_AT)),
            kind: Kind(u16_at(bytes, KIND_AT)),
            schema: u16_at(bytes, SCHEMA_AT),
            ends_append: flags & FLAG_ENDS_APPEND != 0,
        })
    }

    /// Bytes of payload that are there.
    pub fn stored_bytes(&self) -> usize {
        match self.stored {
            Stored::Whole => self.payload_bytes as usize,
            Stored::Replaced(replacement) => replacement.bytes as usize,
            Stored::Erased => 0,
        }
    }

    /// Bytes before the payload: this header, and that of a replacement. The frame's checksum covers them.
    pub fn header_bytes(&self) -> usize {
        match self.stored {
            Stored::Replaced(_) => HEADER_BYTES + REPLACEMENT_HEADER_BYTES,
            Stored::Whole | Stored::Erased => HEADER_BYTES,
        }
    }

    /// Where the payload lies, from the record's start.
    pub fn payload_range(&self) -> Range<usize> {
        self.header_bytes()..self.header_bytes() + self.stored_bytes()
    }

    /// Bytes from this header to the next.
    pub fn record_bytes(&self) -> usize {
        self.header_bytes() + self.stored_bytes().next_multiple_of(ALIGNMENT)
    }

    /// What a writer has said about the record.
    pub fn fields(&self) -> RecordFields {
        RecordFields {
            offset: self.offset,
            timestamp: self.timestamp,
            kind: self.kind,
            schema: self.schema,
            ends_append: self.ends_append,
        }
    }
}

impl Replacement {
    fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        let needed = HEADER_BYTES + REPLACEMENT_HEADER_BYTES;
        if bytes.len() < needed {
            return Err(RecordError::Short { needed, present: bytes.len() });
        }
        if bytes[REPLACEMENT_RESERVED_AT..needed].iter().any(|byte| *byte != 0) {
            return Err(RecordError::Header("reserved part of the replacement's header"));
        }
        let replacement = Self { digest: array_at(bytes, HEADER_BYTES), bytes: u32_at(bytes, REPLACEMENT_LENGTH_AT) };
        if replacement.bytes as usize > PAYLOAD_BYTES_MAX {
            return Err(RecordError::Header("replacement's length"));
        }
        Ok(replacement)
    }
}

impl RecordFields {
    /// Bytes 36..64 of the record's header, in which `payload_bytes` is the length of the payload as it was written.
    fn encode(&self, payload_bytes: u32) -> [u8; HEADER_BYTES - LENGTH_AT] {
        let mut bytes = [0; HEADER_BYTES];
        put(&mut bytes, LENGTH_AT, &payload_bytes.to_le_bytes());
        put(&mut bytes, OFFSET_AT, &self.offset.0.to_le_bytes());
        put(&mut bytes, TIMESTAMP_AT, &self.timestamp.0.to_le_bytes());
        put(&mut bytes, KIND_AT, &self.kind.0.to_le_bytes());
        put(&mut bytes, SCHEMA_AT, &self.schema.to_le_bytes());
        put(&mut bytes, FLAGS_AT, &u16::from(self.ends_append).to_le_bytes());
        array_at(&bytes, LENGTH_AT)
    }

    /// The digest of a replacement for this record's payload, which was `payload_bytes` long: BLAKE3 over what the
    /// record's own digest covers, with the replacement in the payload's place. So it stands for this record and no
    /// other.
    pub fn replacement_digest(&self, payload_bytes: u32, replacement: &[u8]) -> [u8; 32] {
        digest_of_replacement(&self.encode(payload_bytes), replacement)
    }
}

fn digest_of_replacement(fields: &[u8], replacement: &[u8]) -> [u8; 32] {
    *blake3::Hasher::new().update(fields).update(replacement).finalize().as_bytes()
}

/// Bytes that a record with a payload of this length takes in a frame.
pub const fn record_bytes(payload_bytes: usize) -> usize {
    HEADER_BYTES + payload_bytes.next_multiple_of(ALIGNMENT)
}

/// Appends a record, its digest computed, its payload padded, to `frame`.
pub fn push(frame: &mut AlignedVec, fields: &RecordFields, payload: &[u8]) {
    let start = frame.len();
    let buffer = std::mem::replace(frame, AlignedVec::new());
    *frame = draft(buffer, fields.kind, fields.schema, |mut buffer| {
        buffer.extend_from_slice(payload);
        buffer
    });
    stamp(&mut frame[start..], fields.offset, fields.timestamp, fields.ends_append);
    assert!(frame.len() == start + record_bytes(payload.len()), "a record has the length that was computed for it");
}

/// Appends a record whose payload `write` adds to the buffer: it is encoded where it will lie in the frame.
/// Offset, time and digest are still missing: see [`stamp`].
pub fn draft(
    mut frame: AlignedVec,
    kind: Kind,
    schema: u16,
    write: impl FnOnce(AlignedVec) -> AlignedVec,
) -> AlignedVec {
    let start = frame.len();
    assert!(start.is_multiple_of(ALIGNMENT), "records start aligned");
    frame.extend_from_slice(&[0; HEADER_BYTES]);
    let mut frame = write(frame);
    let payload_bytes = frame.len() - start - HEADER_BYTES;
    put(&mut frame, start + LENGTH_AT, &(payload_bytes as u32).to_le_bytes());
    put(&mut frame, start + KIND_AT, &kind.0.to_le_bytes());
    put(&mut frame, start + SCHEMA_AT, &schema.to_le_bytes());
    frame.extend_from_slice(&[0; ALIGNMENT][..payload_bytes.next_multiple_of(ALIGNMENT) - payload_bytes]);
    frame
}

/// Completes the drafted record that begins `record`, and computes its digest: the only pass over the payload.
pub fn stamp(record: &mut [u8], offset: Offset, timestamp: TimestampMs, ends_append: bool) {
    put(record, OFFSET_AT, &offset.0.to_le_bytes());
    put(record, TIMESTAMP_AT, &timestamp.0.to_le_bytes());
    put(record, FLAGS_AT, &u16::from(ends_append).to_le_bytes());
    let payload_bytes = u32_at(record, LENGTH_AT) as usize;
    assert!(payload_bytes <= PAYLOAD_BYTES_MAX, "the writer checks the limit before it takes an append");
    let payload_end = HEADER_BYTES + payload_bytes;
    let digest = blake3::hash(&record[LENGTH_AT..payload_end]);
    put(record, DIGEST_AT, digest.as_bytes());
}

/// Adds a copy of the verified record that begins `record`, with its payload changed, to `frame`. What is gone stays
/// gone.
pub fn push_changed(frame: &mut AlignedVec, record: &[u8], header: &RecordHeader, change: Change<'_>) {
    let start = frame.len();
    assert!(start.is_multiple_of(ALIGNMENT), "records start aligned");
    frame.extend_from_slice(&record[..HEADER_BYTES]);
    match change {
        Change::Replace(replacement) if header.stored != Stored::Erased => {
            assert!(replacement.len() <= PAYLOAD_BYTES_MAX, "the caller keeps to the limit");
            put(frame, start, &STORED_REPLACED.to_le_bytes());
            frame.extend_from_slice(&header.fields().replacement_digest(header.payload_bytes, replacement));
            frame.extend_from_slice(&(replacement.len() as u32).to_le_bytes());
            frame.extend_from_slice(&[0; HEADER_BYTES + REPLACEMENT_HEADER_BYTES - REPLACEMENT_RESERVED_AT]);
            frame.extend_from_slice(replacement);
            frame.extend_from_slice(
                &[0; ALIGNMENT][..replacement.len().next_multiple_of(ALIGNMENT) - replacement.len()],
            );
        }
        Change::Replace(_) | Change::Erase => put(frame, start, &STORED_ERASED.to_le_bytes()),
    }
    assert!(frame.len().is_multiple_of(ALIGNMENT), "records end aligned");
}

/// Checks a record that starts at `bytes`, payload and padding included, and returns its header.
///
/// Of an erased record nothing but the shape can be checked here: the chain vouches for its header. Of a replaced one
/// the replacement and the fields beside it are checked, and not the digest of what was written, for which the chain
/// vouches.
pub fn check(bytes: &[u8]) -> Result<RecordHeader, RecordError> {
    let header = RecordHeader::parse(bytes)?;
    let needed = header.record_bytes();
    if bytes.len() < needed {
        return Err(RecordError::Short { needed, present: bytes.len() });
    }
    let payload = header.payload_range();
    let sound = match header.stored {
        Stored::Whole => blake3::hash(&bytes[LENGTH_AT..payload.end]).as_bytes() == &header.digest,
        Stored::Replaced(replacement) => {
            digest_of_replacement(&bytes[LENGTH_AT..HEADER_BYTES], &bytes[payload.clone()]) == replacement.digest
        }
        Stored::Erased => true,
    };
    if !sound {
        return Err(RecordError::Digest { offset: header.offset });
    }
    if bytes[payload.end..needed].iter().any(|byte| *byte != 0) {
        return Err(RecordError::Padding { offset: header.offset });
    }
    Ok(header)
}

/// The value of the chain after some record of a lane: it vouches for every header before it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Chain(pub [u8; 32]);

impl Chain {
    /// The value before the first record of a lane.
    pub fn start(log_id: [u8; 16], lane: Lane) -> Self {
        let context = match lane {
            Lane::Journal => "engram log v1 chain journal",
            Lane::Ephemeral => "engram log v1 chain ephemeral",
        };
        Self(blake3::derive_key(context, &log_id))
    }

    /// The value after the record whose header begins `record`.
    #[must_use]
    pub fn after(self, record: &[u8]) -> Self {
        Self(*blake3::keyed_hash(&self.0, &record[DIGEST_AT..HEADER_BYTES]).as_bytes())
    }

    /// The first four bytes, by which a frame names its predecessor.
    pub fn link(self) -> u32 {
        u32_at(&self.0, 0)
    }
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Chain({:08x}…)", self.link().swap_bytes())
    }
}
