//! Reads a segment that has no valid footer, and tells a torn tail from damage.
//!
//! The rules, argued in `FORMAT.md`: a journal frame is begun only when the one before it is on stable
//! storage. So bytes that do not verify are an unacknowledged write that a crash cut short if
//! nothing valid follows them, and damage to something that was acknowledged if a valid frame does.

use std::sync::Arc;

use engram_log_format::frame::{self, Frame, FrameError, SegmentKey};
use engram_log_format::input::{Input, InputRef};
use engram_log_format::record::{ALIGNMENT, Chain, RecordHeader};
use engram_log_format::segment::{
    FOOTER_BYTES, Footer, INDEX_ENTRY_BYTES, IndexEntry, OFFSET_SPAN_MAX, SegmentHeader, encode_index,
};
use engram_log_format::{Lane, Offset, TimestampMs};

use super::frames::{FrameReadError, FrameReader};
use super::search::{Behind, Later, Place};
use crate::record::Record;
use crate::storage::File;

/// Running totals of a segment: what its footer will say.
#[derive(Clone, Debug)]
pub(crate) struct Totals {
    pub(crate) index: Vec<IndexEntry>,
    pub(crate) frames: u32,
    pub(crate) frames_end: u64,
    pub(crate) first: Offset,
    pub(crate) last: Offset,
    pub(crate) first_timestamp: TimestampMs,
    pub(crate) last_timestamp: TimestampMs,
    pub(crate) chain: Chain,
}

impl Totals {
    pub(crate) fn new(frames_end: u64, chain: Chain) -> Self {
        Self {
            index: Vec::new(),
            frames: 0,
            frames_end,
            first: Offset::ZERO,
            last: Offset::ZERO,
            first_timestamp: TimestampMs(0),
            last_timestamp: TimestampMs(0),
            chain,
        }
    }

    /// Notes a record.
    pub(crate) fn note(&mut self, entry: IndexEntry, offset: Offset, timestamp: TimestampMs) {
        assert!(offset > self.last, "offsets ascend within a lane");
        if self.index.is_empty() {
            self.first = offset;
            self.first_timestamp = timestamp;
        }
        self.last = offset;
        self.last_timestamp = timestamp;
        self.index.push(entry);
    }

    /// Notes a frame that was just encoded, behind which the chain has the value `chain`.
    pub(crate) fn note_frame(&mut self, base: Offset, frame: &Frame, chain: Chain) {
        assert!(!frame.positions.is_empty() && frame.bytes.len().is_multiple_of(ALIGNMENT), "a frame holds records");
        let start = self.frames_end;
        for (number, position) in frame.positions.iter().enumerate() {
            let header = RecordHeader::parse(&frame.bytes[*position as usize..]).expect("it was just encoded");
            let entry = IndexEntry::new(base, header.offset, start + u64::from(*position), number == 0);
            self.note(entry, header.offset, header.timestamp);
        }
        self.frames += 1;
        self.frames_end = start + frame.bytes.len() as u64;
        self.chain = chain;
    }

    /// The footer, and the index that goes before it.
    pub(crate) fn footer(&self) -> (Footer, Vec<u8>) {
        assert!(self.frames as usize <= self.index.len(), "every frame holds a record");
        assert!(self.index.is_empty() == (self.last == Offset::ZERO), "first and last are those of records");
        assert!(self.first <= self.last && self.first_timestamp <= self.last_timestamp, "both ascend");
        let index = encode_index(&self.index);
        let footer = Footer {
            records: self.index.len() as u32,
            frames: self.frames,
            frames_end: self.frames_end,
            first: self.first,
            last: self.last,
            first_timestamp: self.first_timestamp,
            last_timestamp: self.last_timestamp,
            chain: self.chain,
            index_digest: *blake3::hash(&index).as_bytes(),
            signature: [0; 64],
            signer: [0; 32],
        };
        (footer, index)
    }

    /// Length that the file has once it is sealed with `more` further records.
    pub(crate) fn sealed_bytes(&self, more: usize) -> u64 {
        self.frames_end + ((self.index.len() + more) * INDEX_ENTRY_BYTES + FOOTER_BYTES) as u64
    }
}

/// What a segment holds.
pub(crate) struct Scan {
    pub(crate) totals: Totals,
    /// The highest lease that it records.
    pub(crate) lease_below: Option<Offset>,
    /// The next offset, if its last record says that the log was closed.
    pub(crate) closed_next: Option<Offset>,
    /// What lies behind the last frame, if it is not zeros only.
    pub(crate) torn: Option<Torn>,
}

/// A write that a crash cut short.
#[derive(Clone, Debug)]
pub(crate) struct Torn {
    /// Why it is no frame.
    pub(crate) failure: FrameError,
    /// Where the last of its bytes ends that is not zero.
    pub(crate) bytes_end: u64,
}

