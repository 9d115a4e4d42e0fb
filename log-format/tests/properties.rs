//! Properties of the codecs: what is written is read, and what was changed is refused.

use engram_log_format::frame::{self, Frame, FrameBuilder};
use engram_log_format::record::{Chain, Change, HEADER_BYTES, RecordFields, RecordHeader, Stored};
use engram_log_format::segment::{Footer, SegmentHeader};
use engram_log_format::{Kind, Lane, Offset, TimestampMs};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

const KEY: [u8; 32] = [7; 32];
const START: Chain = Chain([9; 32]);

fn build(payloads: &[(Vec<u8>, bool)]) -> (Frame, Chain) {
    let mut builder = FrameBuilder::with_capacity(0);
    for (number, (payload, ends_append)) in payloads.iter().enumerate() {
        let fields = RecordFields {
            offset: Offset(100 + 3 * number as u64),
            timestamp: TimestampMs(5000 + number as u64),
            kind: Kind(number as u16),
            schema: 1,
            ends_append: *ends_append || number + 1 == payloads.len(),
        };
        builder.push(&fields, payload);
    }
    let mut chain = START;
    let frame = builder.finish(&KEY, &mut chain);
    (frame, chain)
}

fn verifies(bytes: &[u8], key: &[u8; 32], chain: Option<Chain>) -> bool {
    let mut chain = chain;
    frame::verify(bytes, key, chain.as_mut(), |_| {}).is_ok()
}

fn payloads() -> impl Strategy<Value = Vec<(Vec<u8>, bool)>> {
    vec((vec(any::<u8>(), 0..80), any::<bool>()), 1..8)
}

proptest! {
    #[test]
    fn a_frame_is_read_as_it_was_written(payloads in payloads(), behind in vec(any::<u8>(), 0..40)) {
        let (mut frame, end) = build(&payloads);
        let length = frame.bytes.len();
        frame.bytes.extend_from_slice(&behind);
        let mut chain = START;
        let mut seen = Vec::new();
        let read = frame::verify(&frame.bytes, &KEY, Some(&mut chain), |record| {
            let payload = record.position + HEADER_BYTES;
            assert!(record.position.is_multiple_of(16), "records are aligned");
            seen.push(frame.bytes[payload..payload + record.header.payload_bytes as usize].to_vec());
        });
        prop_assert_eq!(read, Ok(length));
        prop_assert_eq!(chain, end);
        let expected: Vec<Vec<u8>> = payloads.into_iter().map(|(payload, _)| payload).collect();
        prop_assert_eq!(seen, expected);
    }

    #[test]
    fn a_changed_frame_is_refused(payloads in payloads(), at in any::<prop::sample::Index>(), mask in 1_u8..) {
        let (mut frame, _) = build(&payloads);
        let at = at.index(frame.bytes.len());
        frame.bytes[at] ^= mask;
        prop_assert!(!verifies(&frame.bytes, &KEY, Some(START)));
        // Without a chain nothing but the link to the frame before goes unchecked, and the checksum covers that.
        prop_assert!(!verifies(&frame.bytes, &KEY, None));
    }

    /// Whatever becomes of which payloads, in two steps: the chain stays, every byte is vouched for, and all else is as
    /// it was.
    #[test]
    fn a_frame_with_changed_payloads_verifies(
        payloads in payloads(),
        changes in vec(option::of(option::of(vec(any::<u8>(), 0..80))), 16),
        flip in any::<prop::sample::Index>(),
    ) {
        let (frame, end) = build(&payloads);
        let mut bytes = frame.bytes;
        let mut expected: Vec<Option<Vec<u8>>> = payloads.iter().map(|(payload, _)| Some(payload.clone())).collect();
        for changes in [&changes[..8], &changes[8..]] {
            let mut chain = START;
            let change = |number: usize| changes[number].as_ref();
            let number = |header: &RecordHeader| (header.offset.0 - 100) as usize / 3;
            bytes = frame::rewrite(&bytes, &KEY, &mut chain, |header| {
                change(number(header)).map(|to| to.as_deref().map_or(Change::Erase, Change::Replace))
            }).expect("it verifies").bytes;
            prop_assert_eq!(chain, end);
            for (number, payload) in expected.iter_mut().enumerate() {
                if let Some(to) = change(number) {
                    *payload = payload.take().and(to.clone());
                }
            }
        }
        let mut seen = Vec::new();
        let mut chain = START;
        let read = frame::verify(&bytes, &KEY, Some(&mut chain), |record| {
            assert!(record.header.payload_range().start.is_multiple_of(16), "payloads are aligned");
            let payload = bytes[record.position..][record.header.payload_range()].to_vec();
            seen.push((record.header.stored != Stored::Erased).then_some(payload));
        });
        prop_assert_eq!((read, chain), (Ok(bytes.len()), end));
        prop_assert_eq!(seen, expected);
        let at = flip.index(bytes.len() * 8);
        bytes[at / 8] ^= 1 << (at % 8);
        prop_assert!(!verifies(&bytes, &KEY, Some(START)));
    }

    #[test]
    fn a_cut_frame_is_refused(payloads in payloads(), at in any::<prop::sample::Index>()) {
        let (frame, _) = build(&payloads);
        let cut = &frame.bytes[..at.index(frame.bytes.len())];
        prop_assert!(!verifies(cut, &KEY, None));
    }

    #[test]
    fn a_frame_of_another_segment_or_place_is_refused(payloads in payloads()) {
        let (frame, _) = build(&payloads);
        prop_assert!(!verifies(&frame.bytes, &[8; 32], None));
        prop_assert!(!verifies(&frame.bytes, &KEY, Some(Chain([1; 32]))));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..400)) {
        prop_assert!(!verifies(&bytes, &KEY, None));
        prop_assert!(SegmentHeader::decode(&bytes).is_err());
        prop_assert!(Footer::decode(&bytes, &KEY).is_err());
    }

    #[test]
    fn segment_headers_are_read_as_they_were_written(
        base in any::<u64>(), previous in any::<u64>(), lease in any::<u64>(), created in any::<u64>(),
        units in any::<u32>(), log_id in any::<[u8; 16]>(), chain in any::<[u8; 32]>(), journal in any::<bool>(),
        flip in 0_usize..1024,
    ) {
        let header = SegmentHeader {
            lane: if journal { Lane::Journal } else { Lane::Ephemeral },
            log_id,
            base: Offset(base),
            previous: Offset(previous),
            lease_below: Offset(lease),
            created: TimestampMs(created),
            allocated_bytes: u64::from(units) * 4096,
            chain: Chain(chain),
        };
        let mut bytes = header.encode();
        prop_assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
        bytes[flip / 8] ^= 1 << (flip % 8);
        prop_assert!(SegmentHeader::decode(&bytes).is_err());
    }
}
