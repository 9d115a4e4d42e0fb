//! Looks behind bytes that do not verify for a frame that was written later, and says whether anything is there at all.
//!
//! Whoever sends messages chooses much of what is looked at, so the work is bounded by the bytes behind the place and
//! not by what they hold: each is read once to be looked at, and all that looks like a frame is read and hashed for no
//! more than as many bytes again. `FORMAT.md` argues why no crash leaves more than that to a reader.

use std::io;
use std::sync::Arc;

use engram_log_format::Offset;
use engram_log_format::frame::{self, FRAME_HEADER_BYTES, SegmentKey};
use engram_log_format::record::ALIGNMENT;
use rkyv::util::AlignedVec;

use crate::limits::READ_AHEAD_BYTES;
use crate::storage::File;

/// What lies behind a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Behind {
    /// Where the last byte that is not zero ends, if there is one.
    pub(crate) bytes_end: Option<u64>,
    /// What was found of frames.
    pub(crate) later: Later,
}

/// What a search for frames comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Later {
    /// There is none.
    Nothing,
    /// A frame that verifies begins here.
    Frame(u64),
    /// More looks like frames than an unfinished write can hold: the search was given up.
    Crowd,
}

/// A place in a segment at which a frame should begin, and does not verify.
pub(crate) struct Place<'a> {
    pub(crate) file: &'a Arc<dyn File>,
    pub(crate) key: &'a SegmentKey,
    pub(crate) position: u64,
    /// The end of what may hold frames.
    pub(crate) end: u64,
    /// The last record before the place.
    pub(crate) after: Offset,
}

impl Place<'_> {
    /// Whether there is a byte that is not zero, and where the last one ends.
    pub(crate) fn bytes_end(&self) -> io::Result<Option<u64>> {
        let mut bytes_end = None;
        self.each_window(self.position, |at, bytes| {
            bytes_end = end_of_bytes(at, bytes).or(bytes_end);
            Ok(None::<()>)
        })?;
        Ok(bytes_end)
    }

    /// Searches for a frame behind the place. The key of checksums is not known to anybody who sends messages, so
    /// a frame that verifies was written by this log. At most `budget` bytes are spent on what looks like frames.
    pub(crate) fn search(&self, budget: &mut u64) -> io::Result<Behind> {
        let from = self.first_possible()?;
        assert!(from > self.position && from.is_multiple_of(ALIGNMENT as u64), "frames begin at multiples of 16");
        let mut bytes_end = None;
        let later = self.each_window(self.position, |at, bytes| {
            bytes_end = end_of_bytes(at, bytes).or(bytes_end);
            let first = from.saturating_sub(at) as usize;
            for start in (first..bytes.len()).step_by(ALIGNMENT) {
                let here = at + start as u64;
                let Some(length) = self.frame_at(&bytes[start..], here) else { continue };
                let Some(rest) = budget.checked_sub(length as u64) else { return Ok(Some(Later::Crowd)) };
                *budget = rest;
                if self.verifies(here, length)? {
                    return Ok(Some(Later::Frame(here)));
                }
            }
            Ok(None)
        })?;
        Ok(Behind { bytes_end, later: later.unwrap_or(Later::Nothing) })
    }

    /// Where the next frame can begin. If the head of the frame at the place is whole, its length is what was written:
    /// inside of it are payloads, and no frame that counts.
    fn first_possible(&self) -> io::Result<u64> {
        let head = read(self.file, self.position, FRAME_HEADER_BYTES.min((self.end - self.position) as usize))?;
        let length = self.frame_at(&head, self.position).unwrap_or(ALIGNMENT);
        Ok(self.position + length as u64)
    }

    /// The length of the frame that `bytes`, which lie at `here`, may be the beginning of.
    fn frame_at(&self, bytes: &[u8], here: u64) -> Option<usize> {
        frame::frame_bytes(bytes).ok().filter(|length| *length as u64 <= self.end - here)
    }

    fn verifies(&self, here: u64, length: usize) -> io::Result<bool> {
        let whole = read(self.file, here, length)?;
        let mut first = None;
        let verified = frame::verify(&whole, self.key, None, |record| {
            first.get_or_insert(record.header.offset);
        });
        // A copy of a frame from further before says nothing.
        Ok(verified.is_ok() && first > Some(self.after))
    }

    /// Reads everything from `from` on, until `look` has an answer. The windows overlap by less than a frame header, so
    /// that each of those lies whole in one window, and is looked at in that one alone.
    fn each_window<T>(
        &self,
        from: u64,
        mut look: impl FnMut(u64, &[u8]) -> io::Result<Option<T>>,
    ) -> io::Result<Option<T>> {
        const OVERLAP: usize = FRAME_HEADER_BYTES - ALIGNMENT;
        let mut at = from;
        while at < self.end {
            let bytes = read(self.file, at, READ_AHEAD_BYTES.min((self.end - at) as usize))?;
            let answer = look(at, &bytes)?;
            if answer.is_some() {
                return Ok(answer);
            }
            let next = at + bytes.len() as u64;
            at = if next == self.end { next } else { next - OVERLAP as u64 };
        }
        Ok(None)
    }
}

fn end_of_bytes(at: u64, bytes: &[u8]) -> Option<u64> {
    bytes.iter().rposition(|byte| *byte != 0).map(|last| at + last as u64 + 1)
}

fn read(file: &Arc<dyn File>, position: u64, length: usize) -> io::Result<AlignedVec> {
    let mut bytes = AlignedVec::with_capacity(length);
    bytes.resize(length, 0);
    file.read_at(&mut bytes, position)?;
    Ok(bytes)
}
