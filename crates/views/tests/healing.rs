//! Whatever happens to the files of the views, the next opening gives the same views.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::sync::Arc;

use common::{Tiny, Toy, copy, digests, digests_of, expected, files, history, open, seen};
use engram_log::{Log, Offset};
use engram_views::testing::{MemoryLog, flush, scratch_dir};
use engram_views::{AnyProjector, Options, ProjectError, Views, list, stored};

/// A directory with views whose rows are partly in files, partly in the store's journal.
fn views_of(log: &MemoryLog) -> tempfile::TempDir {
    let directory = scratch_dir();
    let prefix = log.prefix(log.len() / 2);
    let views = open(directory.path(), &prefix);
    flush(&views.snapshot());
    drop(views);
    drop(open(directory.path(), log));
    directory
}

fn generations(dir: &Path) -> Vec<(String, u32)> {
    list(dir).unwrap().into_iter().map(|view| (view.name, view.generation)).collect()
}

#[test]
fn a_clean_stop_leaves_nothing_to_do() {
    let log = history(100);
    let directory = views_of(&log);
    assert!(directory.path().join("clean").exists());
    let infos = list(directory.path()).unwrap();
    assert!(infos.iter().all(|view| view.cursor == log.durable_end() && view.generation == 1));
    assert_eq!(infos[0].tables.len(), 3);
    assert_eq!(digests(&open(directory.path(), &log)), expected(&log));
}

#[test]
fn a_clean_stop_is_one_however_the_directory_is_named() {
    let log = history(100);
    let directory = scratch_dir();
    let (real, link) = (directory.path().join("real"), directory.path().join("link"));
    fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let depth = std::env::current_dir().unwrap().components().count() - 1;
    let relative = Path::new(&"../".repeat(depth)).join(real.strip_prefix("/").unwrap());
    for name in [relative, link] {
        open(&name, &log).close();
        assert!(
            fs::read_to_string(real.join("clean")).unwrap().lines().count() > 1,
            "{} has an inventory",
            name.display()
        );
        fs::remove_file(real.join("clean")).unwrap();
    }
}

#[test]
fn a_deleted_directory() {
    let log = history(200);
    let directory = views_of(&log);
    fs::remove_dir_all(directory.path()).unwrap();
    assert_eq!(digests(&open(directory.path(), &log)), expected(&log));
}

#[test]
fn a_killed_process() {
    let log = history(200);
    let directory = scratch_dir();
    let views = open(&directory.path().join("live"), &log);
    views.start(Vec::new());
    let last = log.journal(seen("the last"), 1);
    views.wait_applied_blocking(last).unwrap();
    // What a kill leaves: the files as they are, no mark of a clean stop, and nothing of what was in memory.
    let killed = directory.path().join("killed");
    copy(&directory.path().join("live"), &killed);
    assert!(list(&killed).unwrap().iter().all(|view| view.cursor < last));
    assert_eq!(digests(&open(&killed, &log)), digests(&views));
    flush(&views.snapshot());
    let killed = directory.path().join("killed later");
    copy(&directory.path().join("live"), &killed);
    assert!(list(&killed).unwrap().iter().all(|view| view.cursor == last && view.generation == 1));
    assert_eq!(digests(&open(&killed, &log)), digests(&views));
}

#[test]
fn every_keyspace_deleted_in_turn() {
    let log = history(200);
    let directory = views_of(&log);
    let right = expected(&log);
    for entry in fs::read_dir(directory.path().join("db/keyspaces")).unwrap() {
        let name = entry.unwrap().file_name();
        let copied = scratch_dir();
        copy(directory.path(), copied.path());
        fs::remove_dir_all(copied.path().join("db/keyspaces").join(&name)).unwrap();
        assert_eq!(digests(&open(copied.path(), &log)), right, "keyspace {}", name.display());
    }
}

#[derive(Clone, Copy, Debug)]
enum Damage {
    Delete,
    Empty,
    Halve,
    Zero,
    Flip,
}

