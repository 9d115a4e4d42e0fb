//! Verifies what one segment holds: its frames one after the other, and its index and footer against them.

use std::io;
use std::sync::Arc;

use engram_log_format::frame::{self, FRAME_HEADER_BYTES, FrameError, FrameRecord};
use engram_log_format::input::{DecodeError, InputRef};
use engram_log_format::record::{Chain, Stored};
use engram_log_format::segment::{
    Footer, IndexEntry, OFFSET_SPAN_MAX, SEGMENT_HEADER_BYTES, SegmentError, SegmentHeader, decode_index,
};
use engram_log_format::{Lane, Offset};

use super::lane::{Before, LaneVerifier};
use crate::damage::Damage;
use crate::embedded::files::read_footer;
use crate::embedded::frames::{FrameReadError, FrameReader};
use crate::embedded::scan::Totals;
use crate::embedded::search::{Later, Place};
use crate::storage::File;

/// How often progress is told, in frames.
const PROGRESS_FRAMES: u64 = 256;

/// The segment that is being verified.
struct Current<'a> {
    name: &'a str,
    file: &'a Arc<dyn File>,
    header: SegmentHeader,
    totals: Totals,
    /// The chain so far; unknown behind damage.
    chain: Option<Chain>,
    /// Where the frames end, or the file.
    end: u64,
    /// The last record of the segment before.
    after: Offset,
    /// The index, if the segment is sealed and it verifies.
    index: Option<Vec<IndexEntry>>,
    /// Bytes that may still be spent on what looks like frames.
    budget: u64,
    /// Whether a crash may have left an unfinished write.
    may_be_torn: bool,
}

/// Where it goes on behind a frame that does not verify.
enum Further {
    /// At this frame.
    At(u64),
    /// What is there, if anything is, is an unfinished write.
    Unfinished { bytes: bool },
    /// Nowhere: no frame is found behind it.
    Nowhere,
}