/// Why a segment cannot be taken over.
#[derive(Debug)]
pub(crate) enum ScanError {
    Io(std::io::Error),
    Damaged { position: u64, after: Offset, reason: String },
}

impl From<std::io::Error> for ScanError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

/// Verifies every frame from the header to the end of what was committed.
pub(crate) fn scan(
    file: &Arc<dyn File>,
    header: &SegmentHeader,
    frames_start: u64,
    end: u64,
    after: Offset,
) -> Result<Scan, ScanError> {
    let key = header.key();
    let mut scan =
        Scan { totals: Totals::new(frames_start, header.chain), lease_below: None, closed_next: None, torn: None };
    let mut reader = FrameReader::new(file.clone(), frames_start);
    let mut last = after;
    let failure = loop {
        match next_frame(&mut reader, header, &key, end, &mut scan) {
            Ok(true) => {}
            Ok(false) => break None,
            Err(FrameReadError::Io(error)) => return Err(error.into()),
            Err(FrameReadError::Frame(error)) => break Some(error),
        }
        if scan.totals.first <= last && last == after {
            let reason = "its first record does not follow the segment before".to_owned();
            return Err(ScanError::Damaged { position: frames_start, after, reason });
        }
        last = scan.totals.last;
    };
    let Some(failure) = failure else {
        return Ok(scan);
    };
    let place = Place { file, key: &key, position: reader.position(), end, after: last };
    scan.torn = judge_tail(&place, header.lane, failure)?;
    Ok(scan)
}

/// Verifies one frame and notes what it holds.
fn next_frame(
    reader: &mut FrameReader,
    header: &SegmentHeader,
    key: &SegmentKey,
    end: u64,
    scan: &mut Scan,
) -> Result<bool, FrameReadError> {
    let Some((buffer, start)) = reader.next(end)? else {
        return Ok(false);
    };
    let mut records = Vec::new();
    let mut chain = scan.totals.chain;
    let length = frame::verify(&buffer[start..], key, Some(&mut chain), |record| {
        records.push(record);
    })
    .map_err(FrameReadError::Frame)?;
    let first = records.first().expect("a verified frame has records").header.offset;
    if first <= scan.totals.last || first < header.base {
        return Err(FrameReadError::Frame(FrameError::Layout("offsets do not follow the frame before")));
    }
    let last = records.last().expect("a verified frame has records").header.offset;
    if last.0 - header.base.0 > OFFSET_SPAN_MAX {
        return Err(FrameReadError::Frame(FrameError::Layout("an offset is too far from the segment's base")));
    }
    scan.totals.chain = chain;
    for (number, record) in records.iter().enumerate() {
        let position = reader.position() + record.position as u64;
        let entry = IndexEntry::new(header.base, record.header.offset, position, number == 0);
        scan.totals.note(entry, record.header.offset, record.header.timestamp);
        note_own_kind(scan, &super::record_of(header.lane, &buffer, start, record));
    }
    reader.advance(length);
    scan.totals.frames += 1;
    scan.totals.frames_end = reader.position();
    Ok(true)
}

/// Picks up what the log says about itself.
fn note_own_kind(scan: &mut Scan, record: &Record) {
    scan.closed_next = None;
    if record.kind.0 >= engram_log_format::Kind::FIRST_INPUT {
        return;
    }
    match record.input().map(InputRef::to_owned) {
        Ok(Input::OffsetLease(lease)) => {
            scan.lease_below = scan.lease_below.max(Some(Offset(lease.below)));
        }
        Ok(Input::CleanShutdown(closed)) => scan.closed_next = Some(Offset(closed.next)),
        _ => {}
    }
}

/// Decides what bytes at a place are that are no valid frame: nothing, a torn write, or damage.
fn judge_tail(place: &Place<'_>, lane: Lane, failure: FrameError) -> Result<Option<Torn>, ScanError> {
    let behind = match lane {
        Lane::Journal => place.search(&mut (place.end - place.position))?,
        // Several ephemeral frames may be unsynced at once: a valid one behind a lost one is no damage there.
        Lane::Ephemeral => Behind { bytes_end: place.bytes_end()?, later: Later::Nothing },
    };
    let reason = match behind.later {
        Later::Nothing => return Ok(behind.bytes_end.map(|bytes_end| Torn { failure, bytes_end })),
        Later::Frame(next) => format!("{failure}; but a valid frame follows at byte {next}, so this was committed"),
        Later::Crowd => format!("{failure}; and more behind it looks like frames than an unfinished write can hold"),
    };
    Err(ScanError::Damaged { position: place.position, after: place.after, reason })
}
