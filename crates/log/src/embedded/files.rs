//! The files of segments: their names, what is read of them as a whole, and how they end.

use std::io;
use std::sync::Arc;

use engram_failpoints::{Point, pass};
use engram_log_format::frame::{FRAME_HEADER_BYTES, SegmentKey};
use engram_log_format::segment::{
    FOOTER_BYTES, Footer, SEGMENT_HEADER_BYTES, SegmentError, SegmentHeader, decode_index,
};
use engram_log_format::{Lane, Offset};

use super::scan::Totals;
use crate::storage::{File, Storage};

/// The suffix of segments.
pub(crate) const SUFFIX: &str = ".seg";
/// The suffix of a segment that has no header yet. Removed when the log is opened.
pub(crate) const NEW_SUFFIX: &str = ".seg.new";

/// Zeros that are written at once over an unfinished write.
const CLEARED_BYTES: u64 = 1 << 20;

/// The directory of a lane.
pub(crate) fn directory(lane: Lane) -> &'static str {
    match lane {
        Lane::Journal => "log/journal",
        Lane::Ephemeral => "log/ephemeral",
    }
}

/// The path of a lane's segment.
pub(crate) fn path(lane: Lane, base: Offset) -> String {
    format!("{}/{:020}{SUFFIX}", directory(lane), base.0)
}

/// A segment's file, opened.
pub(crate) struct Opened {
    pub(crate) file: Arc<dyn File>,
    pub(crate) length: u64,
    pub(crate) header: Result<SegmentHeader, SegmentError>,
}

/// Opens a segment's file and reads its header.
pub(crate) fn read_header(storage: &Arc<dyn Storage>, path: &str) -> Result<Opened, std::io::Error> {
    let file = storage.open(path, false)?;
    let length = file.len()?;
    let mut bytes = vec![0; SEGMENT_HEADER_BYTES.min(length as usize)];
    file.read_at(&mut bytes, 0)?;
    Ok(Opened { file, length, header: SegmentHeader::decode(&bytes) })
}

/// Reads a segment's footer. Of the newest segment also the index: a crash may have torn it off the footer,
/// and then the segment counts as not sealed.
pub(crate) fn read_footer(
    file: &Arc<dyn File>,
    length: u64,
    header: &SegmentHeader,
    newest: bool,
) -> Result<Result<Footer, SegmentError>, std::io::Error> {
    let Some(at) = length.checked_sub((SEGMENT_HEADER_BYTES + FOOTER_BYTES) as u64) else {
        return Ok(Err(SegmentError::Short(length as usize)));
    };
    let mut bytes = vec![0; FOOTER_BYTES];
    file.read_at(&mut bytes, at + SEGMENT_HEADER_BYTES as u64)?;
    let footer = match Footer::decode(&bytes, &header.key()) {
        Ok(footer) if footer.file_bytes() == length => footer,
        Ok(_) => return Ok(Err(SegmentError::Field("length of the file"))),
        Err(error) => return Ok(Err(error)),
    };
    if newest {
        let mut index = vec![0; footer.index_bytes()];
        file.read_at(&mut index, footer.frames_end)?;
        return Ok(decode_index(&index, &footer).map(|_| footer));
    }
    Ok(Ok(footer))
}

/// The segments' names of a lane, and the names of leftovers.
pub(crate) fn list(storage: &Arc<dyn Storage>, lane: Lane) -> std::io::Result<(Vec<String>, Vec<String>)> {
    let names = storage.list(directory(lane))?;
    let full = |name: &String| format!("{}/{name}", directory(lane));
    let segments = names.iter().filter(|name| name.ends_with(SUFFIX)).map(full).collect();
    let leftovers = names.iter().filter(|name| name.ends_with(NEW_SUFFIX)).map(full).collect();
    Ok((segments, leftovers))
}

/// Seals a file: writes its end, syncs it, cuts the file, and syncs that. So a file that is cut has its end.
pub(crate) fn seal_file(file: &Arc<dyn File>, key: &SegmentKey, totals: &Totals) -> io::Result<()> {
    write_end(file, key, totals)?;
    file.sync_data()?;
    cut(file, totals)?;
    file.sync_data()?;
    pass(Point::Sealed)
}

/// Writes index and footer behind the frames.
///
/// The frames must be on stable storage before: a footer vouches for them, and could reach the disk first.
pub(crate) fn write_end(file: &Arc<dyn File>, key: &SegmentKey, totals: &Totals) -> io::Result<()> {
    let (footer, mut end) = totals.footer();
    end.extend_from_slice(&footer.encode(key));
    assert!(footer.frames_end + end.len() as u64 == footer.file_bytes(), "the footer ends the file");
    assert!(Footer::decode(&end[footer.index_bytes()..], key).is_ok(), "what is written can be read");
    pass(Point::SealBegin)?;
    file.write_at(&end, footer.frames_end)?;
    pass(Point::SealFooterWritten)
}

/// Cuts a file behind its footer.
pub(crate) fn cut(file: &Arc<dyn File>, totals: &Totals) -> io::Result<()> {
    file.truncate(totals.sealed_bytes(0))?;
    pass(Point::SealCut)
}

/// Puts zeros in the place of a write that a crash has cut short, but for the head of its frame, and syncs them. If the
/// sealing that follows is cut short as well, nothing of the payloads is left by then that could be taken for
/// something.
pub(crate) fn clear(file: &Arc<dyn File>, from: u64, end: u64) -> io::Result<()> {
    let mut at = from + FRAME_HEADER_BYTES as u64;
    if at >= end {
        return Ok(());
    }
    while at < end {
        let bytes = CLEARED_BYTES.min(end - at);
        file.write_at(&vec![0; bytes as usize], at)?;
        at += bytes;
    }
    file.sync_data()
}

/// Whether a call was refused for lack of space: of the disk, of a quota, or of the length that files may have.
pub(crate) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}