impl LaneVerifier<'_> {
    pub(super) fn content(
        &mut self,
        name: &str,
        file: &Arc<dyn File>,
        length: u64,
        header: SegmentHeader,
        newest: bool,
        after: Offset,
    ) -> io::Result<()> {
        let footer = read_footer(file, length, &header, newest)?;
        let index = footer.as_ref().ok().map(|footer| read_index(file, footer)).transpose()?;
        let mut current = Current {
            name,
            file,
            totals: Totals::new(SEGMENT_HEADER_BYTES as u64, header.chain),
            chain: Some(header.chain),
            end: footer.as_ref().map_or(length, |footer| footer.frames_end),
            after,
            index: index.as_ref().and_then(|index| index.as_ref().ok().cloned()),
            budget: length,
            may_be_torn: newest && footer.is_err(),
            header,
        };
        let torn = self.frames(&mut current)?;
        match (&footer, index) {
            (Ok(footer), Some(index)) => self.check_end(&current, footer, index),
            (Err(error), _) if !newest => self.damaged(name, length, current.last(), format!("not sealed: {error}")),
            (Err(error), _) => self.check_open(&current, length, error, torn)?,
            (Ok(_), None) => unreachable!("a footer has an index"),
        }
        let last = current.last();
        let chain = footer.ok().map(|footer| footer.chain).or(current.chain);
        self.report.last = self.report.last.max(last);
        self.before = Some(Before { base: current.header.base, last, chain, log_id: current.header.log_id });
        Ok(())
    }

    /// Verifies all frames. Returns the unfinished write at the end of a segment that may have one.
    fn frames(&mut self, current: &mut Current<'_>) -> io::Result<Option<Damage>> {
        let start = self.report.bytes;
        let mut reader = FrameReader::new(current.file.clone(), current.totals.frames_end);
        while reader.position() < current.end {
            let position = reader.position();
            let error = match self.frame(current, &mut reader) {
                Ok(()) => {
                    assert!(reader.position() > position, "a frame has a length");
                    if self.report.frames.is_multiple_of(PROGRESS_FRAMES) {
                        (self.progress)(start + reader.position());
                    }
                    continue;
                }
                Err(FrameReadError::Frame(error)) => error,
                Err(FrameReadError::Io(error)) => return Err(error),
            };
            let damage = current.damage(position, &error);
            match current.further(position, self.lane)? {
                Further::Unfinished { bytes } => return Ok(bytes.then_some(damage)),
                Further::At(next) => {
                    assert!(next > position, "what is passed over is not met again");
                    reader = FrameReader::new(current.file.clone(), next);
                }
                Further::Nowhere => reader = FrameReader::new(current.file.clone(), current.end),
            }
            self.report.damage.push(damage);
            current.chain = None;
        }
        Ok(None)
    }

    /// Verifies the next frame and notes what it holds.
    fn frame(&mut self, current: &mut Current<'_>, reader: &mut FrameReader) -> Result<(), FrameReadError> {
        let position = reader.position();
        let (buffer, at) = reader.next(current.end)?.expect("it is not at the end");
        let bytes = &buffer[at..];
        let mut records: Vec<FrameRecord> = Vec::new();
        let key = current.header.key();
        let verified = frame::verify(bytes, &key, current.chain.as_mut(), |record| records.push(record));
        let length = verified.map_err(FrameReadError::Frame)?;
        let before = current.last();
        current.note(&records, position, length).map_err(FrameReadError::Frame)?;
        self.erasures.note(self.number, position, bytes, &records, before);
        if self.deep
            && let Some((inner, reason)) = records.iter().find_map(|record| check_payload(bytes, record))
        {
            self.damaged(current.name, position + inner as u64, before, reason);
        }
        self.report.frames += 1;
        self.report.records += records.len() as u64;
        for record in &records {
            self.report.erased += u64::from(record.header.stored == Stored::Erased);
            self.report.replaced += u64::from(matches!(record.header.stored, Stored::Replaced(_)));
        }
        reader.advance(length);
        Ok(())
    }

    /// Compares footer and index with what the frames hold.
    fn check_end(&mut self, current: &Current<'_>, footer: &Footer, index: Result<Vec<IndexEntry>, SegmentError>) {
        let at = footer.frames_end;
        let index = match index {
            Ok(index) => index,
            Err(error) => return self.damaged(current.name, at, current.last(), error),
        };
        // Behind damage the frames have said less than the footer knows: nothing to compare.
        let Some(expected) = current.footer() else { return };
        let signed = Footer { signature: footer.signature, signer: footer.signer, ..expected };
        if signed != *footer || index != current.totals.index {
            self.damaged(current.name, at, current.last(), "index or footer do not agree with the frames");
        }
    }

    /// Judges the newest segment, whose footer does not verify. Its file is cut only when footer and index are on
    /// stable storage: with the length that it has then, nothing in it is unfinished.
    fn check_open(
        &mut self,
        current: &Current<'_>,
        length: u64,
        error: &SegmentError,
        torn: Option<Damage>,
    ) -> io::Result<()> {
        let written = current.header.allocated_bytes;
        if length == written {
            self.report.torn_tails.extend(torn);
        } else if length == current.totals.sealed_bytes(0) {
            let reason = format!("it was sealed, and its end is not what was written: {error}");
            self.damaged(current.name, current.end_differs_at()?, current.last(), reason);
        } else {
            // Which of the two came first nobody can say: neither is what a crash leaves.
            self.report.damage.extend(torn);
            let reason = format!("the file was cut: it was written with {written} bytes");
            self.damaged(current.name, length, current.last(), reason);
        }
        Ok(())
    }
}

