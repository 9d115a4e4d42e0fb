//! The segment: a header, frames, and once it is sealed an index and a footer.
//!
//! ```text
//!  ├ header (128) ┼ frame ┼ frame ┼ … ┼ zeros …                          while it is written
//!  ├ header (128) ┼ frame ┼ frame ┼ … ┼ index (8 × records) ┼ footer (256) ┤   sealed: the file ends here
//! ```

use crate::bytes::{array_at, put, u16_at, u32_at, u64_at};
use crate::frame::SegmentKey;
use crate::record::{ALIGNMENT, Chain};
use crate::types::{Lane, Offset, TimestampMs};

/// Bytes of a segment header.
pub const SEGMENT_HEADER_BYTES: usize = 128;
/// Bytes of a footer.
pub const FOOTER_BYTES: usize = 256;
/// Bytes of an index entry.
pub const INDEX_ENTRY_BYTES: usize = 8;
/// Segments are allocated in multiples of this.
pub const ALLOCATION_UNIT: u64 = 4096;
/// The version of the format that this crate writes and reads.
pub const FORMAT_VERSION: u16 = 1;

/// Where frames end at the latest: what an index entry can address.
pub const FRAMES_END_MAX: u64 = (FIRST_OF_FRAME as u64) * ALIGNMENT as u64;
/// How far above its segment's base an offset can be: what an index entry has room for.
pub const OFFSET_SPAN_MAX: u64 = u32::MAX as u64;

const HEADER_MAGIC: [u8; 8] = *b"ENGRAMSG";
const FOOTER_MAGIC: [u8; 8] = *b"ENGRAMFT";
const FIRST_OF_FRAME: u32 = 1 << 31;

/// The header of a segment: on stable storage before the first frame is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The lane.
    pub lane: Lane,
    /// The log: random, made when it was created.
    pub log_id: [u8; 16],
    /// No record of this segment has a lower offset. The file is named by it.
    pub base: Offset,
    /// The base of the segment before it in its lane; zero if there was none.
    pub previous: Offset,
    /// Offsets below may have been shown to somebody.
    pub lease_below: Offset,
    /// When the segment was begun.
    pub created: TimestampMs,
    /// Length of the file while it is written: a multiple of [`ALLOCATION_UNIT`].
    pub allocated_bytes: u64,
    /// The chain before its first record.
    pub chain: Chain,
}

/// What is wrong with a header, a footer or an index.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    /// Fewer bytes than a header or a footer has.
    #[error("the file is too short: {0} bytes")]
    Short(usize),
    /// The file does not begin like a segment, or end like a sealed one.
    #[error("the {0} has no magic number")]
    Magic(&'static str),
    /// Written by another version of the software.
    #[error("format version {0} is not known to this version of the software, which reads {FORMAT_VERSION}")]
    Version(u16),
    /// The digest does not match.
    #[error("the digest of the {0} does not match its bytes")]
    Digest(&'static str),
    /// A field has a value that no writer produces.
    #[error("the {0} is not a possible value")]
    Field(&'static str),
}

impl SegmentHeader {
    /// Its bytes, the last 32 of which are its digest.
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        put(&mut bytes, 0, &HEADER_MAGIC);
        put(&mut bytes, 8, &FORMAT_VERSION.to_le_bytes());
        bytes[10] = match self.lane {
            Lane::Journal => 0,
            Lane::Ephemeral => 1,
        };
        assert!(self.allocated_bytes.is_multiple_of(ALLOCATION_UNIT), "segments are allocated in whole units");
        let units = u32::try_from(self.allocated_bytes / ALLOCATION_UNIT).expect("segments are shorter than 16 TiB");
        put(&mut bytes, 12, &units.to_le_bytes());
        put(&mut bytes, 16, &self.log_id);
        put(&mut bytes, 32, &self.base.0.to_le_bytes());
        put(&mut bytes, 40, &self.previous.0.to_le_bytes());
        put(&mut bytes, 48, &self.lease_below.0.to_le_bytes());
        put(&mut bytes, 56, &self.created.0.to_le_bytes());
        put(&mut bytes, 64, &self.chain.0);
        let digest = blake3::hash(&bytes[..96]);
        put(&mut bytes, 96, digest.as_bytes());
        bytes
    }

    /// Reads and checks a header.
    pub fn decode(bytes: &[u8]) -> Result<Self, SegmentError> {
        if bytes.len() < SEGMENT_HEADER_BYTES {
            return Err(SegmentError::Short(bytes.len()));
        }
        if bytes[..8] != HEADER_MAGIC {
            return Err(SegmentError::Magic("segment header"));
        }
        if blake3::hash(&bytes[..96]).as_bytes() != &array_at::<32>(bytes, 96) {
            return Err(SegmentError::Digest("segment header"));
        }
        // After the digest: a version that rot made up must not be reported as a newer version.
        let version = u16_at(bytes, 8);
        if version != FORMAT_VERSION {
            return Err(SegmentError::Version(version));
        }
        let lane = match bytes[10] {
            0 => Lane::Journal,
            1 => Lane::Ephemeral,
            _ => return Err(SegmentError::Field("lane")),
        };
        if bytes[11] != 0 {
            return Err(SegmentError::Field("reserved part of the header"));
        }
        Ok(Self {
            lane,
            log_id: array_at(bytes, 16),
            base: Offset(u64_at(bytes, 32)),
            previous: Offset(u64_at(bytes, 40)),
            lease_below: Offset(u64_at(bytes, 48)),
            created: TimestampMs(u64_at(bytes, 56)),
            allocated_bytes: u64::from(u32_at(bytes, 12)) * ALLOCATION_UNIT,
            chain: Chain(array_at(bytes, 64)),
        })
    }

    /// The key of this segment's checksums: its header's digest.
    pub fn key(&self) -> SegmentKey {
        array_at(&self.encode(), 96)
    }
}

/// Where a record is: one entry of a segment's index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// The record's offset minus the segment's base.
    pub delta: u32,
    place: u32,
}

