//! The views being written: records go in, atomic batches come out.

use std::collections::BTreeMap;
use std::sync::Arc;

use engram_failpoints::{Point, reached};
use engram_log::{Kind, Lane, Log, Offset, PayloadState, Record};
use engram_log_format::Retention;
use engram_log_format::input::retention;
use fjall::OwnedWriteBatch;

use crate::delta::DeltaList;
use crate::error::{ProjectError, ViewError};
use crate::key::CURSOR_KEY;
use crate::layout::{self, CURSORS, LAYOUT};
use crate::overlay::{Overlay, Rows};
use crate::projector::{AnyProjector, Place};
use crate::snapshot::Snapshot;
use crate::store::{Store, Tables};
pub(crate) use crate::view::View;

/// Records after which live views bring to files what they have in memory: what is replayed after a crash, in about a
/// second.
const FLUSH_RECORDS: u64 = 20_000;
/// The same for a moment at which there is nothing else to do: few enough to be worth a file.
const FLUSH_RECORDS_IDLE: u64 = 2000;

/// Pending rows from which on they are written straight into files: enough that each file is worth its syncs, and that
/// hot rows are written once for many records; about 10 MB of memory.
const INGEST_ROWS: usize = 50_000;

/// All views of a store with the projectors that write them. The only writer.
pub(crate) struct Engine {
    pub(crate) store: Arc<Store>,
    pub(crate) tables: Arc<Tables>,
    pub(crate) views: Vec<View>,
    pub(crate) projectors: Vec<Box<dyn AnyProjector>>,
    pub(crate) log: Arc<dyn Log>,
    /// The store as of the last commit: what projectors read under their own pending writes.
    pub(crate) base: fjall::Snapshot,
    /// Free space below which nothing is to be written; zero for none.
    pub(crate) free_bytes_min: u64,
    overlay: Overlay,
    /// The view that owns each table.
    owners: Box<[u8; 256]>,
    /// Pending rows from which on a replay writes them out.
    pub(crate) ingest_rows: usize,
    /// Everything up to here is in files, or on its way.
    flushed: Offset,
}

impl Engine {
    pub(crate) fn new(
        store: Arc<Store>,
        tables: Arc<Tables>,
        views: Vec<View>,
        mut projectors: Vec<Box<dyn AnyProjector>>,
        log: Arc<dyn Log>,
    ) -> Self {
        assert_eq!(views.len(), projectors.len(), "every view has its projector");
        for projector in &mut projectors {
            projector.reset();
        }
        let mut owners = Box::new([u8::MAX; 256]);
        for (index, view) in (0..).zip(&views) {
            assert!(!view.tables.is_empty(), "a view's rows and its cursor lie in the keyspace of its tables");
            for table in view.tables {
                assert!(owners[usize::from(table.number)] == u8::MAX, "a table belongs to one view");
                owners[usize::from(table.number)] = index;
            }
        }
        let base = store.db.snapshot();
        let flushed = views.iter().map(|view| view.written).min().unwrap_or(Offset::ZERO);
        Self {
            store,
            tables,
            views,
            projectors,
            log,
            base,
            free_bytes_min: 0,
            overlay: Overlay::new(),
            owners,
            ingest_rows: INGEST_ROWS,
            flushed,
        }
    }

    /// Empty lists for what the projectors tell, in their order.
    pub(crate) fn lists(&self) -> Vec<DeltaList> {
        self.projectors.iter().map(|projector| projector.list()).collect()
    }

    /// The least cursor: everything up to it is in every view.
    pub(crate) fn cursor(&self) -> Offset {
        self.views.iter().map(|view| view.cursor).min().unwrap_or(Offset::ZERO)
    }

    /// Applies records in order and commits what they wrote as one batch.
    ///
    /// After an error nothing of the batch is committed, and the engine must not be used again.
    pub(crate) fn apply(&mut self, records: &[Record], deltas: Option<&mut [DeltaList]>) -> Result<(), ProjectError> {
        self.pend(records, deltas)?;
        Ok(self.commit()?)
    }

    /// Whether the disk has the space that has to be left for what the store does in the background. The store must not
    /// meet a full disk: after that it takes no writes any more until it is opened anew.
    pub(crate) fn has_room(&self) -> bool {
        self.free_bytes_min == 0 || self.store.free_bytes().is_none_or(|free_bytes| free_bytes >= self.free_bytes_min)
    }

