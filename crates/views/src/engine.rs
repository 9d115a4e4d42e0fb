//! The views being written: records go in, atomic batches come out.

use std::any::Any;
use std::sync::Arc;

use engram_log::{Kind, Lane, Log, Offset, Record};
use engram_log_format::Retention;
use engram_log_format::input::retention;
use fjall::{OwnedWriteBatch, PersistMode};

use crate::error::{ProjectError, ViewError};
use crate::layout::{self, CURSORS, LAYOUT};
use crate::overlay::Overlay;
use crate::projector::{Apply, Projector};
use crate::store::{CURSOR_KEY, Store, Tables};
use crate::table::Table;

/// What projectors emitted, each with the offset of its record.
pub(crate) type Deltas = Vec<(Offset, Box<dyn Any + Send>)>;

/// One view and how far it has come.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) name: &'static str,
    pub(crate) version: u32,
    pub(crate) generation: u32,
    pub(crate) tables: &'static [&'static Table],
    /// The last journal record applied.
    pub(crate) cursor: Offset,
    /// What the cursor row of each table says.
    pub(crate) table_cursors: Vec<Offset>,
}

/// All views of a store with the projectors that write them. The only writer.
pub(crate) struct Engine {
    pub(crate) store: Arc<Store>,
    pub(crate) tables: Arc<Tables>,
    pub(crate) views: Vec<View>,
    pub(crate) projectors: Vec<Box<dyn Projector>>,
    pub(crate) log: Arc<dyn Log>,
    /// The store as of the last commit: what projectors read under their own pending writes.
    pub(crate) base: fjall::Snapshot,
    overlay: Overlay,
    /// The view that owns each table.
    owners: Box<[u8; 256]>,
    /// Whether the row `cursors` is behind the views' cursors, which moved without any row.
    cursors_behind: bool,
    /// Whether batches may write the row `cursors`: not while a generation is built beside the current one.
    current: bool,
}

impl Engine {
    pub(crate) fn new(
        store: Arc<Store>,
        tables: Arc<Tables>,
        views: Vec<View>,
        mut projectors: Vec<Box<dyn Projector>>,
        log: Arc<dyn Log>,
        current: bool,
    ) -> Self {
        assert_eq!(views.len(), projectors.len(), "every view has its projector");
        for projector in &mut projectors {
            projector.reset();
        }
        let mut owners = Box::new([u8::MAX; 256]);
        for (index, view) in (0..).zip(&views) {
            for table in view.tables {
                owners[usize::from(table.number)] = index;
            }
        }
        let base = store.db.snapshot();
        Self {
            store,
            tables,
            views,
            projectors,
            log,
            base,
            overlay: Overlay::new(),
            owners,
            cursors_behind: false,
            current,
        }
    }

    /// The least cursor: everything up to it is in every view.
    pub(crate) fn cursor(&self) -> Offset {
        self.views.iter().map(|view| view.cursor).min().unwrap_or(Offset::ZERO)
    }

    /// Applies records in order and commits what they wrote as one batch.
    ///
    /// After an error nothing of the batch is committed, and the engine must not be used again.
    pub(crate) fn apply(&mut self, records: &[Record], mut deltas: Option<&mut Deltas>) -> Result<(), ProjectError> {
        let mut last = None;
        for record in records.iter().filter(|record| record.lane == Lane::Journal) {
            last = Some(record.offset);
            if is_input(record) {
                self.project(record, deltas.as_deref_mut())?;
            }
        }
        let Some(last) = last else { return Ok(()) };
        for view in &mut self.views {
            view.cursor = view.cursor.max(last);
        }
        if self.overlay.rows() == 0 {
            self.cursors_behind = true;
            return Ok(());
        }
        Ok(self.commit()?)
    }

    fn project(&mut self, record: &Record, mut deltas: Option<&mut Deltas>) -> Result<(), ProjectError> {
        let input = record.input().map_err(|source| ProjectError::Decode { offset: record.offset, source })?;
        for ((index, view), projector) in (0..).zip(&self.views).zip(&mut self.projectors) {
            // Views that are further along wait for the others.
            if view.cursor >= record.offset {
                continue;
            }
            let mut apply = Apply {
                offset: record.offset,
                view: index,
                owners: &self.owners,
                tables: &self.tables,
                base: &self.base,
                overlay: &mut self.overlay,
                deltas: deltas.as_deref_mut(),
                log: &*self.log,
            };
            projector.apply(record, input, &mut apply)?;
        }
        Ok(())
    }

    /// Writes the pending rows, the cursor row of every keyspace that they touch and the common
    /// row of cursors, all in one atomic batch.
    fn commit(&mut self) -> Result<(), ViewError> {
        let capacity = self.overlay.rows() + self.overlay.touched().len() + 1;
        let mut batch = self.batch(capacity);
        for (number, rows) in self.overlay.drain() {
            let keyspace = self.tables.by_number(number);
            for (key, value) in rows {
                match value {
                    Some(value) => batch.insert(keyspace, key, value),
                    None => batch.remove(keyspace, key),
                }
            }
            let view = &mut self.views[usize::from(self.owners[usize::from(number)])];
            let place = view.tables.iter().position(|table| table.number == number);
            view.table_cursors[place.expect("an owner lists its tables")] = view.cursor;
            batch.insert(keyspace, CURSOR_KEY, view.cursor.to_be_bytes());
        }
        if self.current {
            batch.insert(&self.store.meta, CURSORS, self.cursors_row());
        }
        batch.commit()?;
        self.cursors_behind = false;
        self.base = self.store.db.snapshot();
        Ok(())
    }

    /// Commits how far the views have come, if that is behind, and brings everything to stable storage.
    pub(crate) fn checkpoint(&mut self) -> Result<(), ViewError> {
        if self.cursors_behind && self.current {
            let mut batch = self.batch(1);
            batch.insert(&self.store.meta, CURSORS, self.cursors_row());
            batch.commit()?;
            self.cursors_behind = false;
        }
        self.store.db.persist(PersistMode::SyncData)?;
        Ok(())
    }

    /// Makes the engine's generations the current ones, all at once, and deletes all others.
    pub(crate) fn make_current(&mut self) -> Result<(), ViewError> {
        // What the new rows say must be there before anything points at them.
        self.store.db.persist(PersistMode::SyncData)?;
        let names = self.views.iter().map(|view| (view.name, view.version, view.generation));
        let mut batch = self.batch(2).durability(Some(PersistMode::SyncData));
        batch.insert(&self.store.meta, LAYOUT, layout::encode_layout(names));
        batch.insert(&self.store.meta, CURSORS, self.cursors_row());
        batch.commit()?;
        self.current = true;
        self.store.delete_others(&self.tables)?;
        self.base = self.store.db.snapshot();
        Ok(())
    }

    fn batch(&self, capacity: usize) -> OwnedWriteBatch {
        OwnedWriteBatch::with_capacity(self.store.db.clone(), capacity).durability(Some(PersistMode::Buffer))
    }

    fn cursors_row(&self) -> Vec<u8> {
        layout::encode_cursors(self.views.iter().map(|view| (view.cursor, layout::check(&view.table_cursors))))
    }
}

/// Whether projectors are given a record: not the log's own bookkeeping, and not a payload that was
/// erased, which happens only to those that have no effect any more.
fn is_input(record: &Record) -> bool {
    let erasable = matches!(retention(record.kind), Some(Retention::UntilDelivered | Retention::ByAge));
    record.kind >= Kind(Kind::FIRST_INPUT) && !(erasable && record.payload().is_empty())
}
