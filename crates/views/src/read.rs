//! Reading tables: the same for a projector in the middle of a batch and for a reader of a snapshot.

use std::ops::{Bound, ControlFlow};

use engram_log::{Offset, Record};

use crate::error::ViewError;
use crate::memory::Memory;
use crate::table::Table;

/// The longest key that the store takes after the number of the table; it panics on longer ones. What is read may be
/// named by anybody: a longer key is in no table. What a projector writes is its own business, and checked when it
/// writes.
pub(crate) const KEY_BYTES_MAX: usize = 65_534;

/// A value of a row; cheap to clone.
pub type Value = fjall::Slice;

/// Is shown rows, key and value, until it breaks.
pub type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>;

/// Read access to the tables at one offset, and to the records that they refer to.
///
/// Query code is written once against this trait and used by projectors ([`crate::Apply`]) and readers
/// ([`crate::Snapshot`]) alike.
pub trait Read {
    /// The value of a key.
    fn get(&self, table: &Table, key: &[u8]) -> Result<Option<Value>, ViewError>;

    /// Visits rows in key order (or the reverse) until the visitor breaks.
    fn scan(
        &self,
        table: &Table,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        reverse: bool,
        visit: Visit<'_>,
    ) -> Result<(), ViewError>;

    /// The record at an offset.
    fn record(&self, offset: Offset) -> Result<Record, ViewError>;

    /// What readers of these tables remember; none for those that change while they are read.
    fn memory(&self) -> Option<&Memory> {
        None
    }
}

/// Conveniences over [`Read`].
pub trait ReadExt: Read {
    /// Visits all rows whose key begins with a prefix, in key order.
    fn scan_prefix(&self, table: &Table, prefix: &[u8], visit: Visit<'_>) -> Result<(), ViewError> {
        let end = prefix_end(prefix);
        let to = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        self.scan(table, Bound::Included(prefix), to, false, visit)
    }

    /// Whether a key exists.
    fn contains(&self, table: &Table, key: &[u8]) -> Result<bool, ViewError> {
        Ok(self.get(table, key)?.is_some())
    }
}

impl<R: Read + ?Sized> ReadExt for R {}

/// The least key greater than every key with this prefix; none if there is none.
pub fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}