    /// Applies records in order and keeps what they wrote for a later commit.
    pub(crate) fn pend(
        &mut self,
        records: &[Record],
        mut deltas: Option<&mut [DeltaList]>,
    ) -> Result<(), ProjectError> {
        assert!(records.is_sorted_by(|one, two| one.offset < two.offset), "records come in the order of the log");
        let mut last = None;
        for record in records.iter().filter(|record| record.lane == Lane::Journal) {
            last = Some(record.offset);
            if is_input(record) {
                self.project(record, deltas.as_deref_mut())?;
            }
        }
        for view in &mut self.views {
            view.cursor = view.cursor.max(last.unwrap_or_default());
        }
        Ok(())
    }

    /// The number of rows that wait for a commit.
    pub(crate) fn pending_rows(&self) -> usize {
        self.overlay.rows()
    }

    fn project(&mut self, record: &Record, mut deltas: Option<&mut [DeltaList]>) -> Result<(), ProjectError> {
        let input = record.input().map_err(|source| ProjectError::Decode { offset: record.offset, source })?;
        for ((index, view), projector) in (0..).zip(&self.views).zip(&mut self.projectors) {
            // Views that are further along wait for the others.
            if view.cursor >= record.offset {
                continue;
            }
            let place = Place {
                offset: record.offset,
                view: index,
                owners: &self.owners,
                tables: &self.tables,
                base: &self.base,
                overlay: &mut self.overlay,
                log: &*self.log,
            };
            let list = deltas.as_deref_mut().map(|lists| &mut lists[usize::from(index)]);
            projector.apply(record, input, place, list)?;
        }
        Ok(())
    }

    /// Writes the pending rows and the cursors of the views that they belong to as one atomic batch.
    ///
    /// A view without rows keeps its cursor row for now. That is safe: records that wrote nothing write nothing
    /// again, and [`Engine::flush_if_due`] bounds how many there are.
    pub(crate) fn commit(&mut self) -> Result<(), ViewError> {
        if self.overlay.rows() == 0 {
            return Ok(());
        }
        let mut batch = self.batch(self.overlay.rows() + self.views.len());
        for (index, tables) in self.drain_views() {
            let view = &mut self.views[index];
            let keyspace = self.tables.get(view.tables[0]);
            for (key, value) in tables.into_iter().flatten() {
                match value {
                    Some(value) => batch.insert(keyspace, key, value),
                    None => batch.remove(keyspace, key),
                }
            }
            batch.insert(keyspace, CURSOR_KEY, view.cursor.to_be_bytes());
            view.written = view.cursor;
        }
        assert!(self.overlay.rows() == 0, "everything that was pending is in the batch");
        reached(Point::ViewsCommit);
        batch.commit()?;
        reached(Point::ViewsCommitted);
        self.base = self.store.db.snapshot();
        Ok(())
    }

    /// Writes the pending rows straight into sorted files: for a replay, which can be begun again.
    ///
    /// Atomic for each view, not for all: after a crash between two, the views are at different records, and
    /// each goes on from its own.
    pub(crate) fn ingest(&mut self) -> Result<(), ViewError> {
        for (index, tables) in self.drain_views() {
            let view = &mut self.views[index];
            let mut ingestion = self.tables.get(view.tables[0]).start_ingestion()?;
            for (key, value) in tables.into_iter().flatten() {
                match value {
                    Some(value) => ingestion.write(key, value)?,
                    None => ingestion.write_tombstone(key)?,
                }
            }
            // Greater than every table's key.
            ingestion.write(CURSOR_KEY, view.cursor.to_be_bytes())?;
            ingestion.finish()?;
            view.written = view.cursor;
        }
        self.base = self.store.db.snapshot();
        Ok(())
    }

    /// Takes out the pending rows by view, tables in order of their numbers.
    fn drain_views(&mut self) -> BTreeMap<usize, Vec<Rows>> {
        let mut views = BTreeMap::<_, Vec<_>>::new();
        for (number, rows) in self.overlay.drain() {
            let owner = usize::from(self.owners[usize::from(number)]);
            assert!(owner < self.views.len(), "pending rows are those of a view that is written here");
            views.entry(owner).or_default().push(rows);
        }
        views
    }

