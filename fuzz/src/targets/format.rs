//! The codecs of `log-format`: what they take, they give back as it was.

use engram_log_format::frame::{self, FRAME_HEADER_BYTES};
use engram_log_format::input::KINDS;
use engram_log_format::record::{self, Chain, Change, Stored};
use engram_log_format::segment::{Footer, IndexEntry, SegmentHeader, decode_index, encode_index};
use engram_log_format::{InputRef, Kind};
use rkyv::util::AlignedVec;

use crate::reseal;

const KEY: [u8; 32] = [7; 32];
const CHAIN: Chain = Chain([9; 32]);

/// A header, a footer and an index: a whole file, or any part of one.
pub(crate) fn segment(input: &[u8]) {
    read_segment(input);
    let mut resealed = input.to_vec();
    reseal::segment(&mut resealed, None);
    read_segment(&resealed);
}

fn read_segment(bytes: &[u8]) {
    let header = SegmentHeader::decode(bytes);
    if let Ok(header) = &header {
        assert_eq!(header.encode()[..], bytes[..128], "a header is written as it was read");
    }
    let key = header.map_or(KEY, |header| header.key());
    let Ok(footer) = Footer::decode(bytes, &key) else { return };
    assert_eq!(footer.encode(&key)[..], bytes[bytes.len() - 256..], "a footer is written as it was read");
    let _ = (footer.file_bytes(), footer.signed_bytes(&key));
    let Some(index) = (bytes.len() - 256).checked_sub(footer.index_bytes()) else { return };
    let index_bytes = &bytes[index..bytes.len() - 256];
    if let Ok(entries) = decode_index(index_bytes, &footer) {
        assert_eq!(encode_index(&entries), index_bytes, "an index is written as it was read");
        let _: Vec<_> =
            entries.iter().map(|entry: &IndexEntry| (entry.position(), entry.is_first_of_frame())).collect();
    }
}

/// A frame.
pub(crate) fn frame(input: &[u8]) {
    read_frame(input);
    let mut resealed = input.to_vec();
    reseal::frame(&mut resealed, &KEY, &mut { CHAIN });
    read_frame(&resealed);
}

fn read_frame(bytes: &[u8]) {
    let mut chain = CHAIN;
    let mut records = Vec::new();
    let Ok(length) = frame::verify(bytes, &KEY, Some(&mut chain), |record| records.push(record)) else { return };
    assert_eq!(frame::frame_bytes(bytes), Ok(length));
    let mut position = FRAME_HEADER_BYTES;
    for record in &records {
        assert_eq!(record.position, position, "records lie one behind the other");
        position += record.header.record_bytes();
    }
    assert_eq!(position, length, "records fill the frame");
    let mut again = CHAIN;
    let copy = frame::rewrite(bytes, &KEY, &mut again, |_| None).expect("it was verified");
    assert_eq!(copy.bytes[..], bytes[..length], "a frame is written as it was read");
    assert_eq!(again, chain, "and moves the chain to the same place");
    let erased = frame::rewrite(bytes, &KEY, &mut { CHAIN }, |_| Some(Change::Erase)).expect("it was verified");
    assert!(frame::verify(&erased.bytes, &KEY, Some(&mut { CHAIN }), |_| {}).is_ok(), "an erased frame verifies");
}

/// A record.
pub(crate) fn record(input: &[u8]) {
    read_record(input);
    let mut resealed = input.to_vec();
    reseal::record(&mut resealed);
    read_record(&resealed);
}

fn read_record(bytes: &[u8]) {
    let Ok(header) = record::check(bytes) else { return };
    assert!(header.record_bytes() <= bytes.len(), "a record that checks is there");
    let payload = &bytes[header.payload_range()];
    if header.stored == Stored::Whole {
        let mut written = AlignedVec::new();
        record::push(&mut written, &header.fields(), payload);
        assert_eq!(written[..], bytes[..header.record_bytes()], "a record is written as it was read");
    }
    if header.stored != Stored::Erased {
        read_payload(header.kind, header.schema, payload);
    }
}

/// A payload of the kind that the first byte picks.
pub(crate) fn payload(input: &[u8]) {
    let Some((kind, payload)) = input.split_first() else { return };
    read_payload(KINDS[usize::from(*kind) % KINDS.len()], 1, payload);
}

/// Through the same function as projectors.
fn read_payload(kind: Kind, schema: u16, payload: &[u8]) {
    let mut aligned = AlignedVec::<16>::new();
    aligned.extend_from_slice(payload);
    let Ok(read) = InputRef::decode(kind, schema, &aligned) else { return };
    let _ = format!("{read:?}");
    let owned = read.to_owned();
    let written = owned.encode();
    let again = InputRef::decode(kind, 1, &written).expect("what was written can be read").to_owned();
    assert_eq!(again, owned, "a value survives the way there and back");
    assert_eq!(again.encode()[..], written[..], "and has one form");
}
