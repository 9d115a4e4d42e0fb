//! Which views there are, how far they have come and how large they are: for people and metrics.

use std::ops::{Bound, ControlFlow};
use std::path::Path;

use engram_log::Offset;
use fjall::Keyspace;

use crate::engine::View;
use crate::error::ViewError;
use crate::layout::Entry;
use crate::open;
use crate::scan::{self, Range};
use crate::snapshot::Snapshot;
use crate::store::{Store, keyspace_name};

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
    /// The number of rows.
    pub rows_approx: u64,
    /// Bytes of keys and values; files are smaller by compression and larger by what is overwritten and not yet cleared
    /// away.
    pub bytes: u64,
}

impl Snapshot {
    /// All views of this snapshot. Counts by reading everything.
    pub fn list(&self) -> Result<Vec<ViewInfo>, ViewError> {
        let info = |view: &View| {
            let tables = view.tables.iter().map(|table| (table.number, table.name.to_owned())).collect();
            Ok(ViewInfo {
                name: view.name.to_owned(),
                version: view.version,
                generation: view.generation,
                cursor: self.offset(),
                tables: table_infos(&self.base, self.tables.get(view.tables[0]), tables)?,
            })
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
    let base = store.db.snapshot();
    let info = |entry: Entry| {
        let (name, version, generation) = (entry.name, entry.version, entry.generation);
        let keyspace = store.keyspace(&keyspace_name(&name, version, generation))?;
        let cursor = open::read_cursor(&keyspace)?;
        let tables = table_infos(&base, &keyspace, entry.tables)?;
        Ok(ViewInfo { name, version, generation, cursor, tables })
    };
    open::read_entries(&store)?.into_iter().map(info).collect()
}

fn table_infos(
    base: &fjall::Snapshot,
    keyspace: &Keyspace,
    tables: Vec<(u8, String)>,
) -> Result<Vec<TableInfo>, ViewError> {
    let mut infos = Vec::new();
    for (number, name) in tables {
        let mut info = TableInfo { name, rows_approx: 0, bytes: 0 };
        let range = Range::new(number, Bound::Unbounded, Bound::Unbounded, false);
        scan::stored(base, keyspace, &range, &mut |key, value| {
            info.rows_approx += 1;
            info.bytes += (key.len() + value.len()) as u64;
            ControlFlow::Continue(())
        })?;
        infos.push(info);
    }
    infos.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(infos)
}
