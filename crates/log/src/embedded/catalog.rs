//! The segments of both lanes: which there are, and reading records of them.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use engram_log_format::frame::SegmentKey;
use engram_log_format::record::{self, RecordHeader};
use engram_log_format::segment::{Footer, IndexEntry, SegmentHeader, decode_index};
use engram_log_format::{Lane, Offset};
use rkyv::util::AlignedVec;

use super::files::read_footer;
use crate::interface::ReadError;
use crate::limits::SEGMENTS_OPEN_MAX;
use crate::record::Record;
use crate::storage::{File, Storage};
use crate::sync::{Mutex, RwLock};

/// One segment. A rewrite gives it another file and footer; all else stays.
pub(crate) struct Segment {
    pub(crate) header: SegmentHeader,
    pub(crate) key: SegmentKey,
    pub(crate) path: String,
    footer: RwLock<Option<Arc<Footer>>>,
    open: Mutex<Option<Arc<OpenSegment>>>,
}

/// A segment's file with its index. Of the active segment both grow.
pub(crate) struct OpenSegment {
    pub(crate) file: Arc<dyn File>,
    index: RwLock<Vec<IndexEntry>>,
    frames_end: AtomicU64,
}

impl OpenSegment {
    pub(crate) fn new(file: Arc<dyn File>, index: Vec<IndexEntry>, frames_end: u64) -> Arc<Self> {
        assert!(index.last().is_none_or(|last| last.position() < frames_end), "records lie in frames");
        Arc::new(Self { file, index: RwLock::new(index), frames_end: AtomicU64::new(frames_end) })
    }

    /// Makes records visible to readers.
    pub(crate) fn publish(&self, entries: &[IndexEntry], frames_end: u64) {
        let mut index = self.index.write();
        let follows = |first: &IndexEntry| index.last().is_none_or(|last| last.delta < first.delta);
        assert!(entries.first().is_none_or(follows), "offsets ascend from commit to commit");
        assert!(frames_end >= self.frames_end(), "what was visible stays visible");
        index.extend_from_slice(entries);
        drop(index);
        self.frames_end.store(frames_end, Ordering::Release);
    }

    /// Number of records that readers may see.
    pub(crate) fn records(&self) -> usize {
        self.index.read().len()
    }

    /// Where the frames that readers may see end.
    pub(crate) fn frames_end(&self) -> u64 {
        self.frames_end.load(Ordering::Acquire)
    }

    /// The start of the frame that holds the first record at or after `delta`; the end if there is none.
    pub(crate) fn frame_position(&self, delta: u64) -> u64 {
        let index = self.index.read();
        let mut at = index.partition_point(|entry| u64::from(entry.delta) < delta);
        if at == index.len() {
            return self.frames_end();
        }
        while !index[at].is_first_of_frame() {
            at -= 1;
        }
        index[at].position() - engram_log_format::frame::FRAME_HEADER_BYTES as u64
    }

    /// Where the record is: its start, and the start of what follows it.
    fn locate(&self, delta: u32) -> Option<(u64, u64)> {
        let index = self.index.read();
        let at = index.binary_search_by_key(&delta, |entry| entry.delta).ok()?;
        let end = index.get(at + 1).map_or_else(|| self.frames_end(), |next| next.position());
        Some((index[at].position(), end))
    }
}

impl Segment {
    /// A segment that is sealed.
    pub(crate) fn sealed(header: SegmentHeader, path: String, footer: Footer) -> Arc<Self> {
        let footer = RwLock::new(Some(Arc::new(footer)));
        Arc::new(Self { key: header.key(), header, path, footer, open: Mutex::new(None) })
    }

    /// A segment without footer, whose index is in memory.
    pub(crate) fn unsealed(header: SegmentHeader, path: String, open: Arc<OpenSegment>) -> Arc<Self> {
        Arc::new(Self { key: header.key(), header, path, footer: RwLock::new(None), open: Mutex::new(Some(open)) })
    }

    /// Notes that the path names another file now, which holds the same records. Readers that have the old one open may
    /// finish.
    pub(crate) fn replaced(&self, footer: Footer) {
        let footer = Arc::new(footer);
        let before = self.footer.write().replace(footer.clone());
        assert!(before.is_some_and(|before| footer.is_rewrite_of(&before)), "a rewrite of what was sealed");
        *self.open.lock() = None;
    }

    /// The footer, if it is sealed.
    pub(crate) fn footer(&self) -> Option<Arc<Footer>> {
        self.footer.read().clone()
    }
}

/// The segments of both lanes.
pub(crate) struct Catalog {
    storage: Arc<dyn Storage>,
    journal: RwLock<Vec<Arc<Segment>>>,
    ephemeral: RwLock<Vec<Arc<Segment>>>,
    /// Sealed segments that are open, oldest first.
    cached: Mutex<VecDeque<Arc<Segment>>>,
}

impl Catalog {
    pub(crate) fn new(storage: Arc<dyn Storage>, journal: Vec<Arc<Segment>>, ephemeral: Vec<Arc<Segment>>) -> Self {
        Self {
            storage,
            journal: RwLock::new(journal),
            ephemeral: RwLock::new(ephemeral),
            cached: Mutex::new(VecDeque::new()),
        }
    }

    pub(crate) fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    fn lane(&self, lane: Lane) -> &RwLock<Vec<Arc<Segment>>> {
        match lane {
            Lane::Journal => &self.journal,
            Lane::Ephemeral => &self.ephemeral,
        }
    }

    /// All segments of a lane, oldest first.
    pub(crate) fn segments(&self, lane: Lane) -> Vec<Arc<Segment>> {
        self.lane(lane).read().clone()
    }

