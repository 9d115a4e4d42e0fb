//! The real storage: files below a data directory.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Advice, FallocateFlags, FlockOperation};
use rustix::io::Errno;

use super::{File, Lock, LockError, LockMode, Storage};

const LOCK_FILE: &str = "lock";

/// Files below a data directory.
#[derive(Debug)]
pub struct FsStorage {
    root: PathBuf,
}

impl FsStorage {
    /// Opens a data directory, which is created if it does not exist.
    pub fn open(data_dir: impl AsRef<Path>) -> io::Result<Arc<Self>> {
        let root = data_dir.as_ref().to_path_buf();
        create_dirs(&root)?;
        Ok(Arc::new(Self { root }))
    }

    /// The data directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }
}

impl Storage for FsStorage {
    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.path(dir)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            names.push(name.into_string().map_err(|_| io::Error::other("a file name is not UTF-8"))?);
        }
        names.sort();
        Ok(names)
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        create_dirs(&self.path(dir))
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn File>> {
        let file = fs::File::options().read(true).write(true).create(true).truncate(true).open(self.path(path))?;
        Ok(Arc::new(FsFile(file)))
    }

    fn open(&self, path: &str, write: bool) -> io::Result<Arc<dyn File>> {
        let file = fs::File::options().read(true).write(write).open(self.path(path))?;
        Ok(Arc::new(FsFile(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.path(path))
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        fs::File::open(self.path(dir))?.sync_all()
    }

    fn lock(&self, mode: LockMode) -> Result<Lock, LockError> {
        let mut file =
            fs::File::options().read(true).write(true).create(true).truncate(false).open(self.path(LOCK_FILE))?;
        let operation = match mode {
            LockMode::Exclusive => FlockOperation::NonBlockingLockExclusive,
            LockMode::Shared => FlockOperation::NonBlockingLockShared,
        };
        match rustix::fs::flock(&file, operation) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                file.read_to_string(&mut holder)?;
                let holder = holder.trim();
                let holder = if holder.is_empty() { "unknown".to_owned() } else { holder.to_owned() };
                return Err(LockError::Held { holder });
            }
            Err(error) => return Err(LockError::Io(error.into())),
        }
        if mode == LockMode::Exclusive {
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            writeln!(file, "{}", std::process::id())?;
        }
        Ok(Box::new(file))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let file_system = rustix::fs::statvfs(&self.root)?;
        Ok(file_system.f_bavail.saturating_mul(file_system.f_frsize))
    }

    fn unique_id(&self) -> io::Result<[u8; 16]> {
        let mut id = [0; 16];
        fs::File::open("/dev/urandom")?.read_exact(&mut id)?;
        Ok(id)
    }
}

/// Creates a directory, and makes each new entry durable in the directory above it.
fn create_dirs(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    create_dirs(parent)?;
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        result => result?,
    }
    fs::File::open(parent)?.sync_all()
}

struct FsFile(fs::File);

impl File for FsFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, position)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, position)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.0, FallocateFlags::empty(), 0, length) {
            // Without support the space is found as it is written; running out of it then stops the log.
            Err(Errno::OPNOTSUPP) => self.0.set_len(length),
            result => Ok(result?),
        }
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(rustix::fs::fdatasync(&self.0)?)
    }

    fn drop_cache(&self) {
        // Advice that is not taken leaves the cached pages, which is what there would be without it.
        let _ = rustix::fs::fadvise(&self.0, 0, None, Advice::DontNeed);
    }
}
