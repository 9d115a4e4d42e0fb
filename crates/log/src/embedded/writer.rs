//! Writes one lane: frames into the active segment, and from one segment to the next.
//!
//! The order of steps is what recovery relies on: a segment is sealed and synced before the next is
//! created; a segment has its header on stable storage before it gets its name, and its name before
//! the first frame.

use std::io;
use std::sync::Arc;

use engram_failpoints::{Point, pass, reached};
use engram_log_format::frame::{self, FRAME_HEADER_BYTES, Frame, FrameBuilder};
use engram_log_format::record::{ALIGNMENT, Chain};
use engram_log_format::segment::{ALLOCATION_UNIT, SEGMENT_HEADER_BYTES, SegmentHeader};
use engram_log_format::{Lane, Offset, TimestampMs};

use super::catalog::{Catalog, OpenSegment, Segment};
use super::files::{NEW_SUFFIX, SUFFIX, cut, directory, is_full, path, write_end};
use super::scan::Totals;
use crate::storage::{File, Storage};

/// Frames at least this fraction of the zeroed stretch write their blocks themselves.
const ZERO_AHEAD_FRACTION: u64 = 4;

/// Why a lane cannot be written.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// There is no space. Nothing that counts was written, and the same call can be made again: see `FORMAT.md`, step
    /// 6.
    DiskFull,
    /// A call failed: nothing is known about what is on disk. The log must stop.
    Failed(&'static str, io::Error),
}

impl WriteError {
    /// What the failure of a call that is no sync means. Not for syncs: a sync that found no space may have lost data.
    fn of(doing: &'static str) -> impl Fn(io::Error) -> Self {
        move |error| if is_full(&error) { Self::DiskFull } else { Self::Failed(doing, error) }
    }
}

/// What does not change while a lane is written.
pub(crate) struct LaneOptions {
    pub(crate) lane: Lane,
    pub(crate) log_id: [u8; 16],
    pub(crate) segment_bytes: u64,
    pub(crate) zero_ahead_bytes: u64,
}

/// Writes one lane.
pub(crate) struct LaneWriter {
    storage: Arc<dyn Storage>,
    catalog: Arc<Catalog>,
    options: LaneOptions,
    previous: Offset,
    chain: Chain,
    active: Option<Active>,
}

struct Active {
    segment: Arc<Segment>,
    open: Arc<OpenSegment>,
    totals: Totals,
    zeroed_to: u64,
}

