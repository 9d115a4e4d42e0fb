//! Simulated storage: knows what a power loss may leave behind, and fails calls when told to.
//!
//! Every call that changes something is an [`Op`] of a trace. [`CrashPoint`] plays a prefix of a trace and
//! decides, for each change that was not yet made durable by a sync, whether the disk has it.
//!
//! What the model takes for granted of a disk, and no more: a synced change stays; bytes that a torn
//! write did not cover stay as they were; unsynced changes may be kept or lost independently of
//! each other, but directory entries are lost only from the newest backwards (journalled metadata).

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use super::{File, Lock, LockError, LockMode, Storage};

pub use super::crash::{CrashPoint, Fate, Image, Op, Unit};

use super::crash::apply_write;

/// What a call returns instead of doing its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An input/output error (EIO); a write may have been done in part, a sync has lost the data for ever,
    /// and the next one succeeds.
    Io,
    /// No space left (ENOSPC).
    NoSpace,
    /// Too many open files (EMFILE).
    TooManyFiles,
    /// A signal came in between (EINTR).
    Interrupted,
    /// Less was read or written than there was.
    Short,
}

#[derive(Default)]
struct State {
    names: BTreeMap<String, usize>,
    files: Vec<Vec<u8>>,
    trace: Vec<Op>,
    calls: u64,
    reads: u64,
    bytes_read: u64,
    fail_at: Option<(u64, Fault)>,
    fail_read_at: Option<(u64, Fault)>,
    capacity: Option<u64>,
    syncs_held: bool,
    writer: bool,
    readers: usize,
}

/// Files in memory, with a trace of everything that was done to them.
#[derive(Clone, Default)]
pub struct SimStorage {
    state: Arc<Mutex<State>>,
    released: Arc<Condvar>,
}

impl SimStorage {
    /// An empty storage.
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// A storage with these files, all of them durable.
    pub fn from_image(image: &Image) -> Arc<Self> {
        let storage = Self::default();
        let mut state = storage.state.lock();
        for (path, content) in image {
            let file = state.files.len();
            state.files.push(content.clone());
            state.names.insert(path.clone(), file);
            // The start of the trace is a durable copy, so that a crash image of it is complete.
            state.trace.push(Op::Create(path.clone(), file));
            state.trace.push(Op::Write(file, 0, content.as_slice().into()));
            state.trace.push(Op::Sync(file));
        }
        state.trace.push(Op::SyncDir(String::new()));
        drop(state);
        Arc::new(storage)
    }

    /// The files as a process sees them: what is left when the process alone dies.
    pub fn image(&self) -> Image {
        let state = self.state.lock();
        state.names.iter().map(|(path, file)| (path.clone(), state.files[*file].clone())).collect()
    }

    /// Everything that was done so far.
    pub fn trace(&self) -> Vec<Op> {
        self.state.lock().trace.clone()
    }

    /// Notes a point of the workload in the trace.
    pub fn mark(&self, value: u64) {
        self.state.lock().trace.push(Op::Mark(value));
    }

    /// Number of changing calls so far.
    pub fn calls(&self) -> u64 {
        self.state.lock().calls
    }

    /// Lets the changing call with this number (from zero) fail, once.
    pub fn fail_at(&self, call: u64, fault: Fault) {
        self.state.lock().fail_at = Some((call, fault));
    }

    /// Number of reads so far.
    pub fn reads(&self) -> u64 {
        self.state.lock().reads
    }

    /// Number of bytes that were read so far.
    pub fn bytes_read(&self) -> u64 {
        self.state.lock().bytes_read
    }

    /// Lets the read with this number (from zero) fail, once.
    pub fn fail_read_at(&self, read: u64, fault: Fault) {
        self.state.lock().fail_read_at = Some((read, fault));
    }

    /// Bounds the bytes of all files together, or no longer.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state.lock().capacity = bytes;
    }

    /// Bytes of all files together.
    pub fn used(&self) -> u64 {
        self.state.lock().used()
    }

    /// Lets syncs of files wait until they are no longer held: a disk that has come to a stop.
    pub fn hold_syncs(&self, held: bool) {
        self.state.lock().syncs_held = held;
        self.released.notify_all();
    }

    /// Flips bits of a file: rot.
    pub fn damage(&self, path: &str, position: u64, mask: u8) {
        let mut state = self.state.lock();
        let file = state.names[path];
        state.files[file][position as usize] ^= mask;
    }
}

impl State {
    /// Counts a changing call, and says how it fails if it shall.
    fn count(&mut self) -> Result<(), Fault> {
        let call = self.calls;
        self.calls += 1;
        match self.fail_at {
            Some((at, fault)) if at == call => Err(fault),
            _ => Ok(()),
        }
    }

    fn count_read(&mut self) -> Result<(), Fault> {
        let read = self.reads;
        self.reads += 1;
        match self.fail_read_at {
            Some((at, fault)) if at == read => Err(fault),
            _ => Ok(()),
        }
    }

    fn used(&self) -> u64 {
        self.names.values().map(|file| self.files[*file].len() as u64).sum()
    }

    /// Whether a file may grow to `length`.
    fn check_space(&self, file: usize, length: u64) -> Result<(), Fault> {
        let growth = length.saturating_sub(self.files[file].len() as u64);
        let full = self.capacity.is_some_and(|capacity| growth > 0 && self.used() + growth > capacity);
        if full { Err(Fault::NoSpace) } else { Ok(()) }
    }

