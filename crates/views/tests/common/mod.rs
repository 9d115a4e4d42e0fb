//! A toy projector that reads what it has written, and histories for it.

#![allow(dead_code, reason = "each test program uses a part of this")]

use std::fs;
use std::ops::{Bound, ControlFlow};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engram_log::{Input, InputRef, Record};
use engram_log_format::v1;
use engram_views::testing::{MemoryLog, scratch_dir};
use engram_views::{
    AnyProjector, Apply, Options, ProjectError, Projector, Read, ReadExt, Snapshot, Table, ViewError, Views,
};

/// Key: name. Value: how often it was seen, u64.
pub(crate) static COUNTS: Table = Table::new(200, "toy.counts");
/// Key: count u64, name. Value: offset of the record that brought it there, u64.
pub(crate) static RANKING: Table = Table::new(201, "toy.ranking");
/// Key: `sum`. Value: a chain over everything seen, u64.
pub(crate) static SUMS: Table = Table::new(202, "toy.sums");
/// Key: user name. Value: as set last.
pub(crate) static NAMES: Table = Table::new(210, "tiny.names");

/// Counts names, ranks them, and evicts the last of the ranking when it gets long.
#[derive(Default)]
pub(crate) struct Toy {
    pub(crate) version: u32,
    /// A memo of `SUMS`.
    sum: Option<u64>,
}

/// What [`Toy`] emits.
pub(crate) struct Counted(pub(crate) String, pub(crate) u64);

impl Toy {
    pub(crate) fn new(version: u32) -> Self {
        Self { version, sum: None }
    }
}

fn number(value: &[u8]) -> u64 {
    u64::from_be_bytes(value.try_into().expect("eight bytes"))
}

impl Projector for Toy {
    type Delta = Counted;

    fn name(&self) -> &'static str {
        "toy"
    }

    fn version(&self) -> u32 {
        self.version
    }

    fn tables(&self) -> &'static [&'static Table] {
        static TABLES: [&Table; 3] = [&COUNTS, &RANKING, &SUMS];
        &TABLES
    }

    fn apply(
        &mut self,
        record: &Record,
        input: InputRef<'_>,
        view: &mut Apply<'_, Counted>,
    ) -> Result<(), ProjectError> {
        let InputRef::ProfileFieldSet(set) = input else { return Ok(()) };
        let name = set.user_id.as_bytes().to_vec();
        let count = view.get(&COUNTS, &name)?.map_or(0, |value| number(&value));
        let rank = |count: u64| [&count.to_be_bytes()[..], &name].concat();
        view.remove(&RANKING, &rank(count));
        view.put(&RANKING, &rank(count + 1), &record.offset.to_be_bytes());
        view.put(&COUNTS, &name, &(count + 1).to_be_bytes());
        let mut ranks = Vec::new();
        view.scan(&RANKING, Bound::Unbounded, Bound::Unbounded, true, &mut |key, _| {
            ranks.push(key.to_vec());
            if ranks.len() > 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if let Some(evicted) = ranks.get(5) {
            view.remove(&RANKING, evicted);
            view.remove(&COUNTS, &evicted[8..]);
        }
        let sum = match self.sum {
            Some(sum) => sum,
            None => view.get(&SUMS, b"sum")?.map_or(0, |value| number(&value)),
        };
        let sum = sum.wrapping_mul(31).wrapping_add(count + name.len() as u64 + record.offset.0);
        self.sum = Some(sum);
        view.put(&SUMS, b"sum", &sum.to_be_bytes());
        view.emit(Counted(set.user_id.to_string(), count + 1));
        Ok(())
    }

    fn reset(&mut self) {
        self.sum = None;
    }
}

/// A second view, to see that views are independent.
pub(crate) struct Tiny;

impl Projector for Tiny {
    type Delta = ();

    fn name(&self) -> &'static str {
        "tiny"
    }

    fn version(&self) -> u32 {
        1
    }

    fn tables(&self) -> &'static [&'static Table] {
        static TABLES: [&Table; 1] = [&NAMES];
        &TABLES
    }

    fn apply(&mut self, _: &Record, input: InputRef<'_>, view: &mut Apply<'_, ()>) -> Result<(), ProjectError> {
        if let InputRef::ProfileFieldSet(set) = input {
            view.put(&NAMES, set.user_id.as_bytes(), set.key.as_bytes());
        }
        Ok(())
    }

    fn reset(&mut self) {}
}

/// Both projectors.
pub(crate) fn projectors() -> Vec<Box<dyn AnyProjector>> {
    vec![Box::new(Toy::new(1)), Box::new(Tiny)]
}

/// A record that both count.
pub(crate) fn seen(name: &str) -> Input {
    v1::ProfileFieldSet { user_id: name.to_owned(), key: format!("of {name}"), value: None }.into()
}

/// A record that no projector is given.
pub(crate) fn internal() -> Input {
    v1::OffsetLease { below: 7 }.into()
}

/// A log of `count` records over a handful of names.
pub(crate) fn history(count: u64) -> MemoryLog {
    let log = MemoryLog::new();
    for number in 0..count {
        log.journal(seen(&format!("@user{}:example.org", number * number % 23)), number);
    }
    log
}

/// All rows of a table, cursor rows excluded.
pub(crate) fn rows(view: &impl Read, table: &Table) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows = Vec::new();
    let visit = &mut |key: &[u8], value: &[u8]| {
        rows.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    };
    view.scan_prefix(table, b"", visit).expect("the table can be read");
    rows
}

/// Opens views without following live.
pub(crate) fn open(dir: &Path, log: &MemoryLog) -> Arc<Views> {
    Views::open(dir, Arc::new(log.clone()), projectors(), Options::default()).expect("views heal themselves")
}

/// Digests of all views by name, however they are built.
pub(crate) fn digests(views: &Views) -> Vec<(&'static str, blake3::Hash)> {
    digests_of(&views.snapshot()).expect("the views can be read")
}

/// Digests of all views of a snapshot.
pub(crate) fn digests_of(snapshot: &Snapshot) -> Result<Vec<(&'static str, blake3::Hash)>, ViewError> {
    Ok(snapshot.digests()?.into_iter().map(|view| (view.name, view.digest)).collect())
}

/// The digests that a log must give, from views that nothing has happened to.
pub(crate) fn expected(log: &MemoryLog) -> Vec<(&'static str, blake3::Hash)> {
    let directory = scratch_dir();
    digests(&open(directory.path(), log))
}

/// Copies a directory with all that is in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the copy can be made");
    for entry in fs::read_dir(from).expect("the directory can be read") {
        let entry = entry.expect("the directory can be read");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() { copy(&entry.path(), &target) } else { drop(fs::copy(entry.path(), target)) }
    }
}

/// All files below a directory, in order.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("the directory can be read") {
        let path = entry.expect("the directory can be read").path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}
