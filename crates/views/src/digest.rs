//! What a view contains, in 32 bytes: how two builds of a view are compared.
//!
//! ```text
//! table   BLAKE3 over its rows in key order: key length: u32, key, value length: u32, value
//! view    BLAKE3 over its tables in order of name: name length: u32, name, digest of the table
//! ```
//!
//! Integers are big-endian. Files are never compared: their layout depends on when they were compacted.

use std::ops::{Bound, ControlFlow};

use engram_log::Offset;

use crate::engine::View;
use crate::error::ViewError;
use crate::read::Read;
use crate::snapshot::Snapshot;
use crate::table::Table;

/// Digest of one view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewDigest {
    /// The projector's name.
    pub name: &'static str,
    /// The version of its tables.
    pub version: u32,
    /// The offset that the view is at.
    pub offset: Offset,
    /// Over all tables.
    pub digest: blake3::Hash,
    /// The tables, in order of name.
    pub tables: Vec<TableDigest>,
}

/// Digest of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableDigest {
    /// `<projector>.<table>`.
    pub name: &'static str,
    /// The number of rows.
    pub rows: u64,
    /// The bytes of all keys and values.
    pub bytes: u64,
    /// Over all rows.
    pub digest: blake3::Hash,
}

impl Snapshot {
    /// Digests of all views. Reads everything.
    pub fn digests(&self) -> Result<Vec<ViewDigest>, ViewError> {
        self.views.iter().map(|view| self.digest_view(view)).collect()
    }

    /// The digest of one view; none if there is no view of this name.
    pub fn digest(&self, name: &str) -> Result<Option<ViewDigest>, ViewError> {
        self.views.iter().find(|view| view.name == name).map(|view| self.digest_view(view)).transpose()
    }

    fn digest_view(&self, view: &View) -> Result<ViewDigest, ViewError> {
        let mut tables = view.tables.to_vec();
        tables.sort_by_key(|table| table.name);
        let tables: Vec<_> = tables.into_iter().map(|table| self.digest_table(table)).collect::<Result<_, _>>()?;
        let mut hasher = blake3::Hasher::new();
        for table in &tables {
            update(&mut hasher, table.name.as_bytes());
            hasher.update(table.digest.as_bytes());
        }
        let digest = hasher.finalize();
        Ok(ViewDigest { name: view.name, version: view.version, offset: self.offset(), digest, tables })
    }

    fn digest_table(&self, table: &'static Table) -> Result<TableDigest, ViewError> {
        let mut hasher = blake3::Hasher::new();
        let (mut rows, mut bytes) = (0, 0);
        self.scan(table, Bound::Unbounded, Bound::Unbounded, false, &mut |key, value| {
            rows += 1;
            bytes += (key.len() + value.len()) as u64;
            update(&mut hasher, key);
            update(&mut hasher, value);
            ControlFlow::Continue(())
        })?;
        Ok(TableDigest { name: table.name, rows, bytes, digest: hasher.finalize() })
    }
}

fn update(hasher: &mut blake3::Hasher, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("keys and values are shorter than 4 GiB");
    hasher.update(&length.to_be_bytes());
    hasher.update(bytes);
}
