//! The database behind the views: a disposable cache of the log.
//!
//! ```text
//! <views>/db/            the fjall database
//! <views>/clean          after a clean stop: the offset that every view was at, and what the files were
//! <views>/condemned      damage was noticed: the reason; the next opening starts from nothing
//! ```
//!
//! Each generation of a view has one keyspace. It holds the rows of all tables of the view (see [`crate::key`]) and
//! the view's cursor: a batch is there with its cursor or not at all, so a view is never between two records.

use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{fs, io, thread};

use engram_failpoints::{Point, reached};
use engram_log::Offset;
use fjall::config::{CompressionPolicy, HashRatioPolicy, PinningPolicy};
use fjall::{AbstractTree, CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::error::ViewError;
use crate::files;
use crate::memory::Memory;
use crate::table::Table;

const META: &str = "meta";

/// Small, because memory is bounded by keyspaces × 5 × this.
const MEMTABLE_BYTES: u64 = 16 << 20;
/// The least that fjall accepts.
const JOURNAL_BYTES_MAX: u64 = 64 << 20;
const CACHE_BYTES_DEFAULT: u64 = 64 << 20;
const OPEN_FILES_MAX: usize = 400;
/// One: of several, the first spins while another compacts, which costs a core just when there is work.
const WORKERS: usize = 1;
/// How often to look whether what is in memory has reached a file.
const FLUSH_POLL: Duration = Duration::from_millis(1);
/// How long that may take before something must be wrong: 16 MiB on a disk that is nearly standing still.
const FLUSH_MAX: Duration = Duration::from_secs(120);

/// An open database and the files around it.
pub(crate) struct Store {
    dir: PathBuf,
    pub(crate) db: Database,
    pub(crate) meta: Keyspace,
    condemned: AtomicBool,
    /// Whether the files are as a clean stop has left them.
    untouched: bool,
}

impl Store {
    /// Opens the database in `dir`, or makes an empty one. Damage is an error here: see [`Store::wipe`].
    pub(crate) fn open(dir: &Path, cache_bytes: u64) -> Result<Self, ViewError> {
        fs::create_dir_all(dir)?;
        // The store names its files in full, wherever it was opened from.
        let dir = &fs::canonicalize(dir)?;
        let cache_bytes = if cache_bytes == 0 { CACHE_BYTES_DEFAULT } else { cache_bytes };
        let path = dir.join("db");
        let untouched = read_mark(dir).is_some_and(|(_, inventory)| files::are_as_left(&path, &inventory));
        if !untouched {
            files::check_manifests(&path)?;
        }
        files::discard_journal(&path)?;
        let (db, meta) = guarded(|| {
            let db = Database::builder(&path)
                .cache_size(cache_bytes)
                .worker_threads(WORKERS)
                .max_journaling_size(JOURNAL_BYTES_MAX)
                .max_cached_files(Some(OPEN_FILES_MAX))
                .journal_compression(CompressionType::None)
                // It is thrown away at the next start: see `files`.
                .manual_journal_persist(true)
                .open()?;
            let meta = db.keyspace(META, options)?;
            Ok((db, meta))
        })?;
        let store = Self { dir: dir.to_owned(), db, meta, condemned: AtomicBool::new(false), untouched };
        store.check(&store.meta)?;
        Ok(store)
    }

    /// Opens the database in `dir` if there is one.
    pub(crate) fn open_existing(dir: &Path) -> Result<Option<Self>, ViewError> {
        if dir.join("db").try_exists()? { Self::open(dir, 0).map(Some) } else { Ok(None) }
    }

    /// Deletes the database: the next opening starts from nothing.
    pub(crate) fn wipe(dir: &Path) -> Result<(), ViewError> {
        remove_if_there(fs::remove_dir_all(dir.join("db")))?;
        remove_if_there(fs::remove_file(dir.join("clean")))?;
        // Last, so that an interrupted wipe is repeated.
        remove_if_there(fs::remove_file(dir.join("condemned")))?;
        Ok(())
    }

    /// Why the store in `dir` must not be used any more, if damage was noticed earlier.
    pub(crate) fn condemnation(dir: &Path) -> Option<String> {
        fs::read_to_string(dir.join("condemned")).ok()
    }

    /// Takes note of an error met while reading or writing; damage makes the next opening start from nothing.
    pub(crate) fn note(&self, error: &ViewError) {
        if !error.is_damage() || self.condemned.swap(true, Ordering::Relaxed) {
            return;
        }
        let result = fs::write(self.dir.join("condemned"), error.to_string());
        tracing::warn!(%error, ?result, "the views are damaged: they are rebuilt from the log at the next start");
    }

    /// The mark of a clean stop: the offset that every view was at.
    pub(crate) fn clean_mark(&self) -> Option<Offset> {
        read_mark(&self.dir).map(|(offset, _)| offset)
    }

    /// Takes the mark of a clean stop away: the views are about to move.
    pub(crate) fn take_clean_mark(&self) -> Result<Option<Offset>, ViewError> {
        let mark = self.clean_mark();
        remove_if_there(fs::remove_file(self.dir.join("clean")))?;
        Ok(mark)
    }

    /// Leaves the mark of a clean stop; everything is in files.
    pub(crate) fn close(&self, offset: Offset, used: &Tables) -> Result<(), ViewError> {
        reached(Point::StopViewsSynced);
        if !self.condemned.load(Ordering::Relaxed) {
            let inventory = files::inventory(&self.dir.join("db"), used.iter().chain([&self.meta]))?;
            fs::write(self.dir.join("clean"), format!("{offset}\n{inventory}"))?;
        }
        Ok(())
    }

    /// Space that is left on the disk, if the file system can tell.
    pub(crate) fn free_bytes(&self) -> Option<u64> {
        let file_system = rustix::fs::statvfs(&self.dir).ok()?;
        Some(file_system.f_bavail.saturating_mul(file_system.f_frsize))
    }

    /// Brings what a keyspace has in memory to stable storage, in a file.
    pub(crate) fn flush(&self, keyspace: &Keyspace) -> Result<(), ViewError> {
        keyspace.rotate_memtable()?;
        let mut waited = Duration::ZERO;
        while keyspace.tree.sealed_memtable_count() > 0 {
            // Says so if the worker that writes the file has failed.
            self.db.persist(PersistMode::Buffer)?;
            if waited > FLUSH_MAX {
                return Err(io::Error::from(io::ErrorKind::TimedOut).into());
            }
            thread::park_timeout(FLUSH_POLL);
            waited += FLUSH_POLL;
        }
        Ok(())
    }

    /// Compares the files of a keyspace with its manifest, unless nobody can have touched them.
    fn check(&self, keyspace: &Keyspace) -> Result<(), ViewError> {
        if self.untouched { Ok(()) } else { guarded(|| files::check_tables(keyspace)) }
    }

    /// Whether there is a keyspace of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.db.keyspace_exists(name)
    }

    /// Opens or creates a keyspace.
    pub(crate) fn keyspace(&self, name: &str) -> Result<Keyspace, ViewError> {
        let keyspace = self.unchecked(name)?;
        self.check(&keyspace)?;
        Ok(keyspace)
    }

    fn unchecked(&self, name: &str) -> Result<Keyspace, ViewError> {
        guarded(|| Ok(self.db.keyspace(name, options)?))
    }

    /// The names of all keyspaces.
    pub(crate) fn keyspace_names(&self) -> Vec<String> {
        self.db.list_keyspace_names().iter().map(ToString::to_string).collect()
    }

    /// Deletes every keyspace but `meta` and those in use.
    pub(crate) fn delete_others(&self, used: &Tables) -> Result<(), ViewError> {
        for name in self.keyspace_names() {
            if name != META && !used.iter().any(|keyspace| **keyspace.name() == *name) {
                self.db.delete_keyspace(self.unchecked(&name)?)?;
            }
        }
        Ok(())
    }
}

