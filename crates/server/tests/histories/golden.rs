//! A history that is kept in the repository, and the digests that its views have on every machine, in debug and in
//! release.
//!
//! `golden/log` was written once by `ENGRAM_WRITE_GOLDEN=history`, which does not overwrite it. `golden/digests.txt`
//! has a line a view: name, version, digest. Whoever changes what a projector writes raises the view's version, and
//! then `ENGRAM_WRITE_GOLDEN=digests cargo test -p engram-server --test histories golden` writes the new digests.
//! Digests that change without a version would leave servers with views of two minds.

use std::path::PathBuf;
use std::sync::Arc;
use std::{env, fs};

use engram_log::storage::sim::{Image, SimStorage};
use engram_log::{EmbeddedLog, Log};
use engram_server::node::projectors;

use super::generate::history;
use super::support::expected;

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

#[expect(clippy::disallowed_methods, reason = "refreshes what the test compares with")]
fn is_written(what: &str) -> bool {
    env::var("ENGRAM_WRITE_GOLDEN").is_ok_and(|value| value == what)
}

fn write_history() {
    let storage = SimStorage::new();
    let log =
        EmbeddedLog::open(storage.clone(), engram_log::Options { reserve_bytes: 0, ..engram_log::Options::default() });
    let log = log.expect("it opens");
    let last = history(2026, 240).iter().fold(None, |_, append| Some(append.to(&*log))).expect("at least one");
    log.wait_durable(last).expect("durable");
    log.close().expect("it closes");
    for (path, bytes) in storage.image() {
        let path = golden(&path);
        fs::create_dir_all(path.parent().expect("it has one")).expect("a directory");
        fs::write(path, bytes).expect("written");
    }
}

fn load() -> Arc<dyn Log> {
    let mut image = Image::new();
    for lane in ["log/journal", "log/ephemeral"] {
        for entry in fs::read_dir(golden(lane)).expect("the history is there") {
            let path = entry.expect("it can be read").path();
            let name = path.file_name().expect("a file").to_string_lossy().into_owned();
            image.insert(format!("{lane}/{name}"), fs::read(path).expect("it can be read"));
        }
    }
    EmbeddedLog::open_read_only(SimStorage::from_image(&image)).expect("it opens")
}

#[test]
fn the_golden_history_has_its_digests() {
    if is_written("history") && !golden("log").exists() {
        write_history();
    }
    let digests = expected(&load());
    let versions = projectors().into_iter().map(|projector| projector.version());
    let lines = digests.iter().zip(versions).map(|((name, digest), version)| format!("{name} v{version} {digest}\n"));
    let found: String = lines.collect();
    if is_written("digests") {
        fs::write(golden("digests.txt"), &found).expect("written");
    }
    let kept = fs::read_to_string(golden("digests.txt")).expect("the digests are there");
    assert_eq!(
        found, kept,
        "views of the golden history changed; if they were meant to, raise their versions: see above"
    );
}
