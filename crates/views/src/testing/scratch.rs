//! Directories that vanish.

use tempfile::TempDir;

/// A directory that is deleted with the value. In memory where the system has such a place: a store syncs
/// each of its many files when it is made, and what is tested with it is seldom the disk.
pub fn scratch_dir() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a test has a temporary directory")
}