fn damage(path: &Path, damage: Damage) {
    let mut bytes = fs::read(path).unwrap();
    // The journal is a sparse file: aim at what is written.
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    match damage {
        Damage::Delete => return fs::remove_file(path).unwrap(),
        Damage::Empty => bytes.clear(),
        Damage::Halve => bytes.truncate(used / 2),
        Damage::Zero => bytes[used / 2..used].fill(0),
        Damage::Flip => bytes[..used].iter_mut().skip(used / 3).step_by(used / 3 + 1).for_each(|byte| *byte ^= 0x40),
    }
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
    fs::write(path, &bytes).unwrap();
}

#[test]
fn every_file_damaged_in_every_way() {
    let log = history(150);
    let directory = views_of(&log);
    let right = expected(&log);
    let mut cases = 0;
    for file in files(directory.path()) {
        let file = file.strip_prefix(directory.path()).unwrap();
        for kind in [Damage::Delete, Damage::Empty, Damage::Halve, Damage::Zero, Damage::Flip] {
            let copied = scratch_dir();
            copy(directory.path(), copied.path());
            damage(&copied.path().join(file), kind);
            assert_eq!(digests(&open(copied.path(), &log)), right, "{} {kind:?}", file.display());
            cases += 1;
        }
    }
    println!("{cases} damages healed");
    assert!(cases > 50);
}

#[test]
fn damage_that_is_met_only_when_reading_is_healed_by_the_next_opening() {
    let log = MemoryLog::new();
    for number in 0u64..2000 {
        // Names that do not compress: the table spans many blocks.
        log.journal(seen(&blake3::hash(&number.to_be_bytes()).to_hex()), 1);
    }
    let directory = scratch_dir();
    let views = open(directory.path(), &log);
    flush(&views.snapshot());
    let right = digests(&views);
    drop(views);
    let largest = files(&directory.path().join("db/keyspaces"));
    let largest = largest.iter().max_by_key(|file| file.metadata().unwrap().len()).unwrap();
    // Rot leaves a file's times alone: nothing says before it is read that somebody has been there.
    let before = largest.metadata().unwrap().modified().unwrap();
    damage(largest, Damage::Flip);
    OpenOptions::new().write(true).open(largest).unwrap().set_modified(before).unwrap();
    let views = open(directory.path(), &log);
    digests_of(&views.snapshot()).expect_err("the damage is noticed");
    drop(views);
    assert!(!directory.path().join("clean").exists(), "such a store is not called clean");
    assert_eq!(digests(&open(directory.path(), &log)), right);
}

#[test]
fn a_view_that_fell_behind_where_it_was_left() {
    let log = history(100);
    let right = expected(&log);
    for (view, cursor, rebuilt) in [("toy", 99u64, true), ("tiny", 0, true), ("toy", 101, true), ("tiny", 100, false)] {
        let directory = views_of(&log);
        let db = fjall::Database::builder(directory.path().join("db")).open().unwrap();
        let keyspace = db.keyspace(&format!("{view}@v1g1"), fjall::KeyspaceCreateOptions::default).unwrap();
        keyspace.insert([255], cursor.to_be_bytes()).unwrap();
        keyspace.rotate_memtable_and_wait().unwrap();
        drop((keyspace, db));
        assert_eq!(digests(&open(directory.path(), &log)), right, "{view} at {cursor}");
        let generation = |name: &str| (name.to_owned(), 1 + u32::from(rebuilt && name == view));
        assert_eq!(generations(directory.path()), [generation("toy"), generation("tiny")]);
    }
}

#[test]
fn views_at_different_records_go_on_each_from_its_own() {
    let log = history(100);
    let directory = scratch_dir();
    let views = open(&directory.path().join("live"), &log);
    views.start(Vec::new());
    let live = directory.path().join("live");
    flush(&views.snapshot());
    // Nothing of this is for any view: their cursor rows stay behind, and that is no damage.
    for _ in 0..5 {
        let last = log.journal(common::internal(), 1);
        views.wait_applied_blocking(last).unwrap();
    }
    let killed = directory.path().join("killed");
    copy(&live, &killed);
    assert!(list(&killed).unwrap().iter().all(|view| view.cursor == Offset(100) && view.generation == 1));
    let again = open(&killed, &log);
    assert_eq!(digests(&again), digests(&views));
    assert!(again.snapshot().list().unwrap().iter().all(|view| view.generation == 1));
}

