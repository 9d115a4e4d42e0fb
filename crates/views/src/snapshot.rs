//! Reading the views at one common offset.

use std::ops::Bound;
use std::sync::Arc;

use engram_log::{Log, Offset, Record};
use fjall::Readable;

use crate::error::ViewError;
use crate::key::Key;
use crate::memory::Memory;
use crate::read::{KEY_BYTES_MAX, Read, Value, Visit};
use crate::scan::{self, Range};
use crate::store::{Store, Tables};
use crate::table::Table;
use crate::view::View;

/// All views at one offset.
pub struct Snapshot {
    pub(crate) offset: Offset,
    pub(crate) base: fjall::Snapshot,
    pub(crate) tables: Arc<Tables>,
    pub(crate) views: Arc<[View]>,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) store: Arc<Store>,
}

impl Snapshot {
    /// The offset that every table is at.
    pub fn offset(&self) -> Offset {
        self.offset
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
