//! Reading the views at one common offset.

use std::ops::Bound;
use std::sync::Arc;

use engram_log::{Log, Offset, Record};
use fjall::Readable;

use crate::engine::{Engine, View};
use crate::error::ViewError;
use crate::key::Key;
use crate::memory::Memory;
use crate::read::{KEY_BYTES_MAX, Read, Value, Visit};
use crate::scan::{self, Range};
use crate::store::{Store, Tables};
use crate::table::Table;

/// All views at one offset.
pub struct Snapshot {
    offset: Offset,
    pub(crate) base: fjall::Snapshot,
    pub(crate) tables: Arc<Tables>,
    pub(crate) views: Arc<[View]>,
    log: Arc<dyn Log>,
    store: Arc<Store>,
}

impl Snapshot {
    /// The offset that every table is at.
    pub fn offset(&self) -> Offset {
        self.offset
    }

    /// The engine's last commit, shown as the state at `offset`.
    pub(crate) fn of(engine: &Engine, views: Arc<[View]>, offset: Offset) -> Self {
        Self {
            offset,
            base: engine.base.clone(),
            tables: Arc::clone(&engine.tables),
            views,
            log: Arc::clone(&engine.log),
            store: Arc::clone(&engine.store),
        }
    }

    fn noted<T>(&self, result: Result<T, ViewError>) -> Result<T, ViewError> {
        result.inspect_err(|error| self.store.note(error))
    }
}

impl Read for Snapshot {
    fn get(&self, table: &Table, key: &[u8]) -> Result<Option<Value>, ViewError> {
        if key.len() > KEY_BYTES_MAX {
            return Ok(None);
        }
        self.noted(self.base.get(self.tables.get(table), Key::new(table.number, key)).map_err(Into::into))
    }

    fn scan(
        &self,
        table: &Table,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        reverse: bool,
        visit: Visit<'_>,
    ) -> Result<(), ViewError> {
        self.noted(scan::stored(
            &self.base,
            self.tables.get(table),
            &Range::new(table.number, from, to, reverse),
            visit,
        ))
    }

    fn record(&self, offset: Offset) -> Result<Record, ViewError> {
        Ok(self.log.read(offset)?)
    }

    fn memory(&self) -> Option<&Memory> {
        Some(&self.tables.memory)
    }
}