#[test]
fn another_version_is_rebuilt_and_the_other_view_is_left_alone() {
    let log = history(100);
    let directory = views_of(&log);
    let projectors: Vec<Box<dyn AnyProjector>> = vec![Box::new(Toy::new(2)), Box::new(Tiny)];
    let views = Views::open(directory.path(), Arc::new(log.clone()), projectors, Options::default()).unwrap();
    let infos: Vec<_> = views.snapshot().list().unwrap().into_iter().map(|view| (view.name, view.version)).collect();
    assert_eq!(infos, [("toy".to_owned(), 2), ("tiny".to_owned(), 1)]);
    assert_eq!(digests(&views), expected(&log));
    drop(views);
    // And back again: the old version's tables are gone, not stale.
    assert_eq!(digests(&open(directory.path(), &log)), expected(&log));
    assert_eq!(generations(directory.path()), [("toy".to_owned(), 3), ("tiny".to_owned(), 1)]);
}

#[test]
fn a_view_that_comes_late_catches_up() {
    let log = history(100);
    let directory = scratch_dir();
    let alone: Vec<Box<dyn AnyProjector>> = vec![Box::new(Tiny)];
    drop(Views::open(directory.path(), Arc::new(log.clone()), alone, Options::default()).unwrap());
    assert_eq!(digests(&open(directory.path(), &log)), expected(&log));
    let alone: Vec<Box<dyn AnyProjector>> = vec![Box::new(Tiny)];
    let views = Views::open(directory.path(), Arc::new(log.clone()), alone, Options::default()).unwrap();
    assert_eq!(digests(&views), expected(&log)[1..]);
}

#[test]
fn views_ahead_of_the_log_are_rebuilt() {
    let log = history(100);
    let directory = views_of(&log);
    let restored = log.prefix(60);
    assert_eq!(digests(&open(directory.path(), &restored)), expected(&restored));
    // Also if the log has gone on from there, past where the views were, without their record.
    let directory = views_of(&log);
    restored.skip(100);
    restored.journal(seen("another"), 1);
    assert_eq!(digests(&open(directory.path(), &restored)), expected(&restored));
}

#[test]
fn records_that_no_view_writes_for_move_the_cursor() {
    let log = history(10);
    let directory = views_of(&log);
    for _ in 0..5 {
        log.journal(common::internal(), 1);
    }
    drop(open(directory.path(), &log));
    assert!(list(directory.path()).unwrap().iter().all(|view| view.cursor == Offset(15)));
}

#[test]
fn a_tool_is_told_of_what_a_server_would_heal() {
    let log = history(100);
    let look = |dir: &Path, version| {
        let projectors: Vec<Box<dyn AnyProjector>> = vec![Box::new(Toy::new(version)), Box::new(Tiny)];
        let snapshot = stored::open(dir, Arc::new(log.clone()), projectors)?;
        Ok::<_, ProjectError>(digests_of(&snapshot).unwrap())
    };
    let directory = views_of(&log.prefix(60));
    assert_eq!(look(directory.path(), 1).unwrap(), expected(&log), "what is sound is caught up");
    assert_eq!(generations(directory.path()), [("toy".to_owned(), 1), ("tiny".to_owned(), 1)]);

    assert!(look(directory.path(), 2).unwrap_err().is_damage(), "another version");
    fs::write(directory.path().join("clean"), "7").unwrap();
    for _ in 0..2 {
        assert!(look(directory.path(), 1).unwrap_err().is_damage(), "looking does not heal");
    }
    assert_eq!(digests(&open(directory.path(), &log)), expected(&log));
    assert_eq!(look(directory.path(), 1).unwrap(), expected(&log), "a server does");
    assert!(look(&directory.path().join("nothing"), 1).unwrap_err().is_damage(), "no views at all");
}
