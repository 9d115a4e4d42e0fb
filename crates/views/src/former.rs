//! What a view of another version had decided, kept until somebody has compared it with what its successor decides.
//!
//! A view of a new version is built anew, and the old one deleted. If the projector names a table to be compared, the
//! rows that the old version had in it are kept in a file of their own, which is there before the old generation goes,
//! and stays until it is taken away, over any number of crashes.
//!
//! ```text
//! <views>/former-<view>    per row: length of the key: u32, key, length of the value: u32, value; big-endian
//! ```

use std::fs;
use std::io::{self, Write as _};
use std::ops::{Bound, ControlFlow};
use std::path::{Path, PathBuf};

use crate::error::ViewError;
use crate::layout::Entry;
use crate::scan::{self, Range};
use crate::store::{Store, keyspace_name};
use crate::table::Table;

/// Rows of a table, in order.
pub type Rows = Vec<(Vec<u8>, Vec<u8>)>;

fn path(dir: &Path, view: &str) -> PathBuf {
    dir.join(format!("former-{view}"))
}

/// Keeps the rows that a view of another version had in a table of this name, unless older ones still wait. Afterwards
/// they are on stable storage under their name, and what they were read from may go.
pub(crate) fn keep(dir: &Path, store: &Store, entry: &Entry, table: &Table) -> Result<(), ViewError> {
    keep_and_sync(dir, store, entry, table, &|dir| fs::File::open(dir)?.sync_all())
}

fn keep_and_sync(
    dir: &Path,
    store: &Store,
    entry: &Entry,
    table: &Table,
    sync_dir: &dyn Fn(&Path) -> io::Result<()>,
) -> Result<(), ViewError> {
    let path = path(dir, &entry.name);
    let name = keyspace_name(&entry.name, entry.version, entry.generation);
    let number = entry.tables.iter().find(|(_, name)| name == table.name).map(|(number, _)| *number);
    let Some(number) = number.filter(|_| store.has(&name)) else { return Ok(()) };
    if !path.try_exists()? {
        write(&path, &rows(store, &name, number)?)?;
    }
    // Also if the file was there: whoever wrote it may have died, or failed, before its name was on stable storage.
    sync_dir(dir)?;
    Ok(())
}

/// The rows of a table, as the file has them.
fn rows(store: &Store, name: &str, number: u8) -> Result<Vec<u8>, ViewError> {
    let (keyspace, base) = (store.keyspace(name)?, store.db.snapshot());
    let mut bytes = Vec::new();
    scan::stored(&base, &keyspace, &Range::new(number, Bound::Unbounded, Bound::Unbounded, false), &mut |key, row| {
        for part in [key, row] {
            let length = u32::try_from(part.len()).expect("keys and values are shorter than 4 GiB");
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(part);
        }
        ControlFlow::Continue(())
    })?;
    Ok(bytes)
}

/// Writes a file whole. Its name is durable only after a sync of the directory.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("new");
    let mut file = fs::File::create(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)
}

/// The rows that were kept; none if there is nothing to compare.
pub(crate) fn read(dir: &Path, view: &str) -> Result<Option<Rows>, ViewError> {
    let bytes = match fs::read(path(dir, view)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes?,
    };
    let (mut rest, mut rows) = (bytes.as_slice(), Rows::new());
    while let (Some(key), Some(row)) = (take(&mut rest), take(&mut rest)) {
        rows.push((key.to_vec(), row.to_vec()));
    }
    Ok(Some(rows))
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let (part, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *rest = after;
    Some(part)
}

/// Takes the rows away: they have been compared.
pub(crate) fn remove(dir: &Path, view: &str) -> Result<(), ViewError> {
    match fs::remove_file(path(dir, view)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    //! The old generation is deleted only after the name of the file that keeps its rows is on stable storage.

    use std::cell::Cell;

    use engram_log::Offset;

    use super::*;
    use crate::key::Key;

    static TABLE: Table = Table::new(3, "rooms.verdicts");

    #[test]
    fn nothing_is_kept_before_the_directory_is_synced() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path(), 0).expect("it opens");
        let keyspace = store.keyspace(&keyspace_name("rooms", 1, 1)).expect("it is made");
        keyspace.insert(Key::new(TABLE.number, b"key").as_ref(), b"row").expect("a row");
        let tables = vec![(TABLE.number, TABLE.name.to_owned())];
        let entry = Entry { name: "rooms".to_owned(), version: 1, generation: 1, tables, cursor: Offset::ZERO };
        let syncs = Cell::new(0);
        let keep = |fails: bool| {
            keep_and_sync(dir.path(), &store, &entry, &TABLE, &|synced| {
                assert!(synced == dir.path() && path(dir.path(), "rooms").exists(), "it has its name by then");
                syncs.set(syncs.get() + 1);
                if fails { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
            })
        };
        assert!(keep(true).is_err(), "the caller must not go on, and delete what the rows were read from");
        // The next attempt finds the file, and does not know whether its name is on stable storage.
        assert!(keep(false).is_ok() && syncs.get() == 2, "{}", syncs.get());
        let kept = read(dir.path(), "rooms").expect("readable");
        assert_eq!(kept, Some(vec![(b"key".to_vec(), b"row".to_vec())]));
    }
}