impl IndexEntry {
    /// The entry of a record whose header begins at byte `position` of the segment.
    pub fn new(base: Offset, offset: Offset, position: u64, first_of_frame: bool) -> Self {
        let delta = offset.0.checked_sub(base.0).expect("no record lies below its segment's base");
        assert!(position.is_multiple_of(ALIGNMENT as u64), "records are aligned");
        let place = u32::try_from(position / ALIGNMENT as u64).expect("segments are shorter than 32 GiB");
        assert!(place & FIRST_OF_FRAME == 0, "segments are shorter than 32 GiB");
        Self {
            delta: u32::try_from(delta).expect("a segment spans fewer than 2^32 offsets"),
            place: place | if first_of_frame { FIRST_OF_FRAME } else { 0 },
        }
    }

    /// Where the record's header begins, in bytes from the segment's start.
    pub fn position(self) -> u64 {
        u64::from(self.place & !FIRST_OF_FRAME) * ALIGNMENT as u64
    }

    /// Whether it is the first record of its frame, whose header lies right before it.
    pub fn is_first_of_frame(self) -> bool {
        self.place & FIRST_OF_FRAME != 0
    }
}

/// The bytes of an index.
pub fn encode_index(entries: &[IndexEntry]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries.len() * INDEX_ENTRY_BYTES);
    for entry in entries {
        bytes.extend_from_slice(&entry.delta.to_le_bytes());
        bytes.extend_from_slice(&entry.place.to_le_bytes());
    }
    bytes
}

/// Reads the index that `footer` vouches for.
pub fn decode_index(bytes: &[u8], footer: &Footer) -> Result<Vec<IndexEntry>, SegmentError> {
    if bytes.len() != footer.index_bytes() || blake3::hash(bytes).as_bytes() != &footer.index_digest {
        return Err(SegmentError::Digest("record index"));
    }
    let entry = |chunk: &[u8]| IndexEntry { delta: u32_at(chunk, 0), place: u32_at(chunk, 4) };
    let entries: Vec<IndexEntry> = bytes.chunks_exact(INDEX_ENTRY_BYTES).map(entry).collect();
    // Whoever reads a record makes room for what lies between two entries.
    let ascend = entries.is_sorted_by(|one, two| one.delta < two.delta && one.position() < two.position());
    // Whoever looks for the frame of a record goes back to the first of that frame.
    let begins = entries.first().is_none_or(|entry| entry.is_first_of_frame());
    let first = entries.first().map_or(SEGMENT_HEADER_BYTES as u64, |entry| entry.position());
    let last = entries.last().map_or(0, |entry| entry.position());
    if !ascend || !begins || first < SEGMENT_HEADER_BYTES as u64 || last >= footer.frames_end.max(1) {
        return Err(SegmentError::Field("place of a record"));
    }
    Ok(entries)
}

