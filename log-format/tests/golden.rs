//! The golden files: bytes that every later version must read, and this version must write.
//!
//! `ENGRAM_GOLDEN=write cargo test -p engram-log-format` writes files that are missing. A file that
//! is there is never changed: a released format is frozen.

use std::path::PathBuf;

use engram_log_format::frame::{self, FrameBuilder};
use engram_log_format::input::{Input, InputRef, kind_name};
use engram_log_format::record::{Chain, Change, HEADER_BYTES, RecordFields, Stored};
use engram_log_format::segment::{Footer, IndexEntry, SEGMENT_HEADER_BYTES, SegmentHeader, decode_index, encode_index};
use engram_log_format::{Kind, Lane, Offset, TimestampMs, sample};
use rkyv::util::AlignedVec;

fn golden(name: &str, bytes: &[u8]) -> AlignedVec {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden").join(name);
    #[expect(clippy::disallowed_methods, reason = "a switch for whoever adds a record kind")]
    let write = std::env::var("ENGRAM_GOLDEN").is_ok_and(|value| value == "write");
    if write && !path.exists() {
        std::fs::write(&path, bytes).expect("the golden directory can be written");
    }
    let stored = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(stored == bytes, "{name}: the bytes are no longer those of the golden file");
    let mut aligned = AlignedVec::new();
    aligned.extend_from_slice(&stored);
    aligned
}

#[test]
fn every_kind_is_written_and_read_as_ever() {
    for input in sample::all() {
        let name = format!("v1-{}.bin", kind_name(input.kind()).expect("every kind has a name"));
        let stored = golden(&name, &input.encode());
        assert_eq!(InputRef::decode(input.kind(), 1, &stored).expect("valid").to_owned(), input, "{name}");
    }
}

/// The record that the golden segment has at an offset: by its kind, whatever kinds come later.
fn record_at(offset: u64) -> Input {
    let kind = match offset {
        1..=3 => Kind(offset as u16 + 1),
        _ => Kind(37),
    };
    sample::all().into_iter().find(|input| input.kind() == kind).expect("there is one of each kind")
}

/// A segment with two frames, the first of them with two appends.
fn segment() -> (SegmentHeader, Vec<u8>) {
    let log_id = *b"golden log id 01";
    let header = SegmentHeader {
        lane: Lane::Journal,
        log_id,
        base: Offset(1),
        previous: Offset::ZERO,
        lease_below: Offset(1025),
        created: TimestampMs(1_700_000_000_000),
        allocated_bytes: 4096,
        chain: Chain::start(log_id, Lane::Journal),
    };
    let mut bytes = header.encode().to_vec();
    let mut chain = header.chain;
    let mut index = Vec::new();
    for (offsets, ends) in [(1..=3_u64, [1, 3].as_slice()), (10..=10, &[10])] {
        let mut builder = FrameBuilder::with_capacity(0);
        for offset in offsets.clone() {
            let input = record_at(offset);
            let fields = RecordFields {
                offset: Offset(offset),
                timestamp: TimestampMs(1_700_000_000_000 + offset),
                kind: input.kind(),
                schema: input.schema(),
                ends_append: ends.contains(&offset),
            };
            builder.push(&fields, &input.encode());
        }
        let frame = builder.finish(&header.key(), &mut chain);
        for (number, (offset, position)) in offsets.zip(&frame.positions).enumerate() {
            let at = (bytes.len() + *position as usize) as u64;
            index.push(IndexEntry::new(header.base, Offset(offset), at, number == 0));
        }
        bytes.extend_from_slice(&frame.bytes);
    }
    let index_bytes = encode_index(&index);
    let footer = Footer {
        records: 4,
        frames: 2,
        frames_end: bytes.len() as u64,
        first: Offset(1),
        last: Offset(10),
        first_timestamp: TimestampMs(1_700_000_000_001),
        last_timestamp: TimestampMs(1_700_000_000_010),
        chain,
        index_digest: *blake3::hash(&index_bytes).as_bytes(),
        signature: [0; 64],
        signer: [0; 32],
    };
    bytes.extend_from_slice(&index_bytes);
    bytes.extend_from_slice(&footer.encode(&header.key()));
    (header, bytes)
}

#[test]
fn a_segment_is_written_and_read_as_ever() {
    let (header, bytes) = segment();
    let stored = golden("v1-segment.seg", &bytes);
    assert_eq!(SegmentHeader::decode(&stored).expect("valid"), header);
    let footer = Footer::decode(&stored, &header.key()).expect("valid");
    assert_eq!(footer.file_bytes(), stored.len() as u64);
    let frames_end = footer.frames_end as usize;
    let index = decode_index(&stored[frames_end..][..footer.index_bytes()], &footer).expect("valid");
    let mut chain = header.chain;
    let mut position = SEGMENT_HEADER_BYTES;
    let mut offsets = Vec::new();
    while position < frames_end {
        let start = position;
        let length = frame::verify(&stored[position..frames_end], &header.key(), Some(&mut chain), |record| {
            let entry = index[offsets.len()];
            assert_eq!(entry.position(), (start + record.position) as u64);
            assert_eq!(entry.is_first_of_frame(), record.position == frame::FRAME_HEADER_BYTES);
            let payload = start + record.position + HEADER_BYTES..;
            let payload = &stored[payload][..record.header.payload_bytes as usize];
            let input = InputRef::decode(record.header.kind, record.header.schema, payload).expect("valid").to_owned();
            assert_eq!(input, record_at(record.header.offset.0));
            offsets.push(record.header.offset.0);
        });
        position += length.expect("it verifies");
    }
    assert_eq!(offsets, [1, 2, 3, 10]);
    assert_eq!(chain, footer.chain);
}

/// The first frame of the golden segment, with the payload of record 1 replaced and that of record 3 gone.
#[test]
fn an_erased_frame_is_written_and_read_as_ever() {
    let (header, bytes) = segment();
    let replacement = record_at(2).encode();
    let mut chain = header.chain;
    let frame =
        frame::rewrite(&bytes[SEGMENT_HEADER_BYTES..], &header.key(), &mut chain, |record| match record.offset.0 {
            1 => Some(Change::Replace(&replacement)),
            3 => Some(Change::Erase),
            _ => None,
        });
    let stored = golden("v1-frame-erased.bin", &frame.expect("it verifies").bytes);
    let (mut after, mut seen) = (header.chain, Vec::new());
    frame::verify(&stored, &header.key(), Some(&mut after), |record| seen.push(record)).expect("it verifies");
    assert_eq!(after, chain, "the chain is what it was");
    let digest = seen[0].header.fields().replacement_digest(seen[0].header.payload_bytes, &replacement);
    assert!(matches!(seen[0].header.stored, Stored::Replaced(replacement) if replacement.digest == digest));
    assert_eq!(&stored[seen[0].position..][seen[0].header.payload_range()], &*replacement);
    assert_eq!([seen[1].header.stored, seen[2].header.stored], [Stored::Whole, Stored::Erased]);
}