impl Current<'_> {
    /// The last record that verifies.
    fn last(&self) -> Offset {
        self.after.max(self.totals.last)
    }

    fn damage(&self, position: u64, error: &FrameError) -> Damage {
        let inner = if let FrameError::Record { position, .. } = error { *position } else { 0 };
        Damage {
            segment: self.name.to_owned(),
            position: position + inner as u64,
            after: self.last(),
            reason: error.to_string(),
        }
    }

    /// Says where it goes on behind `position`: the index of a sealed segment knows. Without one it has to be searched
    /// for.
    fn further(&mut self, position: u64, lane: Lane) -> io::Result<Further> {
        if let Some(index) = &self.index {
            let starts = index.iter().filter(|entry| entry.is_first_of_frame()).map(|entry| entry.position());
            let next = starts.map(|record| record - FRAME_HEADER_BYTES as u64).find(|start| *start > position);
            return Ok(next.map_or(Further::Nowhere, Further::At));
        }
        let key = self.header.key();
        let place = Place { file: self.file, key: &key, position, end: self.end, after: self.last() };
        if self.may_be_torn && lane == Lane::Ephemeral {
            return Ok(Further::Unfinished { bytes: place.bytes_end()?.is_some() });
        }
        let behind = place.search(&mut self.budget)?;
        Ok(match behind.later {
            Later::Frame(next) => Further::At(next),
            Later::Nothing if self.may_be_torn => Further::Unfinished { bytes: behind.bytes_end.is_some() },
            Later::Nothing | Later::Crowd => Further::Nowhere,
        })
    }

    /// Notes a frame's records, if they follow what was before.
    fn note(&mut self, records: &[FrameRecord], position: u64, length: usize) -> Result<(), FrameError> {
        let first = records.first().expect("a verified frame has records").header.offset;
        if first <= self.last() || first < self.header.base {
            return Err(FrameError::Layout("offsets do not follow the frame before"));
        }
        let last = records.last().expect("a verified frame has records").header.offset;
        if last.0 - self.header.base.0 > OFFSET_SPAN_MAX {
            return Err(FrameError::Layout("an offset is too far from the segment's base"));
        }
        for (number, record) in records.iter().enumerate() {
            let at = position + record.position as u64;
            let entry = IndexEntry::new(self.header.base, record.header.offset, at, number == 0);
            self.totals.note(entry, record.header.offset, record.header.timestamp);
        }
        self.totals.frames += 1;
        self.totals.frames_end = position + length as u64;
        Ok(())
    }

    /// The footer that belongs to the frames; unknown behind damage.
    fn footer(&self) -> Option<Footer> {
        let chain = self.chain?;
        Some(Totals { chain, ..self.totals.clone() }.footer().0)
    }

    /// The first byte behind the frames that is not what sealing wrote there.
    fn end_differs_at(&self) -> io::Result<u64> {
        let start = self.totals.frames_end;
        let Some(chain) = self.chain else { return Ok(start) };
        let (footer, mut written) = Totals { chain, ..self.totals.clone() }.footer();
        written.extend_from_slice(&footer.encode(&self.header.key()));
        let mut found = vec![0; written.len()];
        self.file.read_at(&mut found, start)?;
        let same = written.iter().zip(&found).take_while(|(written, found)| written == found).count();
        Ok(start + same as u64)
    }
}

fn read_index(file: &Arc<dyn File>, footer: &Footer) -> io::Result<Result<Vec<IndexEntry>, SegmentError>> {
    let mut bytes = vec![0; footer.index_bytes()];
    file.read_at(&mut bytes, footer.frames_end)?;
    Ok(decode_index(&bytes, footer))
}

/// What is wrong with the payload of a record whose digest matches, and where it is.
fn check_payload(frame: &[u8], record: &FrameRecord) -> Option<(usize, String)> {
    let header = &record.header;
    if header.stored == Stored::Erased {
        return None;
    }
    match InputRef::decode(header.kind, header.schema, &frame[record.position..][header.payload_range()]) {
        Ok(_) | Err(DecodeError::Unknown { .. }) => None,
        Err(error) => Some((record.position, format!("record {}: {error}", header.offset))),
    }
}
