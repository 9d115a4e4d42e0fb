//! Which views there are, how far they have come and how large they are: for people and metrics.

use std::path::Path;

use engram_log::Offset;
use fjall::Keyspace;

use crate::error::ViewError;
use crate::open;
use crate::snapshot::Snapshot;
use crate::store::{Store, keyspace_suffix};

/// One view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewInfo {
    /// The projector's name.
    pub name: String,
    /// The version of its tables.
    pub version: u32,
    /// Counts how often it was built anew.
    pub generation: u32,
    /// The last offset applied.
    pub cursor: Offset,
    /// Its tables, in order of name.
    pub tables: Vec<TableInfo>,
}

/// One table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableInfo {
    /// `<projector>.<table>`.
    pub name: String,
    /// Roughly the number of rows: overwritten and removed ones count until they are compacted away.
    pub rows_approx: u64,
    /// Bytes on disk, without what is still in memory and in the store's journal.
    pub bytes: u64,
}

impl Snapshot {
    /// All views of this snapshot.
    pub fn list(&self) -> Vec<ViewInfo> {
        let info = |view: &crate::engine::View| {
            let mut tables: Vec<_> =
                view.tables.iter().map(|table| table_info(table.name, self.tables.get(table))).collect();
            tables.sort_by(|a, b| a.name.cmp(&b.name));
            ViewInfo {
                name: view.name.to_owned(),
                version: view.version,
                generation: view.generation,
                cursor: self.offset(),
                tables,
            }
        };
        self.views.iter().map(info).collect()
    }
}

/// All views in a directory that no process has open, as they were left: nothing is healed or caught up.
pub fn list(dir: &Path) -> Result<Vec<ViewInfo>, ViewError> {
    if let Some(reason) = Store::condemnation(dir) {
        return Err(ViewError::Damaged(reason));
    }
    let Some(store) = Store::open_existing(dir)? else { return Ok(Vec::new()) };
    let mut infos = Vec::new();
    for entry in open::read_entries(&store)? {
        let prefix = format!("{}.", entry.name);
        let suffix = keyspace_suffix(entry.version, entry.generation);
        let mut tables = Vec::new();
        for name in store.keyspace_names() {
            let table = name.strip_suffix(&suffix).filter(|table| table.starts_with(&prefix));
            if let Some(table) = table {
                tables.push(table_info(table, &store.existing(&name)?));
            }
        }
        tables.sort_by(|a, b| a.name.cmp(&b.name));
        let (name, version, generation, cursor) = (entry.name, entry.version, entry.generation, entry.cursor);
        infos.push(ViewInfo { name, version, generation, cursor, tables });
    }
    Ok(infos)
}

fn table_info(name: &str, keyspace: &Keyspace) -> TableInfo {
    let rows_approx = keyspace.approximate_len() as u64;
    TableInfo { name: name.to_owned(), rows_approx, bytes: keyspace.disk_space() }
}
