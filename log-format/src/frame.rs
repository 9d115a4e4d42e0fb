//! The commit frame: what one group commit wrote to one lane, whole appends only.
//!
//! ```text
//!  0             4                     8              12     16                 32
//!  ├ frame bytes ┼ frame bytes ^ MASK ┼ record count ┼ link ┼ checksum (16)    ┼ records …
//! ```
//!
//! The checksum is BLAKE3, keyed with the segment's digest and cut to 16 bytes, over bytes 0..16 and
//! every record header, that of a replacement included. The headers hold the digests of their payloads, so it covers
//! everything but padding, which must be zero. The key keeps frames of other segments, and bytes that somebody
//! has sent as a message, from being taken for a frame of this one.

use rkyv::util::AlignedVec;

use crate::bytes::{array_at, put, u32_at};
use crate::input::Input;
use crate::record::{self, ALIGNMENT, Chain, Change, HEADER_BYTES, RecordError, RecordFields, RecordHeader};
use crate::types::{Offset, TimestampMs};

/// Bytes of a frame header.
pub const FRAME_HEADER_BYTES: usize = 32;
/// The largest frame, an oversize append included.
pub const FRAME_BYTES_MAX: usize = 1 << 30;

/// What a draft reserves at first: a message fits, so that most appends are one allocation.
const DRAFT_BYTES: usize = 1024;

/// `length ^ MASK` beside the length: tells a frame from zeros, and a damaged length from a good one.
const MASK: u32 = u32::from_le_bytes(*b"ENGR");
const COUNT_AT: usize = 8;
const LINK_AT: usize = 12;
const CHECKSUM_AT: usize = 16;

/// The digest of a segment's header: the key of its frames' checksums.
pub type SegmentKey = [u8; 32];

/// What is wrong with a frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// No frame begins here: the length and its check disagree, or are no possible length.
    #[error("no frame begins here")]
    NotAFrame,
    /// The frame is longer than what is there.
    #[error("a frame of {needed} bytes and {present} are there")]
    Short {
        /// What it needs.
        needed: usize,
        /// What is there.
        present: usize,
    },
    /// The frame's header or a record's header differs from what was written.
    #[error("the frame's checksum does not match")]
    Checksum,
    /// The records do not fill the frame exactly, or their offsets do not ascend.
    #[error("the frame's records do not fit: {0}")]
    Layout(&'static str),
    /// A record does not verify.
    #[error("record {index} of the frame, at byte {position} of it: {source}")]
    Record {
        /// Which one, from zero.
        index: u32,
        /// Where it begins, from the frame's start.
        position: usize,
        /// What is wrong.
        source: RecordError,
    },
    /// The frame does not follow the one before it: something between them is missing or was exchanged.
    #[error("the frame does not continue the chain of the records before it")]
    Link,
}

/// The records of one append, encoded where they will lie in a frame, before their offsets are known.
#[derive(Debug)]
pub struct Draft {
    bytes: AlignedVec,
    positions: Vec<u32>,
}

impl Draft {
    /// An empty one, with the place of a frame header: alone, it becomes a frame without being copied.
    pub fn new() -> Self {
        let mut bytes = AlignedVec::with_capacity(DRAFT_BYTES);
        bytes.resize(FRAME_HEADER_BYTES, 0);
        Self { bytes, positions: Vec::new() }
    }

    /// Adds a record. Returns the length of its payload.
    pub fn push(&mut self, input: &Input) -> usize {
        let start = self.bytes.len();
        self.positions.push(u32::try_from(start).expect("an append is shorter than a frame can be"));
        let bytes = std::mem::replace(&mut self.bytes, AlignedVec::new());
        self.bytes = record::draft(bytes, input.kind(), input.schema(), |bytes| input.encode_onto(bytes));
        u32_at(&self.bytes, start + record::LENGTH_AT) as usize
    }

    /// Number of records.
    pub fn records(&self) -> usize {
        self.positions.len()
    }

    /// Bytes that its records take in a frame.
    pub fn bytes(&self) -> usize {
        self.bytes.len() - FRAME_HEADER_BYTES
    }
}

impl Default for Draft {
    fn default() -> Self {
        Self::new()
    }
}

/// Collects whole appends and makes a frame of them.
#[derive(Debug)]
pub struct FrameBuilder {
    bytes: AlignedVec,
    positions: Vec<u32>,
    last: Offset,
}