impl LaneWriter {
    /// Goes on after the segment with base `previous`, at the end of which the chain has the value `chain`.
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        catalog: Arc<Catalog>,
        options: LaneOptions,
        previous: Offset,
        chain: Chain,
    ) -> Self {
        Self { storage, catalog, options, previous, chain, active: None }
    }

    /// Makes sure that a frame of this size fits into the active segment; seals that and begins another
    /// if it does not. After an error for lack of space it can be called again.
    pub(crate) fn prepare(
        &mut self,
        frame_bytes: usize,
        records: usize,
        base: Offset,
        lease_below: Offset,
        now: TimestampMs,
    ) -> Result<(), WriteError> {
        assert!(frame_bytes > FRAME_HEADER_BYTES && records > 0, "a frame holds records");
        if let Some(active) = &self.active {
            let needed = active.totals.sealed_bytes(records) + frame_bytes as u64;
            // A sealed segment is shorter than it was: so its length says that it is sealed.
            if needed < active.segment.header.allocated_bytes {
                return Ok(());
            }
            self.seal()?;
        }
        let needed = Totals::new(SEGMENT_HEADER_BYTES as u64, self.chain).sealed_bytes(records) + frame_bytes as u64;
        let allocated_bytes = (needed + 1).max(self.options.segment_bytes).next_multiple_of(ALLOCATION_UNIT);
        let header = SegmentHeader {
            lane: self.options.lane,
            log_id: self.options.log_id,
            base,
            previous: self.previous,
            lease_below,
            created: now,
            allocated_bytes,
            chain: self.chain,
        };
        self.begin(header)
    }

    /// Creates a segment.
    fn begin(&mut self, header: SegmentHeader) -> Result<(), WriteError> {
        assert!(self.active.is_none(), "the segment before is sealed");
        assert!(header.base > self.previous, "bases ascend");
        assert!(header.base < header.lease_below, "offsets are below the lease");
        assert!(header.allocated_bytes.is_multiple_of(ALLOCATION_UNIT), "the header counts in units");
        let directory = directory(self.options.lane);
        let path = path(self.options.lane, header.base);
        let new_path = path.replace(SUFFIX, NEW_SUFFIX);
        let zeroed_to = self.options.zero_ahead_bytes.min(header.allocated_bytes);
        let file = match self.create(&new_path, &header, zeroed_to) {
            Err(error) if is_full(&error) => {
                // Best effort: what is left is replaced by the next attempt or removed at the next start.
                let _ = self.storage.remove(&new_path);
                return Err(WriteError::DiskFull);
            }
            result => result.map_err(|error| WriteError::Failed("cannot create a segment", error))?,
        };
        self.storage.rename(&new_path, &path).map_err(WriteError::of("cannot name a segment"))?;
        let named = pass(Point::SegmentNamed).and_then(|()| self.storage.sync_dir(directory));
        named.map_err(|error| WriteError::Failed("cannot name a segment", error))?;
        reached(Point::SegmentBegun);
        let open = OpenSegment::new(file, Vec::new(), SEGMENT_HEADER_BYTES as u64);
        let totals = Totals::new(SEGMENT_HEADER_BYTES as u64, header.chain);
        self.previous = header.base;
        let segment = Segment::unsealed(header, path, open.clone());
        self.catalog.add(self.options.lane, segment.clone());
        self.active = Some(Active { segment, open, totals, zeroed_to });
        Ok(())
    }

    fn create(&self, path: &str, header: &SegmentHeader, zeroed_to: u64) -> io::Result<Arc<dyn File>> {
        pass(Point::SegmentCreate)?;
        let file = self.storage.create(path)?;
        pass(Point::SegmentCreated)?;
        file.allocate(header.allocated_bytes)?;
        pass(Point::SegmentAllocated)?;
        let mut start = header.encode().to_vec();
        assert!(SegmentHeader::decode(&start).as_ref() == Ok(header), "what is written can be read");
        start.resize(start.len().max(zeroed_to as usize), 0);
        file.write_at(&start, 0)?;
        pass(Point::SegmentHeaderWritten)?;
        file.sync_data()?;
        pass(Point::SegmentHeaderSynced)?;
        Ok(file)
    }

    /// Makes a frame that follows what was written, for which [`LaneWriter::prepare`] has made room.
    pub(crate) fn frame(&mut self, builder: FrameBuilder) -> Frame {
        let active = self.active.as_ref().expect("prepare was called");
        builder.finish(&active.segment.key, &mut self.chain)
    }

    /// Writes the frame that was made last. With `sync` it is on stable storage afterwards. Nothing is visible before
    /// [`LaneWriter::publish`]. If it found no space it can be called again with the same frame, which goes to the same
    /// place.
    pub(crate) fn write(&mut self, frame: &Frame, sync: bool) -> Result<(), WriteError> {
        let active = self.active.as_mut().expect("prepare was called");
        let position = active.totals.frames_end;
        let end = position + frame.bytes.len() as u64;
        assert!(end <= active.segment.header.allocated_bytes, "prepare made room");
        assert!(position.is_multiple_of(ALIGNMENT as u64), "frames are aligned");
        let verified = |bytes: &[u8]| frame::verify(bytes, &active.segment.key, None, |_| {});
        debug_assert!(verified(&frame.bytes) == Ok(frame.bytes.len()), "what is written verifies");
        pass(Point::FrameWrite)
            .and_then(|()| active.zero_ahead(end, frame.bytes.len() as u64, self.options.zero_ahead_bytes))
            .map_err(WriteError::of("cannot write a frame"))?;
        if sync && frame::has_what_looks_like_one(&frame.bytes) {
            active.write_head(frame, position)?;
        }
        let written = active.open.file.write_at(&frame.bytes, position).and_then(|()| pass(Point::FrameWritten));
        written.map_err(WriteError::of("cannot write a frame"))?;
        if sync {
            let synced = pass(Point::FrameSync).and_then(|()| active.open.file.sync_data());
            synced.map_err(|error| WriteError::Failed("cannot sync a frame", error))?;
            reached(Point::FrameSynced);
        }
        active.totals.note_frame(active.segment.header.base, frame, self.chain);
        Ok(())
    }

    /// The base of the segment that is being written.
    pub(crate) fn active_base(&self) -> Option<Offset> {
        self.active.as_ref().map(|active| active.segment.header.base)
    }

    /// Makes what was written visible to readers.
    pub(crate) fn publish(&self) {
        let Some(active) = &self.active else { return };
        let published = active.open.records();
        assert!(published <= active.totals.index.len(), "nothing is visible that was not written");
        active.open.publish(&active.totals.index[published..], active.totals.frames_end);
    }

    /// Seals the active segment: index and footer, exact length, synced. If it found no space it can be called again.
    pub(crate) fn seal(&mut self) -> Result<(), WriteError> {
        let Some(active) = &self.active else {
            return Ok(());
        };
        let file = &active.open.file;
        assert!(active.totals.sealed_bytes(0) < active.segment.header.allocated_bytes, "prepare left room for the end");
        let synced = |error| WriteError::Failed("cannot sync a segment", error);
        if self.options.lane == Lane::Ephemeral {
            file.sync_data().map_err(synced)?;
        }
        write_end(file, &active.segment.key, &active.totals).map_err(WriteError::of("cannot seal a segment"))?;
        file.sync_data().map_err(synced)?;
        cut(file, &active.totals).map_err(WriteError::of("cannot seal a segment"))?;
        file.sync_data().and_then(|()| pass(Point::Sealed)).map_err(synced)?;
        self.catalog.seal(&active.segment, active.totals.footer().0);
        self.active = None;
        Ok(())
    }

    /// Drops sealed segments whose last record is older than `before`.
    pub(crate) fn drop_older_than(&self, before: TimestampMs) -> Result<(), WriteError> {
        let lane = self.options.lane;
        assert!(lane == Lane::Ephemeral, "the journal is kept");
        for segment in self.catalog.segments(lane) {
            let old = segment.footer().is_some_and(|footer| footer.last_timestamp < before);
            if !old {
                break;
            }
            match self.storage.remove(&segment.path) {
                // A file system that copies on write may need space to give some back: the next segment tries again.
                Err(error) if is_full(&error) => break,
                removed => removed.map_err(|error| WriteError::Failed("cannot remove an old segment", error))?,
            }
            self.catalog.drop_oldest(lane);
        }
        Ok(())
    }
}

