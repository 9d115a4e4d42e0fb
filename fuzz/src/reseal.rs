//! Sets every checksum of a segment right after its bytes were changed, so that the change gets past them.
//!
//! None of the digests is a secret: this is what whoever can write to the disk can do, and what must not bring the
//! server down.

use engram_log_format::record::{ALIGNMENT, Chain, HEADER_BYTES, RecordHeader, Stored};
use engram_log_format::segment::{FOOTER_BYTES, INDEX_ENTRY_BYTES, SEGMENT_HEADER_BYTES, SegmentHeader};

const FRAME_HEADER_BYTES: usize = engram_log_format::frame::FRAME_HEADER_BYTES;
const MASK: u32 = u32::from_le_bytes(*b"ENGR");

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// A segment that continues `before`, if there is one. Returns the chain after its records, if it has a header.
pub fn segment(bytes: &mut [u8], before: Option<Chain>) -> Option<Chain> {
    if bytes.len() < SEGMENT_HEADER_BYTES {
        return None;
    }
    if let Some(before) = before {
        put(bytes, 64, &before.0);
    }
    let digest = blake3::hash(&bytes[..96]);
    put(bytes, 96, digest.as_bytes());
    let header = SegmentHeader::decode(bytes).ok()?;
    let (key, mut chain) = (header.key(), header.chain);
    let mut at = SEGMENT_HEADER_BYTES;
    while let Some(length) = frame(&mut bytes[at..], &key, &mut chain) {
        at += length;
    }
    footer(&mut bytes[SEGMENT_HEADER_BYTES..], &key);
    Some(chain)
}

/// The frame that begins `bytes`, if its length can be one. Returns that length.
pub fn frame(bytes: &mut [u8], key: &[u8; 32], chain: &mut Chain) -> Option<usize> {
    if bytes.len() < FRAME_HEADER_BYTES + HEADER_BYTES {
        return None;
    }
    let length = u32_at(bytes, 0);
    let whole = length as usize;
    if whole < FRAME_HEADER_BYTES + HEADER_BYTES || !whole.is_multiple_of(ALIGNMENT) || whole > bytes.len() {
        return None;
    }
    let bytes = &mut bytes[..whole];
    put(bytes, 4, &(length ^ MASK).to_le_bytes());
    put(bytes, 12, &chain.link().to_le_bytes());
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(&bytes[..16]);
    let mut at = FRAME_HEADER_BYTES;
    for _ in 0..u32_at(bytes, 8) {
        let Some(header) = record(&mut bytes[at..]) else { break };
        hasher.update(&bytes[at..at + header.header_bytes()]);
        *chain = chain.after(&bytes[at..at + HEADER_BYTES]);
        at += header.record_bytes();
    }
    let checksum = hasher.finalize();
    put(bytes, 16, &checksum.as_bytes()[..16]);
    Some(whole)
}

/// The record that begins `bytes`, if it fits. Returns its header, by which the frame's checksum goes.
pub fn record(bytes: &mut [u8]) -> Option<RecordHeader> {
    let header = RecordHeader::parse(bytes).ok()?;
    if header.record_bytes() > bytes.len() {
        return None;
    }
    let payload = header.payload_range();
    match header.stored {
        Stored::Whole => {
            let digest = blake3::hash(&bytes[36..payload.end]);
            put(bytes, 4, digest.as_bytes());
        }
        Stored::Replaced(_) => {
            let digest = header.fields().replacement_digest(header.payload_bytes, &bytes[payload]);
            put(bytes, HEADER_BYTES, &digest);
        }
        Stored::Erased => {}
    }
    Some(header)
}

/// The footer at the end of `bytes`, and the digest of the index before it.
pub fn footer(bytes: &mut [u8], key: &[u8; 32]) {
    let Some(start) = bytes.len().checked_sub(FOOTER_BYTES) else { return };
    if bytes[start..start + 8] != *b"ENGRAMFT" {
        return;
    }
    let index_bytes = u32_at(bytes, start + 8) as usize * INDEX_ENTRY_BYTES;
    if let Some(index) = start.checked_sub(index_bytes) {
        let digest = blake3::hash(&bytes[index..start]);
        put(bytes, start + 96, digest.as_bytes());
    }
    let digest = blake3::keyed_hash(key, &bytes[start..start + 224]);
    put(bytes, start + 224, digest.as_bytes());
}
