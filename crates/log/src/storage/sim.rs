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

use parking_lot::Mutex;

use super::{File, Lock, LockError, LockMode, Storage};

/// One change of the storage.
#[derive(Clone, Debug)]
pub enum Op {
    /// A file came into being under a path. Files are numbered.
    Create(String, usize),
    /// Bytes were written at a position.
    Write(usize, u64, Arc<[u8]>),
    /// The length was set; new bytes are zero.
    SetLen(usize, u64),
    /// The file's content became durable.
    Sync(usize),
    /// A file got another path.
    Rename(String, String),
    /// A path was removed.
    Remove(String),
    /// The entries of a directory became durable.
    SyncDir(String),
    /// The test noted a point of its workload.
    Mark(u64),
}

/// What a call returns instead of doing its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An input/output error; a write may have been done in part, a sync has lost the data.
    Io,
    /// No space left.
    NoSpace,
}

#[derive(Default)]
struct State {
    names: BTreeMap<String, usize>,
    files: Vec<Vec<u8>>,
    trace: Vec<Op>,
    calls: u64,
    fail_at: Option<(u64, Fault)>,
    disk_full: bool,
    writer: bool,
    readers: usize,
}

/// Files in memory, with a trace of everything that was done to them.
#[derive(Clone, Default)]
pub struct SimStorage {
    state: Arc<Mutex<State>>,
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

    /// Lets every allocation fail for lack of space, or no longer.
    pub fn set_disk_full(&self, full: bool) {
        self.state.lock().disk_full = full;
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

    fn name(&self, path: &str) -> io::Result<usize> {
        self.names.get(path).copied().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, path.to_owned()))
    }
}

fn error_of(fault: Fault) -> io::Error {
    match fault {
        Fault::Io => io::Error::from_raw_os_error(5),
        Fault::NoSpace => io::Error::from(io::ErrorKind::StorageFull),
    }
}

impl Storage for SimStorage {
    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let state = self.state.lock();
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
        Ok(Arc::new(SimFile { state: self.state.clone(), file }))
    }

    fn open(&self, path: &str, _write: bool) -> io::Result<Arc<dyn File>> {
        let file = self.state.lock().name(path)?;
        Ok(Arc::new(SimFile { state: self.state.clone(), file }))
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
        let state = self.state.lock();
        let start = position as usize;
        let bytes = state.files[self.file].get(start..start + buffer.len());
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        let (bytes, failure) = match state.count() {
            Ok(()) => (bytes, None),
            // A failed write may have been done in part.
            Err(fault) => (&bytes[..bytes.len() / 2], Some(error_of(fault))),
        };
        apply_write(&mut state.files[self.file], position, bytes);
        state.trace.push(Op::Write(self.file, position, bytes.into()));
        failure.map_or(Ok(()), Err)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        if self.state.lock().disk_full {
            return Err(error_of(Fault::NoSpace));
        }
        self.set_len(length)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        state.count().map_err(error_of)?;
        state.trace.push(Op::Sync(self.file));
        Ok(())
    }
}

fn apply_write(content: &mut Vec<u8>, position: u64, bytes: &[u8]) {
    let end = position as usize + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[position as usize..end].copy_from_slice(bytes);
}

/// What a disk holds: the content of each path.
pub type Image = BTreeMap<String, Vec<u8>>;

/// What becomes of one unsynced change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The disk has it.
    Kept,
    /// The disk does not have it.
    Lost,
    /// Of a write, the disk has the bytes before this position; other changes are lost.
    TornAfter(usize),
    /// Of a write, the disk has the bytes from this position on; other changes are lost.
    TornBefore(usize),
}

/// A moment at which the power fails, with what is undecided then.
#[derive(Clone, Debug, Default)]
pub struct CrashPoint {
    names: BTreeMap<String, usize>,
    files: Vec<Vec<u8>>,
    pending_names: Vec<Op>,
    pending: Vec<Op>,
}

impl CrashPoint {
    /// The moment before anything was done.
    pub fn new() -> Self {
        Self::default()
    }

    /// Moves behind one more operation.
    pub fn step(&mut self, op: &Op) {
        match op {
            Op::Create(..) | Op::Rename(..) | Op::Remove(..) => {
                if matches!(op, Op::Create(..)) {
                    self.files.push(Vec::new());
                }
                self.pending_names.push(op.clone());
            }
            Op::Write(..) | Op::SetLen(..) => self.pending.push(op.clone()),
            Op::Sync(synced) => {
                let (durable, pending) = self.pending.drain(..).partition::<Vec<Op>, _>(|op| file_of(op) == *synced);
                self.pending = pending;
                for op in durable {
                    apply_content(&mut self.files, &op, Fate::Kept);
                }
            }
            // Metadata is journalled in order: syncing one directory makes earlier changes of others durable too.
            Op::SyncDir(_) => {
                for op in std::mem::take(&mut self.pending_names) {
                    apply_name(&mut self.names, &op);
                }
            }
            Op::Mark(_) => {}
        }
    }

    /// The lengths of the undecided changes of content, in order; zero for one that is no write.
    pub fn undecided(&self) -> Vec<usize> {
        let length = |op: &Op| match op {
            Op::Write(_, _, bytes) => bytes.len(),
            _ => 0,
        };
        self.pending.iter().map(length).collect()
    }

    /// The number of undecided changes of directory entries.
    pub fn undecided_entries(&self) -> usize {
        self.pending_names.len()
    }

    /// What the disk holds: with the first `entries` undecided changes of entries, and of each undecided
    /// change of content what `fate` says.
    pub fn image(&self, entries: usize, fate: impl Fn(usize) -> Fate) -> Image {
        let mut names = self.names.clone();
        let mut files = self.files.clone();
        for op in self.pending_names.iter().take(entries) {
            apply_name(&mut names, op);
        }
        for (index, op) in self.pending.iter().enumerate() {
            apply_content(&mut files, op, fate(index));
        }
        names.into_iter().map(|(path, file)| (path, std::mem::take(&mut files[file]))).collect()
    }
}

fn file_of(op: &Op) -> usize {
    match op {
        Op::Write(file, ..) | Op::SetLen(file, _) => *file,
        _ => unreachable!("only content changes are pending"),
    }
}

fn apply_content(files: &mut [Vec<u8>], op: &Op, fate: Fate) {
    match (op, fate) {
        (Op::Write(file, position, bytes), Fate::Kept) => {
            apply_write(&mut files[*file], *position, bytes);
        }
        (Op::Write(file, position, bytes), Fate::TornAfter(at)) => {
            apply_write(&mut files[*file], *position, &bytes[..at.min(bytes.len())]);
        }
        (Op::Write(file, position, bytes), Fate::TornBefore(at)) => {
            let at = at.min(bytes.len());
            apply_write(&mut files[*file], *position + at as u64, &bytes[at..]);
        }
        (Op::SetLen(file, length), Fate::Kept) => files[*file].resize(*length as usize, 0),
        // Lost, or no write that could be torn.
        _ => {}
    }
}

fn apply_name(names: &mut BTreeMap<String, usize>, op: &Op) {
    match op {
        Op::Create(path, file) => {
            names.insert(path.clone(), *file);
        }
        Op::Rename(from, to) => {
            if let Some(file) = names.remove(from) {
                names.insert(to.clone(), file);
            }
        }
        Op::Remove(path) => {
            names.remove(path);
        }
        _ => unreachable!("only entry changes are pending"),
    }
}
