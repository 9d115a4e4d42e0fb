//! The scrubber in the server: rot in a sealed file is found while the server runs, and told with file and position.

use std::fs;

use engram_tests::server::external_url;
use engram_tests::{Server, eventually};
use serde_json::json;

#[test]
fn rot_is_found_while_the_server_runs() {
    if external_url().is_some() {
        return;
    }
    let mut server = Server::start_with(
        "[journal]\nsegment_bytes = 16384\n[scrub]\nbytes_per_second = 100000000\npause_seconds = 0\n",
    );
    server.expect_log("E-LOG-ROT");
    let alice = server.user("alice");
    let room = alice.create_room(&json!({}));
    (0..60).for_each(|number| drop(alice.say(&room, &format!("{number} {}", "x".repeat(300)))));
    // What is sealed when it starts is read at once.
    assert!(server.stop().success());
    server.start_again();
    eventually("a round is complete", || server.log_text().contains("is good").then_some(()));

    let directory = server.data_dir().join("log/journal");
    let mut segments: Vec<_> =
        fs::read_dir(&directory).expect("a directory").map(|entry| entry.expect("an entry").path()).collect();
    segments.sort();
    assert!(segments.len() > 3, "the log has rotated: {segments:?}");
    let mut bytes = fs::read(&segments[1]).expect("a segment");
    bytes[5_000] ^= 0x10;
    fs::write(&segments[1], &bytes).expect("a file can be written");

    let name = segments[1].file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
    let found = |line: &&str| line.contains("E-LOG-ROT") && line.contains(&name) && line.contains("position=");
    eventually("the rot is found", || server.log_text().lines().any(|line| found(&line)).then_some(()));
    alice.say(&room, "the server goes on");
    assert!(server.stop().success());
    assert_eq!(server.engramctl(&["log", "verify"]).0, Some(1), "and the tool finds it too");
    assert_eq!(server.engramctl(&["log", "verify", "--deep"]).0, Some(1));

    bytes[5_000] ^= 0x10;
    fs::write(&segments[1], &bytes).expect("a file can be written");
    assert_eq!(server.engramctl(&["log", "verify", "--deep"]).0, Some(0), "restored from a backup");
}