/// The footer of a sealed segment: the last bytes of its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footer {
    /// Number of records.
    pub records: u32,
    /// Number of frames.
    pub frames: u32,
    /// Where the frames end and the index begins.
    pub frames_end: u64,
    /// Offset of the first record; zero if there is none.
    pub first: Offset,
    /// Offset of the last record; zero if there is none.
    pub last: Offset,
    /// Time of the first record.
    pub first_timestamp: TimestampMs,
    /// Time of the last record.
    pub last_timestamp: TimestampMs,
    /// The chain after the last record.
    pub chain: Chain,
    /// BLAKE3 of the index.
    pub index_digest: [u8; 32],
    /// Space for an Ed25519 signature by the server's key; zeros while there is none.
    pub signature: [u8; 64],
    /// The public key of the signature; zeros while there is none.
    pub signer: [u8; 32],
}

impl Footer {
    /// Its bytes, the last 32 of which are their digest, keyed with the segment's.
    pub fn encode(&self, key: &SegmentKey) -> [u8; FOOTER_BYTES] {
        let mut bytes = [0; FOOTER_BYTES];
        put(&mut bytes, 0, &FOOTER_MAGIC);
        put(&mut bytes, 8, &self.records.to_le_bytes());
        put(&mut bytes, 12, &self.frames.to_le_bytes());
        put(&mut bytes, 16, &self.frames_end.to_le_bytes());
        put(&mut bytes, 24, &self.first.0.to_le_bytes());
        put(&mut bytes, 32, &self.last.0.to_le_bytes());
        put(&mut bytes, 40, &self.first_timestamp.0.to_le_bytes());
        put(&mut bytes, 48, &self.last_timestamp.0.to_le_bytes());
        put(&mut bytes, 64, &self.chain.0);
        put(&mut bytes, 96, &self.index_digest);
        put(&mut bytes, 128, &self.signature);
        put(&mut bytes, 192, &self.signer);
        let digest = blake3::keyed_hash(key, &bytes[..224]);
        put(&mut bytes, 224, digest.as_bytes());
        bytes
    }

    /// Reads and checks the footer in the last bytes of a file.
    pub fn decode(bytes: &[u8], key: &SegmentKey) -> Result<Self, SegmentError> {
        if bytes.len() < FOOTER_BYTES {
            return Err(SegmentError::Short(bytes.len()));
        }
        let bytes = &bytes[bytes.len() - FOOTER_BYTES..];
        if bytes[..8] != FOOTER_MAGIC {
            return Err(SegmentError::Magic("footer"));
        }
        if blake3::keyed_hash(key, &bytes[..224]).as_bytes() != &array_at::<32>(bytes, 224) {
            return Err(SegmentError::Digest("footer"));
        }
        if bytes[56..64].iter().any(|byte| *byte != 0) {
            return Err(SegmentError::Field("reserved part of the footer"));
        }
        if u64_at(bytes, 16) > FRAMES_END_MAX {
            return Err(SegmentError::Field("end of the frames"));
        }
        Ok(Self {
            records: u32_at(bytes, 8),
            frames: u32_at(bytes, 12),
            frames_end: u64_at(bytes, 16),
            first: Offset(u64_at(bytes, 24)),
            last: Offset(u64_at(bytes, 32)),
            first_timestamp: TimestampMs(u64_at(bytes, 40)),
            last_timestamp: TimestampMs(u64_at(bytes, 48)),
            chain: Chain(array_at(bytes, 64)),
            index_digest: array_at(bytes, 96),
            signature: array_at(bytes, 128),
            signer: array_at(bytes, 192),
        })
    }

    /// Whether both end the same records, of which an erasure may have changed payloads, and so where they lie.
    pub fn is_rewrite_of(&self, other: &Self) -> bool {
        let same = |footer: &Self| Self {
            frames_end: 0,
            index_digest: [0; 32],
            signature: [0; 64],
            signer: [0; 32],
            ..footer.clone()
        };
        same(self) == same(other)
    }

    /// Bytes of the index before it.
    pub fn index_bytes(&self) -> usize {
        self.records as usize * INDEX_ENTRY_BYTES
    }

    /// Length of the sealed file.
    pub fn file_bytes(&self) -> u64 {
        self.frames_end + (self.index_bytes() + FOOTER_BYTES) as u64
    }

    /// What a signature is made over: the footer up to the signature, and the segment it belongs to.
    pub fn signed_bytes(&self, key: &SegmentKey) -> [u8; 160] {
        let mut bytes = [0; 160];
        put(&mut bytes, 0, key);
        put(&mut bytes, 32, &self.encode(key)[..128]);
        bytes
    }
}