impl Active {
    /// Writes and syncs the head of a frame alone. A frame in which somebody has planted what looks like frames could
    /// not be told from damage if a crash left its payloads and not its head; see `FORMAT.md`.
    fn write_head(&self, frame: &Frame, position: u64) -> Result<(), WriteError> {
        let written = self.open.file.write_at(&frame.bytes[..FRAME_HEADER_BYTES], position);
        written.map_err(WriteError::of("cannot write a frame"))?;
        let synced = pass(Point::FrameSync).and_then(|()| self.open.file.sync_data());
        synced.map_err(|error| WriteError::Failed("cannot sync a frame", error))
    }

    /// Writes zeros ahead of small frames. A block that was only allocated has to be marked as written when
    /// it is first synced, which costs a metadata commit; this pays for many frames at once.
    fn zero_ahead(&mut self, end: u64, frame_bytes: u64, zero_ahead_bytes: u64) -> io::Result<()> {
        if end <= self.zeroed_to {
            return Ok(());
        }
        if frame_bytes * ZERO_AHEAD_FRACTION >= zero_ahead_bytes {
            self.zeroed_to = end;
            return Ok(());
        }
        assert!(self.zeroed_to <= self.segment.header.allocated_bytes, "nothing is written beyond the file's end");
        let to = (end + zero_ahead_bytes).next_multiple_of(ALLOCATION_UNIT).min(self.segment.header.allocated_bytes);
        self.open.file.write_at(&vec![0; (to - end) as usize], end)?;
        self.zeroed_to = to;
        Ok(())
    }
}
