//! Whatever happens to the files of the views, the server has the same views again, and nobody has to help.
//!
//! Damage that is met when a store is opened is healed at once; damage that is met only when a row is read condemns the
//! store, and the next start heals it. What must never happen is that wrong rows are shown for right ones.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use engram_log::Log;
use engram_server::node::projectors;
use engram_views::rebuild::{self, Which};
use engram_views::testing::{MemoryLog, flush, scratch_dir};
use engram_views::{ProjectError, Views};

use super::generate::{Append, Random, history};
use super::support::{Digests, asked, copy, digests, expected, files, open, used, write_sparse};

/// Damages that are tried where nobody asks for more.
const DAMAGES: u64 = 110;
/// Starts that it may take: one that notices when reading, and one that heals.
const STARTS_MAX: usize = 3;
const SECTOR_BYTES: usize = 512;

/// The files of a directory, without the zeros at their ends, and how long they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Image(pub(crate) BTreeMap<PathBuf, (Vec<u8>, usize)>);

impl Image {
    /// What is in a directory, now.
    pub(crate) fn of(dir: &Path) -> Self {
        let read = |path: PathBuf| {
            // A file may go while the others are read.
            let bytes = fs::read(dir.join(&path)).ok()?;
            let (used, length) = (used(&bytes), bytes.len());
            Some((path, (bytes[..used].to_vec(), length)))
        };
        Self(files(dir).into_iter().filter_map(read).collect())
    }

    pub(crate) fn write(&self, dir: &Path) {
        for (path, (bytes, length)) in &self.0 {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().expect("it lies below")).expect("a directory can be made");
            write_sparse(&path, bytes);
            let file = fs::OpenOptions::new().write(true).open(&path).expect("it was just written");
            file.set_len(*length as u64).expect("a file can grow");
        }
    }
}

/// How an image came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Healed {
    /// It could be used as it was, and was caught up.
    Used,
    /// Views were built anew when it was opened.
    AtOnce,
    /// Damage was met when rows were read, and the next start built views anew.
    AtTheNextStart,
}

/// Starts on an image until the views can be read, and compares them.
pub(crate) fn heal(image: &Image, log: &MemoryLog, right: &Digests, what: &str) -> Healed {
    let directory = scratch_dir();
    image.write(directory.path());
    for start in 0..STARTS_MAX {
        let before = generations(directory.path());
        let views = open(directory.path(), log, 0).unwrap_or_else(|error| panic!("{what}: {error}"));
        match digests(&views.snapshot()) {
            Ok(found) => {
                assert_eq!(&found, right, "{what}: wrong rows are shown");
                let rebuilt = before != snapshot_generations(&views);
                return match (start, rebuilt) {
                    (0, false) => Healed::Used,
                    (0, true) => Healed::AtOnce,
                    _ => Healed::AtTheNextStart,
                };
            }
            Err(error) => assert!(error.is_damage(), "{what}: {error}"),
        }
    }
    panic!("{what}: not healed after {STARTS_MAX} starts");
}

fn snapshot_generations(views: &Views) -> Option<Vec<(String, u32)>> {
    let infos = views.snapshot().list().ok()?;
    Some(infos.into_iter().map(|view| (view.name, view.generation)).collect())
}

/// What the files say before anybody heals them; none if they cannot be read.
fn generations(dir: &Path) -> Option<Vec<(String, u32)>> {
    let copied = scratch_dir();
    copy(dir, copied.path());
    let infos = std::panic::catch_unwind(|| engram_views::list::list(copied.path())).ok()?.ok()?;
    Some(infos.into_iter().map(|view| (view.name, view.generation)).collect())
}

/// A store with a past: images of several moments of it.
pub(crate) struct Past {
    pub(crate) log: MemoryLog,
    pub(crate) right: Digests,
    /// Left cleanly, with a mark of it.
    pub(crate) clean: Image,
    /// Killed, with everything applied.
    pub(crate) killed: Image,
    /// Earlier moments, the oldest first.
    pub(crate) old: Vec<Image>,
}