    /// Commits how far the views have come.
    pub(crate) fn checkpoint(&mut self) -> Result<(), ViewError> {
        let mut batch = self.batch(self.views.len());
        for view in self.views.iter_mut().filter(|view| view.written < view.cursor) {
            batch.insert(self.tables.get(view.tables[0]), CURSOR_KEY, view.cursor.to_be_bytes());
            view.written = view.cursor;
        }
        assert!(self.views.iter().all(|view| view.written == view.cursor), "a checkpoint says how far all are");
        reached(Point::ViewsCheckpoint);
        batch.commit()?;
        reached(Point::ViewsCheckpointed);
        Ok(())
    }

    /// Has what is in memory written to files, once there is enough of it and the disk has room, and does not wait for
    /// that.
    pub(crate) fn flush_if_due(&mut self, idle: bool) -> Result<(), ViewError> {
        let due = if idle { FLUSH_RECORDS_IDLE } else { FLUSH_RECORDS };
        if self.cursor().0 < self.flushed.0 + due || !self.has_room() {
            return Ok(());
        }
        self.checkpoint()?;
        for view in &self.views {
            self.tables.get(view.tables[0]).rotate_memtable()?;
        }
        assert!(self.flushed <= self.cursor(), "views do not go back");
        self.flushed = self.cursor();
        Ok(())
    }

    /// Brings everything to stable storage, and then what is said of it: the row `cursors` never promises what a crash
    /// can take.
    ///
    /// Only for current generations: the row `cursors` speaks of those.
    pub(crate) fn flush(&mut self) -> Result<(), ViewError> {
        let mut batch = self.batch(1);
        batch.insert(&self.store.meta, CURSORS, layout::encode_cursors(&self.views));
        self.flush_views()?;
        batch.commit()?;
        self.store.flush(&self.store.meta)
    }

    fn flush_views(&mut self) -> Result<(), ViewError> {
        self.checkpoint()?;
        for view in &self.views {
            self.store.flush(self.tables.get(view.tables[0]))?;
        }
        self.flushed = self.cursor();
        Ok(())
    }

    /// Makes the engine's generations the current ones, all at once, and deletes all others.
    pub(crate) fn make_current(&mut self) -> Result<(), ViewError> {
        // What the new rows say must be there before anything points at them.
        self.flush_views()?;
        assert!(self.overlay.rows() == 0, "nothing that is pending belongs to what is made current");
        let mut batch = self.batch(2);
        batch.insert(&self.store.meta, LAYOUT, layout::encode_layout(&self.views));
        batch.insert(&self.store.meta, CURSORS, layout::encode_cursors(&self.views));
        reached(Point::ViewsSwitch);
        batch.commit()?;
        self.store.flush(&self.store.meta)?;
        reached(Point::ViewsSwitched);
        self.store.delete_others(&self.tables)?;
        self.base = self.store.db.snapshot();
        Ok(())
    }

    fn batch(&self, capacity: usize) -> OwnedWriteBatch {
        OwnedWriteBatch::with_capacity(self.store.db.clone(), capacity)
    }
}

impl Snapshot {
    /// The engine's last commit, shown as the state at `offset`.
    pub(crate) fn of(engine: &Engine, views: Arc<[View]>, offset: Offset) -> Self {
        assert!(views.iter().all(|view| view.written <= view.cursor), "no row is ahead of its view");
        Self {
            offset,
            base: engine.base.clone(),
            tables: Arc::clone(&engine.tables),
            views,
            log: Arc::clone(&engine.log),
            store: Arc::clone(&engine.store),
        }
    }
}

/// Whether projectors are given a record: not the log's own bookkeeping but for what was erased, and not a payload that
/// is gone, which happens only to those that have no effect any more.
fn is_input(record: &Record) -> bool {
    let erasable = !matches!(retention(record.kind), None | Some(Retention::Keep));
    let is_for_projectors = record.kind >= Kind(Kind::FIRST_INPUT) || record.kind == Kind::ERASED;
    is_for_projectors && !(erasable && record.state() == PayloadState::Gone)
}