    /// Adds the newest segment of a lane.
    pub(crate) fn add(&self, lane: Lane, segment: Arc<Segment>) {
        let mut segments = self.lane(lane).write();
        assert!(segments.last().is_none_or(|last| last.header.base < segment.header.base), "bases ascend");
        segments.push(segment);
    }

    /// Notes that a segment was sealed; its file and index stay open for now.
    pub(crate) fn seal(&self, segment: &Arc<Segment>, footer: Footer) {
        let visible = segment.open.lock().as_ref().map(|open| open.records() as u64);
        assert!(visible.is_none_or(|visible| visible == u64::from(footer.records)), "all its records are visible");
        let before = segment.footer.write().replace(Arc::new(footer));
        assert!(before.is_none(), "a segment is sealed once");
        self.note_open(segment);
    }

    /// Forgets the oldest segment of a lane. Readers that have it open may finish.
    pub(crate) fn drop_oldest(&self, lane: Lane) {
        let mut segments = self.lane(lane).write();
        assert!(lane == Lane::Ephemeral && !segments.is_empty(), "the journal is kept");
        segments.remove(0);
    }

    /// The segment after which `offset` would be, if any: the last with a base at or below it.
    pub(crate) fn find(&self, lane: Lane, offset: Offset) -> Option<Arc<Segment>> {
        let segments = self.lane(lane).read();
        let after = segments.partition_point(|segment| segment.header.base <= offset);
        debug_assert!(segments.is_sorted_by(|one, two| one.header.base < two.header.base), "bases ascend");
        after.checked_sub(1).map(|at| segments[at].clone())
    }

    /// The first segment whose base is above `offset`.
    pub(crate) fn next(&self, lane: Lane, offset: Offset) -> Option<Arc<Segment>> {
        let segments = self.lane(lane).read();
        let at = segments.partition_point(|segment| segment.header.base <= offset);
        segments.get(at).cloned()
    }

    /// The segment's file and index.
    pub(crate) fn open(&self, segment: &Arc<Segment>) -> Result<Arc<OpenSegment>, ReadError> {
        let mut slot = segment.open.lock();
        if let Some(open) = &*slot {
            return Ok(open.clone());
        }
        let known = segment.footer().expect("only sealed segments are closed");
        let damaged = |error: &dyn std::fmt::Display| ReadError::Damaged(format!("{}: {error}", segment.path));
        let file = self.storage.open(&segment.path, false)?;
        // The file may have been rewritten, also by another process: where its records lie, its own footer knows.
        let footer = read_footer(&file, file.len()?, &segment.header, false)?.map_err(|error| damaged(&error))?;
        if !footer.is_rewrite_of(&known) {
            return Err(damaged(&"its footer is that of other records"));
        }
        let mut bytes = vec![0; footer.index_bytes()];
        file.read_at(&mut bytes, footer.frames_end)?;
        let index = decode_index(&bytes, &footer).map_err(|error| damaged(&error))?;
        let open = OpenSegment::new(file, index, footer.frames_end);
        *slot = Some(open.clone());
        drop(slot);
        self.note_open(segment);
        Ok(open)
    }

    /// Bounds the number of sealed segments that are open.
    fn note_open(&self, segment: &Arc<Segment>) {
        let mut cached = self.cached.lock();
        cached.push_back(segment.clone());
        let closing = if cached.len() > SEGMENTS_OPEN_MAX { cached.pop_front() } else { None };
        drop(cached);
        if let Some(oldest) = closing {
            *oldest.open.lock() = None;
        }
    }

    /// The first record of the journal.
    pub(crate) fn first_record(&self) -> Result<Option<Record>, ReadError> {
        for segment in self.segments(Lane::Journal) {
            let open = self.open(&segment)?;
            let first = open.index.read().first().map(|entry| Offset(segment.header.base.0 + u64::from(entry.delta)));
            if let Some(first) = first {
                return self.read(Lane::Journal, first);
            }
        }
        Ok(None)
    }

    /// Reads a record of a lane; `None` if it has none with this offset.
    pub(crate) fn read(&self, lane: Lane, offset: Offset) -> Result<Option<Record>, ReadError> {
        let found = self.read_stored(lane, offset)?;
        Ok(found.map(|(header, bytes)| super::record_at(lane, &Arc::new(bytes), 0, &header)))
    }

    /// Reads a record of a lane as it is stored, and checks it.
    pub(crate) fn read_stored(
        &self,
        lane: Lane,
        offset: Offset,
    ) -> Result<Option<(RecordHeader, AlignedVec)>, ReadError> {
        let Some(segment) = self.find(lane, offset) else {
            return Ok(None);
        };
        let Ok(delta) = u32::try_from(offset.0 - segment.header.base.0) else {
            return Ok(None);
        };
        let open = self.open(&segment)?;
        let Some((start, end)) = open.locate(delta) else {
            return Ok(None);
        };
        let damaged = |reason: String| {
            ReadError::Damaged(format!("segment {}, byte {start}, record {offset}: {reason}", segment.path))
        };
        let mut bytes = AlignedVec::with_capacity((end - start) as usize);
        bytes.resize((end - start) as usize, 0);
        open.file.read_at(&mut bytes, start).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => damaged("the file ends before it".to_owned()),
            _ => ReadError::Io(error),
        })?;
        let header = record::check(&bytes).map_err(|error| damaged(error.to_string()))?;
        if header.offset != offset {
            return Err(damaged(format!("record {} is there instead", header.offset)));
        }
        Ok(Some((header, bytes)))
    }
}
