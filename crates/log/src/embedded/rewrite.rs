//! Rewrites one sealed segment without some of its payloads, and puts the new file in the place of the old one.
//!
//! The new file is complete and on stable storage before it gets the name of the old one: a crash leaves either.
//! Everything that is copied is verified on the way, frame by frame and by the chain, so that a rewrite never gives rot
//! a digest of its own.

use std::io;
use std::sync::Arc;

use engram_log_format::frame::{self, Frame};
use engram_log_format::record::{Chain, Change, RecordHeader};
use engram_log_format::segment::{Footer, SEGMENT_HEADER_BYTES};
use engram_log_format::{Lane, Offset};

use super::catalog::Segment;
use super::files::{NEW_SUFFIX, SUFFIX, cut, directory, is_full, read_footer, read_header, write_end};
use super::frames::{FrameReadError, FrameReader};
use super::outcomes::Outcomes;
use super::scan::Totals;
use crate::storage::{File, Storage};

/// Bytes that are written at once, but for a frame that is larger.
const WRITE_BYTES: usize = 1 << 20;

/// Why a segment was not rewritten. The old file is there.
#[derive(Debug)]
pub(crate) enum RewriteError {
    /// The log ends.
    Ended,
    /// There is no space: it can be tried again.
    DiskFull,
    /// The old file does not verify, or a call failed.
    Failed(String),
}

impl From<io::Error> for RewriteError {
    fn from(error: io::Error) -> Self {
        if is_full(&error) { Self::DiskFull } else { Self::Failed(error.to_string()) }
    }
}

/// Holds a rewrite up, and says when it has to be given up.
pub(crate) trait Pace {
    /// Waits so long that on average no more than a certain rate is read.
    fn pace(&self, bytes: u64) -> Result<(), RewriteError>;
    /// Whether a copy of so many bytes leaves the log the space that it has to leave to others.
    fn look_for_room(&self, bytes: u64) -> Result<(), RewriteError>;
}

/// Rewrites a sealed segment of the journal.
pub(crate) fn segment(
    storage: &Arc<dyn Storage>,
    pace: &dyn Pace,
    segment: &Segment,
    outcomes: &Outcomes,
) -> Result<(), RewriteError> {
    let new_path = segment.path.replace(SUFFIX, NEW_SUFFIX);
    let footer = copy(storage, pace, segment, outcomes, &new_path)
        .and_then(|footer| Ok(storage.rename(&new_path, &segment.path).map(|()| footer)?))
        .inspect_err(|_| {
            // Best effort: what is left is replaced by the next attempt or removed at the next start.
            let _ = storage.remove(&new_path);
        })?;
    segment.replaced(footer);
    // Nothing can be taken back now. If this fails a power loss may bring back the old file, and then whoever asked
    // asks again.
    storage.sync_dir(directory(Lane::Journal)).map_err(|error| RewriteError::Failed(error.to_string()))
}

/// Writes the new file, and syncs it. Returns its footer.
fn copy(
    storage: &Arc<dyn Storage>,
    pace: &dyn Pace,
    segment: &Segment,
    outcomes: &Outcomes,
    path: &str,
) -> Result<Footer, RewriteError> {
    let failed = |error: &dyn std::fmt::Display| RewriteError::Failed(error.to_string());
    let opened = read_header(storage, &segment.path)?;
    let header = opened.header.map_err(|error| failed(&error))?;
    let footer = read_footer(&opened.file, opened.length, &header, false)?.map_err(|error| failed(&error))?;
    if header != segment.header {
        return Err(failed(&"the header is another than it was"));
    }
    pace.pace(0)?;
    pace.look_for_room(opened.length)?;
    let file = storage.create(path)?;
    // Before anything is read: a disk that is too full says so at once.
    file.allocate(opened.length)?;
    let mut unpaced = 0;
    let mut reader = FrameReader::new(opened.file, SEGMENT_HEADER_BYTES as u64);
    let mut writer = Writer {
        base: header.base,
        file,
        buffer: header.encode().to_vec(),
        written: 0,
        totals: Totals::new(SEGMENT_HEADER_BYTES as u64, header.chain),
    };
    while let Some((buffer, start)) = reader.next(footer.frames_end).map_err(|error| match error {
        FrameReadError::Io(error) => error.into(),
        FrameReadError::Frame(error) => failed(&error),
    })? {
        let mut chain = writer.totals.chain;
        let change = |record: &RecordHeader| match outcomes.get(&record.offset)? {
            Some(replacement) => Some(Change::Replace(replacement)),
            None => Some(Change::Erase),
        };
        let old = frame::frame_bytes(&buffer[start..]).map_err(|error| failed(&error))?;
        let frame =
            frame::rewrite(&buffer[start..], &segment.key, &mut chain, change).map_err(|error| failed(&error))?;
        reader.advance(old);
        writer.push(&frame, chain);
        if writer.buffer.len() >= WRITE_BYTES {
            writer.flush()?;
        }
        unpaced += old as u64;
        if unpaced >= WRITE_BYTES as u64 {
            pace.pace(std::mem::take(&mut unpaced))?;
        }
    }
    pace.pace(unpaced)?;
    writer.flush()?;
    writer.finish(segment, &footer)
}

/// The new file.
struct Writer {
    base: Offset,
    file: Arc<dyn File>,
    buffer: Vec<u8>,
    written: u64,
    totals: Totals,
}

impl Writer {
    fn push(&mut self, frame: &Frame, chain: Chain) {
        self.totals.note_frame(self.base, frame, chain);
        self.buffer.extend_from_slice(&frame.bytes);
    }

    fn flush(&mut self) -> Result<(), RewriteError> {
        self.file.write_at(&self.buffer, self.written)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Ends the file like the old one, with the same records.
    fn finish(self, segment: &Segment, old: &Footer) -> Result<Footer, RewriteError> {
        let footer = self.totals.footer().0;
        if !footer.is_rewrite_of(old) {
            return Err(RewriteError::Failed("the frames do not agree with the footer".to_owned()));
        }
        assert!(self.buffer.is_empty() && self.written == self.totals.frames_end, "all frames are written");
        write_end(&self.file, &segment.key, &self.totals)?;
        cut(&self.file, &self.totals)?;
        self.file.sync_data()?;
        Ok(footer)
    }
}
