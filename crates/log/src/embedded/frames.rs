//! Reads the frames of one segment in order, in large pieces.

use std::io;
use std::sync::Arc;

use engram_log_format::frame::{self, FRAME_HEADER_BYTES, FrameError};
use engram_log_format::record::ALIGNMENT;
use rkyv::util::AlignedVec;

use crate::limits::READ_AHEAD_BYTES;
use crate::storage::File;

/// Why the next frame cannot be had.
#[derive(Debug)]
pub(crate) enum FrameReadError {
    Io(io::Error),
    Frame(FrameError),
}

impl From<io::Error> for FrameReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A cursor over the frames of a segment. Its buffers are shared with the records that are made of them.
pub(crate) struct FrameReader {
    file: Arc<dyn File>,
    position: u64,
    buffer: Arc<AlignedVec>,
    buffer_at: u64,
}

impl FrameReader {
    pub(crate) fn new(file: Arc<dyn File>, position: u64) -> Self {
        Self { file, position, buffer: Arc::new(AlignedVec::new()), buffer_at: position }
    }

    /// Where the next frame begins.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The buffer that holds the next frame, and where in it the frame begins; `None` at `end`.
    ///
    /// Only the length has been looked at. Call [`FrameReader::advance`] once the frame is verified.
    pub(crate) fn next(&mut self, end: u64) -> Result<Option<(Arc<AlignedVec>, usize)>, FrameReadError> {
        assert!(self.position <= end, "a reader does not pass the end");
        if self.position == end {
            return Ok(None);
        }
        self.fill(FRAME_HEADER_BYTES, end)?;
        let start = (self.position - self.buffer_at) as usize;
        let length = frame::frame_bytes(&self.buffer[start..]).map_err(FrameReadError::Frame)?;
        self.fill(length, end)?;
        Ok(Some((self.buffer.clone(), (self.position - self.buffer_at) as usize)))
    }

    /// Moves past a frame of `bytes` bytes.
    pub(crate) fn advance(&mut self, bytes: usize) {
        assert!(bytes > 0 && bytes.is_multiple_of(ALIGNMENT), "frames have a length, and are aligned");
        self.position += bytes as u64;
        assert!(self.position <= self.buffer_at + self.buffer.len() as u64, "only what was read is passed");
    }

    /// Makes sure that `needed` bytes from the position on are in the buffer, as far as the file has them.
    fn fill(&mut self, needed: usize, end: u64) -> io::Result<()> {
        let present = (self.buffer_at + self.buffer.len() as u64).saturating_sub(self.position);
        let available = end - self.position;
        if present >= (needed as u64).min(available) {
            return Ok(());
        }
        let wanted = (needed.max(READ_AHEAD_BYTES) as u64).min(available) as usize;
        let mut buffer = AlignedVec::with_capacity(wanted);
        buffer.resize(wanted, 0);
        assert!(wanted as u64 > present || needed as u64 > available, "what is in the buffer is not read again");
        self.file.read_at(&mut buffer, self.position)?;
        self.buffer = Arc::new(buffer);
        self.buffer_at = self.position;
        Ok(())
    }
}
