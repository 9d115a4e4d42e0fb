//! The store's files, as far as the store does not look after them itself.
//!
//! **Its journal is thrown away.** fjall replays it on every start, and takes on trust what its checksums do not cover:
//! the number of a batch, by which later rows win over earlier ones, and that no batch is missing between the tables
//! and the journal. Here the log is the journal: a view is what its tables say, which is a prefix of the log that ends
//! with its cursor row, and what is missing is replayed.
//!
//! **Its tables are compared with its manifests**, and those with the checksum beside them, unless everything is as the
//! last clean stop has left it. fjall checks the blocks of a table when it reads them, but not whether a table is the
//! one that it wrote under that name.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use fjall::{AbstractTree, Keyspace};
use xxhash_rust::xxh3::Xxh3Default;

use crate::error::ViewError;

const JOURNAL: &str = "jnl";
const KEYSPACES: &str = "keyspaces";
/// Points at the manifest of a keyspace: its number, its checksum, the type of the checksum.
const CURRENT: &str = "current";
const CURRENT_BYTES: usize = 8 + 16 + 1;
const READ_BYTES: usize = 1 << 20;

/// Empties the journal of the database in `db`, if there is one.
///
/// One file has to stay: without any, fjall takes the database for a new one, and numbers new rows below old ones.
pub(crate) fn discard_journal(db: &Path) -> io::Result<()> {
    if !db.join(KEYSPACES).try_exists()? {
        return Ok(());
    }
    let mut journals: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(db)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == JOURNAL) {
            journals.push(path);
        }
    }
    for journal in journals {
        fs::remove_file(journal)?;
    }
    OpenOptions::new().write(true).create(true).truncate(true).open(db.join("0").with_extension(JOURNAL))?;
    Ok(())
}

/// What the files are that open keyspaces consist of, a line each: length, identity, times, path. By these it is told
/// at the next start whether anybody has touched them. Files that nothing refers to any more come and go, and are left
/// out.
pub(crate) fn inventory<'a>(db: &Path, keyspaces: impl Iterator<Item = &'a Keyspace>) -> io::Result<String> {
    let mut paths = BTreeSet::new();
    // The store's own keyspace, which says which others there are.
    paths.extend(manifest(&db.join(KEYSPACES).join("0"))?);
    for keyspace in keyspaces {
        paths.extend(manifest(keyspace.path())?);
        paths.extend(keyspace.tree.current_version().iter_tables().map(|table| PathBuf::clone(&table.path)));
    }
    let mut lines = String::new();
    for path in paths {
        let relative = path.strip_prefix(db).map_err(io::Error::other)?;
        writeln!(lines, "{} {}", facts(&path)?, relative.display()).map_err(io::Error::other)?;
    }
    Ok(lines)
}

/// Whether the files of an inventory are what they were.
pub(crate) fn are_as_left(db: &Path, inventory: &str) -> bool {
    let as_left = |line: &str| {
        let (expected, path) = line.rsplit_once(' ')?;
        Some(facts(&db.join(path)).ok()? == expected)
    };
    !inventory.is_empty() && inventory.lines().all(|line| as_left(line) == Some(true))
}

fn facts(path: &Path) -> io::Result<String> {
    let data = fs::metadata(path)?;
    Ok(format!("{} {} {} {}", data.len(), data.ino(), data.mtime(), data.mtime_nsec()))
}

/// The manifest of a keyspace and what points at it.
fn manifest(keyspace: &Path) -> io::Result<[PathBuf; 2]> {
    let pointer = keyspace.join(CURRENT);
    let number = fs::read(&pointer)?.first_chunk().map(|number| u64::from_le_bytes(*number));
    let number = number.ok_or_else(|| io::Error::other("the pointer to the manifest is malformed"))?;
    Ok([pointer, keyspace.join(format!("v{number}"))])
}

/// Whether every keyspace of a database has the manifest that it points at.
pub(crate) fn check_manifests(db: &Path) -> Result<(), ViewError> {
    let dir = db.join(KEYSPACES);
    if !dir.try_exists()? {
        return Ok(());
    }
    for entry in fs::read_dir(dir)? {
        let keyspace = entry?.path();
        let current = match fs::read(keyspace.join(CURRENT)) {
            Ok(current) => current,
            // A keyspace that was just being made: fjall removes it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error.into()),
        };
        let bad = |what: &str| ViewError::Damaged(format!("{}: {what}", keyspace.display()));
        let current =
            <[u8; CURRENT_BYTES]>::try_from(current).map_err(|_| bad("the pointer to the manifest is malformed"))?;
        let (number, checksum) = current.split_at(8);
        let number = u64::from_le_bytes(number.try_into().expect("eight bytes"));
        let checksum = u128::from_le_bytes(checksum[..16].try_into().expect("sixteen bytes"));
        if checksum_of(&keyspace.join(format!("v{number}")))? != checksum {
            return Err(bad("the manifest is not the one that was written"));
        }
    }
    Ok(())
}

/// Whether the tables of an open keyspace are those that its manifest names. Reads all of them.
pub(crate) fn check_tables(keyspace: &Keyspace) -> Result<(), ViewError> {
    for table in keyspace.tree.current_version().iter_tables() {
        if checksum_of(&table.path)? != table.checksum().into_u128() {
            return Err(ViewError::Damaged(format!("{} is not the table that was written", table.path.display())));
        }
    }
    Ok(())
}

fn checksum_of(path: &Path) -> io::Result<u128> {
    let mut file = fs::File::open(path)?;
    let mut hasher = Xxh3Default::new();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.digest128()),
            length => hasher.update(&buffer[..length]),
        }
    }
}
