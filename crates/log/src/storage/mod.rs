//! All file access of the log: a small interface with a real and a simulated implementation.
//!
//! Paths are relative to the data directory, with `/` between their parts. Nothing here retries:
//! after a failed write or sync the caller stops.

mod crash;
mod fs;
pub mod sim;

use std::io;
use std::sync::Arc;

pub use fs::FsStorage;

/// Why the data directory cannot be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("the data directory is in use by process {holder}: stop it first")]
    Held {
        /// What the lock file says about the holder: its process ID.
        holder: String,
    },
    /// The lock file cannot be used.
    #[error("cannot lock the data directory: {0}")]
    Io(#[from] io::Error),
}

/// Whether a lock excludes everybody or only writers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// The one writer.
    Exclusive,
    /// One of any number of readers of a stopped server's data.
    Shared,
}

/// Holds a lock until it is dropped.
pub type Lock = Box<dyn Send + Sync>;

/// A directory of files.
pub trait Storage: Send + Sync + 'static {
    /// The names of the files in `dir`, sorted; empty if there is no such directory.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;
    /// Creates a directory and those above it, durably. Succeeds if it exists.
    fn create_dir(&self, dir: &str) -> io::Result<()>;
    /// Creates an empty file, replacing one that exists.
    fn create(&self, path: &str) -> io::Result<Arc<dyn File>>;
    /// Opens a file to read, or to read and write.
    fn open(&self, path: &str, write: bool) -> io::Result<Arc<dyn File>>;
    /// Renames a file. Durable only after [`Storage::sync_dir`].
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file. Durable only after [`Storage::sync_dir`].
    fn remove(&self, path: &str) -> io::Result<()>;
    /// Makes creations, renames and removals in `dir` durable.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;
    /// Locks the data directory, without waiting.
    fn lock(&self, mode: LockMode) -> Result<Lock, LockError>;
    /// Space that is left for new files. What cannot tell has no end.
    fn free_bytes(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }
    /// Sixteen random bytes: the identity of a new log.
    fn unique_id(&self) -> io::Result<[u8; 16]>;
}

/// An open file. Reads and writes are at a position: there is no cursor to share.
pub trait File: Send + Sync + 'static {
    /// Its length.
    fn len(&self) -> io::Result<u64>;
    /// Whether it is empty.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Fills `buffer` from `position`; an error if the file ends before.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()>;
    /// Writes all of `bytes` at `position`. Durable only after [`File::sync_data`].
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()>;
    /// Reserves space so that writes below `length` do not run out of it, and extends the file to it.
    fn allocate(&self, length: u64) -> io::Result<()>;
    /// Cuts the file. Durable only after [`File::sync_data`].
    fn truncate(&self, length: u64) -> io::Result<()>;
    /// Waits until data, and the metadata needed to read it, are on stable storage.
    fn sync_data(&self) -> io::Result<()>;
    /// Drops cached pages, so that reads see what the disk has. Best effort.
    fn drop_cache(&self) {}
}