/// A finished frame.
#[derive(Debug)]
pub struct Frame {
    /// Its bytes.
    pub bytes: AlignedVec,
    /// Where each record begins, from the frame's start.
    pub positions: Vec<u32>,
}

impl FrameBuilder {
    /// An empty frame with room for `bytes`.
    pub fn with_capacity(bytes: usize) -> Self {
        let mut buffer = AlignedVec::with_capacity(bytes.max(FRAME_HEADER_BYTES));
        buffer.resize(FRAME_HEADER_BYTES, 0);
        Self { bytes: buffer, positions: Vec::new(), last: Offset::ZERO }
    }

    /// Whether it holds no record.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// Adds a record.
    pub fn push(&mut self, fields: &RecordFields, payload: &[u8]) {
        assert!(fields.offset > self.last, "offsets ascend");
        self.last = fields.offset;
        self.positions.push(self.bytes.len() as u32);
        record::push(&mut self.bytes, fields, payload);
    }

    /// Adds an append: its records get their offsets, their time and their digests.
    pub fn append(&mut self, draft: Draft, first: Offset, timestamp: TimestampMs) {
        assert!(first > self.last && draft.records() > 0, "offsets ascend, and an append has records");
        let (known, start) = (self.positions.len(), self.bytes.len());
        if known == 0 && self.bytes.capacity() <= draft.bytes.len() {
            self.bytes = draft.bytes;
            self.positions = draft.positions;
        } else {
            self.bytes.extend_from_slice(&draft.bytes[FRAME_HEADER_BYTES..]);
            let moved = (start - FRAME_HEADER_BYTES) as u32;
            self.positions.extend(draft.positions.iter().map(|position| position + moved));
        }
        for at in known..self.positions.len() {
            let record = &mut self.bytes[self.positions[at] as usize..];
            self.last = Offset(first.0 + (at - known) as u64);
            record::stamp(record, self.last, timestamp, at + 1 == self.positions.len());
        }
    }

    /// Seals the frame, and moves the chain past its records.
    pub fn finish(self, key: &SegmentKey, chain: &mut Chain) -> Frame {
        let Self { bytes, positions, .. } = self;
        let frame = seal(bytes, positions, key, chain.link());
        for position in &frame.positions {
            *chain = chain.after(&frame.bytes[*position as usize..]);
        }
        frame
    }
}

/// Writes the header of a frame whose records are complete.
fn seal(mut bytes: AlignedVec, positions: Vec<u32>, key: &SegmentKey, link: u32) -> Frame {
    assert!(!positions.is_empty(), "a frame holds at least one record");
    assert!(bytes.len() <= FRAME_BYTES_MAX, "the writer keeps to the limits of an append");
    let length = bytes.len() as u32;
    put(&mut bytes, 0, &length.to_le_bytes());
    put(&mut bytes, 4, &(length ^ MASK).to_le_bytes());
    put(&mut bytes, COUNT_AT, &(positions.len() as u32).to_le_bytes());
    put(&mut bytes, LINK_AT, &link.to_le_bytes());
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(&bytes[..CHECKSUM_AT]);
    for position in &positions {
        let record = &bytes[*position as usize..];
        let header = RecordHeader::parse(record).expect("it was just encoded");
        hasher.update(&record[..header.header_bytes()]);
    }
    let checksum = hasher.finalize();
    put(&mut bytes, CHECKSUM_AT, &checksum.as_bytes()[..16]);
    Frame { bytes, positions }
}

/// Copies the frame that begins at `bytes`, with the payloads changed for which `change` says so. Verifies it before,
/// and moves the chain past it: the chain is the same for the copy.
pub fn rewrite<'a>(
    bytes: &[u8],
    key: &SegmentKey,
    chain: &mut Chain,
    mut change: impl FnMut(&RecordHeader) -> Option<Change<'a>>,
) -> Result<Frame, FrameError> {
    let mut records = Vec::new();
    let length = verify(bytes, key, Some(chain), |record| records.push(record))?;
    let mut copy = AlignedVec::with_capacity(length);
    copy.resize(FRAME_HEADER_BYTES, 0);
    let mut positions = Vec::with_capacity(records.len());
    for FrameRecord { position, header } in &records {
        positions.push(copy.len() as u32);
        let record = &bytes[*position..position + header.record_bytes()];
        match change(header) {
            Some(change) => record::push_changed(&mut copy, record, header, change),
            None => copy.extend_from_slice(record),
        }
    }
    Ok(seal(copy, positions, key, u32_at(bytes, LINK_AT)))
}

