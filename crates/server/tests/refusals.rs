//! A server that cannot start says what is wrong, where, and what to do.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use engram_server::config::written::Written;
use engram_server::config::{Config, Overrides};
use engram_server::node::Node;
use engram_server::root;

fn open(directory: &Path) -> Result<Node, String> {
    let overrides = Overrides { data_dir: Some(directory.to_owned()), ..Overrides::default() };
    let config = Config::resolve(&Written::parse("password_hash.cost = \"minimal\"").unwrap(), overrides).unwrap();
    let (_, stopping) = tokio::sync::watch::channel(false);
    Node::open(&config, &root::clock(), &root::random(), stopping).map_err(|error| error.to_string())
}

/// It once said that the log was not affected, and to rebuild the views.
#[test]
fn a_damaged_log_is_not_blamed_on_the_views() {
    let directory = tempfile::tempdir().unwrap();
    let first = open(directory.path()).unwrap();
    let token = first.first_token.clone().unwrap();
    first.close().unwrap();
    // Seals the first segment for good: sealed ones are not read when the log opens.
    open(directory.path()).unwrap().close().unwrap();
    let mut segments: Vec<_> = fs::read_dir(directory.path().join("log/journal")).unwrap().collect();
    segments.sort_by_key(|entry| entry.as_ref().unwrap().file_name());
    let segment = segments[0].as_ref().unwrap().path();
    let mut bytes = fs::read(&segment).unwrap();
    let place = bytes.windows(token.len()).position(|window| window == token.as_bytes()).unwrap();
    bytes[place] ^= 1;
    fs::write(&segment, bytes).unwrap();
    fs::remove_dir_all(directory.path().join("views")).unwrap();
    let refused = open(directory.path()).err().unwrap();
    assert!(refused.contains("engramctl log verify"), "{refused}");
    assert!(refused.contains("00000000000000000001"), "{refused}");
    assert!(!refused.contains("rebuild"), "{refused}");
}

#[test]
fn a_second_server_is_told_where_the_first_one_is() {
    let directory = tempfile::tempdir().unwrap();
    let first = open(directory.path()).unwrap();
    let refused = open(directory.path()).err().unwrap();
    assert!(refused.contains(&directory.path().display().to_string()), "{refused}");
    assert!(refused.contains(&std::process::id().to_string()), "{refused}");
    first.close().unwrap();
}