impl Past {
    pub(crate) fn new(seed: u64) -> Self {
        let history = history(seed, 420);
        let log = MemoryLog::new();
        let put = |range: std::ops::Range<usize>| {
            history[range].iter().fold(None, |_, append: &Append| Some(append.to(&log)))
        };
        let directory = scratch_dir();
        let dir = directory.path();
        let (first, second, third) = (history.len() / 4, history.len() / 2, history.len() * 3 / 4);
        let mut old = Vec::new();
        // Replayed, in files.
        put(0..first);
        let views = open(dir, &log, 200).expect("it opens");
        flush(&views.snapshot());
        drop(views);
        old.push(Image::of(dir));
        // Rebuilt: another generation.
        put(first..second);
        let shared: std::sync::Arc<dyn Log> = std::sync::Arc::new(log.clone());
        rebuild::in_place(dir, shared, projectors(), Which::Named("rooms"), &mut |_| {}).expect("it is rebuilt");
        old.push(Image::of(dir));
        // Live, some in files and the rest in the store's journal, a batch a record.
        let views = open(dir, &log, 0).expect("it opens");
        views.start(Vec::new());
        for (number, append) in history[second..].iter().enumerate() {
            views.wait_applied_blocking(append.to(&log)).expect("the pipeline runs");
            if number == third - second {
                flush(&views.snapshot());
                old.push(Image::of(dir));
            }
        }
        let killed = Image::of(dir);
        drop(views);
        let (clean, right) = (Image::of(dir), expected(&log));
        Self { log, right, clean, killed, old }
    }
}

/// Damages an image in one way. Says how.
fn damage(image: &mut Image, past: &Past, random: &mut Random) -> String {
    let paths: Vec<PathBuf> = image.0.keys().cloned().collect();
    let path = paths[random.below(paths.len())].clone();
    let at = |random: &mut Random, bytes: &[u8]| random.below(bytes.len().max(1));
    let shown = path.display();
    match random.below(11) {
        0 => {
            image.0.remove(&path);
            format!("{shown} is deleted")
        }
        1 | 2 => {
            let file = image.0.get_mut(&path).expect("it is there");
            let length = at(random, &file.0);
            file.0.truncate(length);
            file.1 = length;
            format!("{shown} is cut to {length}")
        }
        3 => {
            let bytes = &mut image.0.get_mut(&path).expect("it is there").0;
            let start = at(random, bytes) / SECTOR_BYTES * SECTOR_BYTES;
            bytes.iter_mut().skip(start).take(SECTOR_BYTES).for_each(|byte| *byte = 0);
            format!("a sector of {shown} at {start} is zero")
        }
        4 => {
            let bytes = &mut image.0.get_mut(&path).expect("it is there").0;
            let start = at(random, bytes) / SECTOR_BYTES * SECTOR_BYTES;
            bytes.iter_mut().skip(start).take(SECTOR_BYTES).for_each(|byte| *byte = random.below(256) as u8);
            format!("a sector of {shown} at {start} is garbage")
        }
        5 | 6 => {
            let bytes = &mut image.0.get_mut(&path).expect("it is there").0;
            let (position, bit) = (at(random, bytes), random.below(8));
            if let Some(byte) = bytes.get_mut(position) {
                *byte ^= 1 << bit;
            }
            format!("bit {bit} of byte {position} of {shown} is flipped")
        }
        7 => {
            // The file of the same name in another keyspace, that is in another view or generation.
            let name = path.file_name();
            let namesakes: Vec<&PathBuf> =
                paths.iter().filter(|other| other.file_name() == name && **other != path).collect();
            if namesakes.is_empty() {
                return "nothing".to_owned();
            }
            let other = namesakes[random.below(namesakes.len())].clone();
            let (one, two) = (image.0[&path].clone(), image.0[&other].clone());
            image.0.insert(path.clone(), two);
            image.0.insert(other.clone(), one);
            format!("{shown} and {} are exchanged", other.display())
        }
        8 => {
            let moment = random.below(past.old.len());
            match past.old[moment].0.get(&path) {
                Some(old) => image.0.insert(path.clone(), old.clone()),
                None => image.0.remove(&path),
            };
            format!("{shown} is as it was at moment {moment}")
        }
        9 => {
            // A keyspace from a backup, or none.
            let dir = path.parent().expect("files lie in directories").to_owned();
            let moment = random.below(past.old.len() + 1);
            image.0.retain(|path, _| !path.starts_with(&dir));
            let old = past.old.get(moment).into_iter().flat_map(|old| &old.0);
            image.0.extend(
                old.filter(|(path, _)| path.starts_with(&dir)).map(|(path, file)| (path.clone(), file.clone())),
            );
            format!("{} is as it was at moment {moment}, or gone", dir.display())
        }
        _ => {
            let keep = random.number();
            let mut number = 0;
            image.0.retain(|_, _| {
                number += 1;
                keep >> (number % 64) & 1 == 1
            });
            format!("the files of pattern {keep:x} are deleted")
        }
    }
}

