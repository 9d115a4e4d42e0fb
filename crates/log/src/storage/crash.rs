//! What a power loss may leave behind: plays a prefix of a trace, and makes images of the disk at its end.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

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
    /// A sync failed, and the kernel has dropped what it could not write: it never becomes durable.
    Dropped(usize),
    /// A file got another path.
    Rename(String, String),
    /// A path was removed.
    Remove(String),
    /// The entries of a directory became durable.
    SyncDir(String),
    /// The test noted a point of its workload.
    Mark(u64),
}

/// What a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;

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

/// The smallest thing that a power loss keeps or loses: a sector of an undecided write, or a change of length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    op: usize,
    part: Range<usize>,
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
            Op::Dropped(file) => self.pending.retain(|op| file_of(op) != *file),
            // Metadata is journalled in order: syncing one directory makes earlier changes of others durable too.
            Op::SyncDir(_) => {
                for op in std::mem::take(&mut self.pending_names) {
                    apply_name(&mut self.names, &op);
                }
            }
            Op::Mark(_) => {}
        }
    }

    /// The content of a file if every undecided change of it is kept.
    pub(super) fn content(&self, file: usize) -> Vec<u8> {
        let mut files = self.files.clone();
        for op in self.pending.iter().filter(|op| file_of(op) == file) {
            apply_content(&mut files, op, Fate::Kept);
        }
        files.swap_remove(file)
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

    /// What a power loss decides sector by sector: every sector of an undecided write that would change
    /// the disk, and every undecided change of a length.
    pub fn units(&self) -> Vec<Unit> {
        let mut units = Vec::new();
        for (op, change) in self.pending.iter().enumerate() {
            match change {
                Op::Write(file, position, bytes) => {
                    let start = *position as usize;
                    let mut at = 0;
                    while at < bytes.len() {
                        let end = ((start + at) / SECTOR_BYTES + 1) * SECTOR_BYTES;
                        let end = (end - start).min(bytes.len());
                        if self.changes(*file, start + at, &bytes[at..end]) {
                            units.push(Unit { op, part: at..end });
                        }
                        at = end;
                    }
                }
                Op::SetLen(..) => units.push(Unit { op, part: 0..0 }),
                _ => unreachable!("only content changes are pending"),
            }
        }
        units
    }

    /// Whether a file would differ by these bytes, or another undecided write touches them.
    fn changes(&self, file: usize, position: usize, bytes: &[u8]) -> bool {
        let durable = self.files[file].get(position..).unwrap_or_default();
        let differs = bytes.iter().enumerate().any(|(at, byte)| durable.get(at).copied().unwrap_or(0) != *byte);
        let touches = |op: &Op| match op {
            Op::Write(other, at, written) => {
                *other == file && (*at as usize) < position + bytes.len() && position < *at as usize + written.len()
            }
            _ => false,
        };
        differs || self.pending.iter().filter(|op| touches(op)).count() > 1
    }

    /// What the disk holds: with the first `entries` undecided changes of entries, and of the [`CrashPoint::units`]
    /// those that are `kept`. What is no unit changes nothing, and is kept.
    pub fn image_of_units(&self, entries: usize, units: &[Unit], kept: impl Fn(usize) -> bool) -> Image {
        let mut names = self.names.clone();
        let mut files = self.files.clone();
        for op in self.pending_names.iter().take(entries) {
            apply_name(&mut names, op);
        }
        for (_, unit) in units.iter().enumerate().filter(|(number, _)| kept(*number)) {
            match &self.pending[unit.op] {
                Op::Write(file, position, bytes) => {
                    let part = &bytes[unit.part.clone()];
                    apply_write(&mut files[*file], position + unit.part.start as u64, part);
                }
                op => apply_content(&mut files, op, Fate::Kept),
            }
        }
        names.into_iter().map(|(path, file)| (path, std::mem::take(&mut files[file]))).collect()
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

pub(super) fn apply_write(content: &mut Vec<u8>, position: u64, bytes: &[u8]) {
    let end = position as usize + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[position as usize..end].copy_from_slice(bytes);
}