    fn name(&self, path: &str) -> io::Result<usize> {
        self.names.get(path).copied().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, path.to_owned()))
    }
}

fn error_of(fault: Fault) -> io::Error {
    match fault {
        Fault::Io => io::Error::from_raw_os_error(5),
        Fault::NoSpace => io::Error::from(io::ErrorKind::StorageFull),
        Fault::TooManyFiles => io::Error::from_raw_os_error(24),
        Fault::Interrupted => io::Error::from(io::ErrorKind::Interrupted),
        Fault::Short => io::Error::from(io::ErrorKind::WriteZero),
    }
}

impl Storage for SimStorage {
    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let mut state = self.state.lock();
        state.count_read().map_err(error_of)?;
        let prefix = format!("{dir}/");
        let names = state.names.keys().filter_map(|path| path.strip_prefix(&prefix));
        Ok(names.filter(|name| !name.contains('/')).map(str::to_owned).collect())
    }

    fn create_dir(&self, _dir: &str) -> io::Result<()> {
        Ok(())
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn File>> {
        let mut state = self.state.lock();
        state.count().map_err(error_of)?;
        let file = state.files.len();
        state.files.push(Vec::new());
        state.names.insert(path.to_owned(), file);
        state.trace.push(Op::Create(path.to_owned(), file));
        Ok(Arc::new(SimFile { state: self.state.clone(), released: self.released.clone(), file }))
    }

    fn open(&self, path: &str, _write: bool) -> io::Result<Arc<dyn File>> {
        let mut state = self.state.lock();
        state.count_read().map_err(error_of)?;
        let file = state.name(path)?;
        Ok(Arc::new(SimFile { state: self.state.clone(), released: self.released.clone(), file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        state.count().map_err(error_of)?;
        let file = state.name(from)?;
        state.names.remove(from);
        state.names.insert(to.to_owned(), file);
        state.trace.push(Op::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        state.count().map_err(error_of)?;
        state.name(path)?;
        state.names.remove(path);
        state.trace.push(Op::Remove(path.to_owned()));
        Ok(())
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        state.count().map_err(error_of)?;
        state.trace.push(Op::SyncDir(dir.to_owned()));
        Ok(())
    }

    fn lock(&self, mode: LockMode) -> Result<Lock, LockError> {
        let mut state = self.state.lock();
        let free = !state.writer && (mode == LockMode::Shared || state.readers == 0);
        if !free {
            return Err(LockError::Held { holder: "simulated".to_owned() });
        }
        match mode {
            LockMode::Exclusive => state.writer = true,
            LockMode::Shared => state.readers += 1,
        }
        Ok(Box::new(SimLock { state: self.state.clone(), mode }))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let state = self.state.lock();
        Ok(state.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(state.used())))
    }

    fn unique_id(&self) -> io::Result<[u8; 16]> {
        Ok(*b"simulated log id")
    }
}

struct SimLock {
    state: Arc<Mutex<State>>,
    mode: LockMode,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        match self.mode {
            LockMode::Exclusive => state.writer = false,
            LockMode::Shared => state.readers -= 1,
        }
    }
}

struct SimFile {
    state: Arc<Mutex<State>>,
    released: Arc<Condvar>,
    file: usize,
}

impl SimFile {
    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        state.count().map_err(error_of)?;
        state.files[self.file].resize(length as usize, 0);
        state.trace.push(Op::SetLen(self.file, length));
        Ok(())
    }
}

impl File for SimFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state.lock().files[self.file].len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        state.count_read().map_err(|fault| match fault {
            Fault::Short => io::Error::from(io::ErrorKind::UnexpectedEof),
            fault => error_of(fault),
        })?;
        state.bytes_read += buffer.len() as u64;
        let start = position as usize;
        let bytes = state.files[self.file].get(start..start + buffer.len());
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        let space = state.check_space(self.file, position + bytes.len() as u64);
        let (bytes, failure) = match state.count().and(space) {
            Ok(()) => (bytes, None),
            // A failed write may have been done in part.
            Err(fault) => (&bytes[..bytes.len() / 2], Some(error_of(fault))),
        };
        apply_write(&mut state.files[self.file], position, bytes);
        state.trace.push(Op::Write(self.file, position, bytes.into()));
        failure.map_or(Ok(()), Err)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.state.lock().check_space(self.file, length).map_err(error_of)?;
        self.set_len(length)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        while state.syncs_held {
            self.released.wait(&mut state);
        }
        let result = state.count();
        state.trace.push(match result {
            Err(Fault::Io) => Op::Dropped(self.file),
            Err(_) => return result.map_err(error_of),
            Ok(()) => Op::Sync(self.file),
        });
        result.map_err(error_of)
    }

    /// After a failed sync, what a process sees is not what the disk has, until the cache is dropped.
    fn drop_cache(&self) {
        let mut state = self.state.lock();
        if state.trace.iter().any(|op| matches!(op, Op::Dropped(file) if *file == self.file)) {
            let mut point = CrashPoint::new();
            state.trace.iter().for_each(|op| point.step(op));
            state.files[self.file] = point.content(self.file);
        }
    }
}