/// The length of the frame that begins at `bytes`, if one seems to: nothing else is checked.
pub fn frame_bytes(bytes: &[u8]) -> Result<usize, FrameError> {
    if bytes.len() < FRAME_HEADER_BYTES {
        return Err(FrameError::Short { needed: FRAME_HEADER_BYTES, present: bytes.len() });
    }
    let length = u32_at(bytes, 0);
    let plausible = length as usize >= FRAME_HEADER_BYTES + HEADER_BYTES
        && length as usize <= FRAME_BYTES_MAX
        && (length as usize).is_multiple_of(ALIGNMENT);
    if !plausible || length ^ MASK != u32_at(bytes, 4) {
        return Err(FrameError::NotAFrame);
    }
    Ok(length as usize)
}

/// Whether anywhere inside of the frame `bytes` something looks like the beginning of a frame: what somebody has
/// planted.
pub fn has_what_looks_like_one(bytes: &[u8]) -> bool {
    let places = (ALIGNMENT..bytes.len()).step_by(ALIGNMENT);
    places.map(|at| &bytes[at..]).any(|inner| inner.len() >= FRAME_HEADER_BYTES && frame_bytes(inner).is_ok())
}

/// One verified record of a frame.
#[derive(Clone, Debug)]
pub struct FrameRecord {
    /// Where its header begins, from the frame's start.
    pub position: usize,
    /// Its header.
    pub header: RecordHeader,
}

/// Verifies the frame that begins at `bytes`, every byte of it, and returns its length.
///
/// With a chain also that it follows the records before it; the chain is moved past its records then.
/// Calls `each` for every record; if the result is an error, what `each` saw is void.
pub fn verify(
    bytes: &[u8],
    key: &SegmentKey,
    chain: Option<&mut Chain>,
    mut each: impl FnMut(FrameRecord),
) -> Result<usize, FrameError> {
    let length = frame_bytes(bytes)?;
    if bytes.len() < length {
        return Err(FrameError::Short { needed: length, present: bytes.len() });
    }
    let bytes = &bytes[..length];
    check_shape(bytes, key)?;
    let mut following = chain.as_deref().copied();
    if following.is_some_and(|chain| chain.link() != u32_at(bytes, LINK_AT)) {
        return Err(FrameError::Link);
    }
    let mut position = FRAME_HEADER_BYTES;
    for index in 0..u32_at(bytes, COUNT_AT) {
        let record = &bytes[position..];
        let header = record::check(record).map_err(|source| FrameError::Record { index, position, source })?;
        following = following.map(|chain| chain.after(record));
        let next = position + header.record_bytes();
        each(FrameRecord { position, header });
        position = next;
    }
    if let (Some(chain), Some(following)) = (chain, following) {
        *chain = following;
    }
    Ok(length)
}

/// Checks the checksum, and that the records fill the frame with ascending offsets.
fn check_shape(bytes: &[u8], key: &SegmentKey) -> Result<(), FrameError> {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(&bytes[..CHECKSUM_AT]);
    let mut position = FRAME_HEADER_BYTES;
    let mut last = Offset::ZERO;
    let mut ends_append = false;
    for _ in 0..u32_at(bytes, COUNT_AT) {
        let Some(record) = bytes.get(position..).filter(|rest| rest.len() >= HEADER_BYTES) else {
            return Err(FrameError::Layout("more records are counted than fit"));
        };
        // Before the checksum is known to match, nobody can say which of the headers is wrong.
        let header = RecordHeader::parse(record).map_err(|_| FrameError::Layout("a record header is not possible"))?;
        hasher.update(&record[..header.header_bytes()]);
        if header.offset <= last {
            return Err(FrameError::Layout("offsets do not ascend"));
        }
        last = header.offset;
        ends_append = header.ends_append;
        position += header.record_bytes();
    }
    if hasher.finalize().as_bytes()[..16] != array_at::<16>(bytes, CHECKSUM_AT) {
        return Err(FrameError::Checksum);
    }
    if position != bytes.len() {
        return Err(FrameError::Layout("the records do not end where the frame does"));
    }
    if !ends_append {
        return Err(FrameError::Layout("the last append is not complete"));
    }
    Ok(())
}