/// The mark of a clean stop: the offset that every view was at, and the inventory of the files.
fn read_mark(dir: &Path) -> Option<(Offset, String)> {
    let text = fs::read_to_string(dir.join("clean")).ok()?;
    let (offset, inventory) = text.split_once('\n').unwrap_or((&text, ""));
    Some((Offset(offset.trim().parse().ok()?), inventory.to_owned()))
}

/// The name of the keyspace of one generation of a view.
pub(crate) fn keyspace_name(view: &str, version: u32, generation: u32) -> String {
    format!("{view}@v{version}g{generation}")
}

/// The keyspaces of the current generations, by table number.
pub(crate) struct Tables {
    keyspaces: Box<[Option<Keyspace>]>,
    /// What readers remember of them.
    pub(crate) memory: Memory,
}

impl Clone for Tables {
    fn clone(&self) -> Self {
        Self { keyspaces: self.keyspaces.clone(), memory: Memory::default() }
    }
}

impl Tables {
    pub(crate) fn new() -> Self {
        Self { keyspaces: vec![None; 256].into(), memory: Memory::default() }
    }

    /// Sets the keyspace of all tables of a view. What was remembered was remembered of others.
    pub(crate) fn set(&mut self, tables: &[&Table], keyspace: &Keyspace) {
        self.memory = Memory::default();
        for table in tables {
            self.keyspaces[usize::from(table.number)] = Some(keyspace.clone());
        }
    }

    /// The keyspace of a table. A table that none of the opened views has is a bug.
    pub(crate) fn get(&self, table: &Table) -> &Keyspace {
        match &self.keyspaces[usize::from(table.number)] {
            Some(keyspace) => keyspace,
            None => panic!("the table {} belongs to no view that was opened", table.name),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Keyspace> {
        self.keyspaces.iter().flatten()
    }
}

/// Runs what reads bytes that may be damaged: fjall asserts some of its expectations of them, and a panic
/// there is damage like any other.
fn guarded<T>(open: impl FnOnce() -> Result<T, ViewError>) -> Result<T, ViewError> {
    panic::catch_unwind(AssertUnwindSafe(open)).unwrap_or_else(|panic| {
        let what = panic.downcast_ref::<String>().map(String::as_str);
        let what = what.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("panic");
        Err(ViewError::Damaged(what.to_owned()))
    })
}

/// fjall persists these with the keyspace: a change takes effect in the next generation.
fn options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        .max_memtable_size(MEMTABLE_BYTES)
        .data_block_compression_policy(CompressionPolicy::all(CompressionType::Lz4))
        // Nearly all reads are of single rows: where in a block a row is, is found without a search, at a byte a row;
        // and what says which block it is in, and that it is in none, is kept in memory, at about two bytes a row.
        .data_block_hash_ratio_policy(HashRatioPolicy::all(1.0))
        .filter_block_pinning_policy(PinningPolicy::all(true))
        .index_block_pinning_policy(PinningPolicy::all(true))
}

fn remove_if_there(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