#[test]
fn every_damage_heals() {
    let count = asked("ENGRAM_DAMAGES", DAMAGES);
    let first = asked("ENGRAM_SEED", 1);
    let mut healed = BTreeMap::<Healed, u64>::new();
    let mut past = Past::new(first);
    for number in 0..count {
        let seed = first + number;
        if number % 1000 == 999 {
            past = Past::new(seed);
        }
        let mut random = Random(seed ^ 0xda_a6e5);
        let (mut image, state) = match random.below(5) {
            0 | 1 => (past.clean.clone(), "closed"),
            2 | 3 => (past.killed.clone(), "killed"),
            _ => (past.old[random.below(past.old.len())].clone(), "old"),
        };
        let mut what = format!("seed {seed}: {state}");
        for _ in 0..random.pick(&[1, 1, 1, 2, 3]) {
            what = format!("{what}; {}", damage(&mut image, &past, &mut random));
            if image.0.is_empty() {
                break;
            }
        }
        *healed.entry(heal(&image, &past.log, &past.right, &what)).or_default() += 1;
    }
    println!("{count} damages: {healed:?}");
}

/// The traps of the store that its notes name, as images.
#[test]
fn the_known_traps() {
    let past = Past::new(asked("ENGRAM_SEED", 1));
    let journal = |image: &Image| {
        let of_journal = |path: &&PathBuf| path.extension().is_some_and(|extension| extension == "jnl");
        image.0.keys().rfind(of_journal).expect("there is a journal").clone()
    };
    let check = |image: &Image, what: &str| heal(image, &past.log, &past.right, what);

    assert_eq!(check(&past.clean, "closed"), Healed::Used);
    assert_eq!(check(&past.killed, "killed"), Healed::Used);
    // The flushed part of one view with a journal that is lost: rows of one batch in a file, of another nowhere.
    let mut image = past.killed.clone();
    let path = journal(&image);
    image.0.get_mut(&path).expect("it is there").0.clear();
    check(&image, "the journal is zero");
    // A torn page in the middle of an unsynced batch whose end is there; every sector in turn.
    let sectors = past.killed.0[&path].0.len().div_ceil(SECTOR_BYTES);
    for sector in (0..sectors).step_by(1 + sectors / 24) {
        let mut image = past.killed.clone();
        let bytes = &mut image.0.get_mut(&path).expect("it is there").0;
        bytes.iter_mut().skip(sector * SECTOR_BYTES).take(SECTOR_BYTES).for_each(|byte| *byte = 0);
        check(&image, &format!("sector {sector} of the journal is zero"));
    }
    // The number of a batch, which the store's checksum does not cover: every bit that matters, in some batches.
    let starts = batch_starts(&past.killed.0[&path].0);
    assert!(starts.len() > 100, "a batch a record: {}", starts.len());
    for (number, start) in starts.iter().enumerate().step_by(1 + starts.len() / 12) {
        for bit in [0, 1, 3, 5, 7, 8, 12, 40, 62] {
            let mut image = past.killed.clone();
            image.0.get_mut(&path).expect("it is there").0[start + 5 + bit / 8] ^= 1 << (bit % 8);
            check(&image, &format!("bit {bit} of the number of batch {number}"));
        }
    }
    // A mark of a clean stop beside a store that is older, or newer.
    for old in &past.old {
        let mut image = old.clone();
        image.0.insert("clean".into(), past.clean.0[Path::new("clean")].clone());
        check(&image, "the mark of a later stop");
    }
    let mut image = past.killed.clone();
    image.0.insert("clean".into(), (b"7".to_vec(), 1));
    check(&image, "the mark of an earlier stop");
}

/// Where the batches of a journal begin: a byte 1, the count of items, the number; each ends with a magic number.
fn batch_starts(journal: &[u8]) -> Vec<usize> {
    const TRAILER: [u8; 4] = *b"FJL\x03";
    let ends = journal.windows(4).enumerate().filter(|(_, bytes)| *bytes == TRAILER).map(|(at, _)| at + 4);
    [0].into_iter().chain(ends).filter(|at| journal.get(*at) == Some(&1) && at + 13 <= journal.len()).collect()
}

#[test]
fn a_tool_sees_what_a_server_heals() {
    let past = Past::new(asked("ENGRAM_SEED", 1));
    let mut image = past.clean.clone();
    image.0.retain(|path, _| !path.ends_with("current"));
    let directory = scratch_dir();
    image.write(directory.path());
    let shared: std::sync::Arc<dyn Log> = std::sync::Arc::new(past.log.clone());
    let strict = engram_views::stored::open(directory.path(), shared, projectors());
    assert!(strict.is_err_and(|error: ProjectError| error.is_damage()), "who looks for damage is told");
}
