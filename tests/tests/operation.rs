//! What an operator sees: the first start, restarts, a second process, a misspelt configuration.

use std::fs;
use std::process::Command;

use engram_benches::target::{Registration, Target};
use engram_tests::binaries::binaries;
use engram_tests::server::external_url;
use engram_tests::user::texts;
use engram_tests::{Server, User, eventually};
use serde_json::json;

/// The registration token in what a first start prints: a line of its own.
fn printed_token(text: &str) -> Option<String> {
    let token = |line: &&str| line.len() >= 16 && line.chars().all(|letter| letter.is_ascii_alphanumeric());
    text.lines().map(str::trim).find(token).map(str::to_owned)
}

#[test]
fn the_first_start_prints_how_to_register() {
    if external_url().is_some() {
        return;
    }
    let mut server = Server::start_without_configuration();
    // The server may take connections a moment before what it prints has come through the pipe.
    let token = eventually("a registration token is printed", || printed_token(&server.log_text()));
    let refused = Target::new(&server.url(), Registration::Open).expect("a URL").register("stranger");
    assert!(refused.is_err(), "without the token nobody gets in");
    let mut target = Target::new(&server.url(), Registration::Token(token.clone())).expect("a URL");
    let account = target.register("alice").expect("the token is good");
    assert_eq!(account.user_id, "@alice:localhost");
    let alice = User::new(server.address, account);
    let room = alice.create_room(&json!({"name": "Engrams"}));
    alice.say(&room, "hello");

    assert!(server.stop().success());
    server.start_again();
    assert_eq!(texts(&alice.history(&room)), ["hello"], "everything is there after a restart");
    assert_eq!(server.log_text().matches(&token).count(), 1, "the token is shown only once");
}

#[test]
fn a_second_process_is_told_who_is_there() {
    if external_url().is_some() {
        return;
    }
    let server = Server::start();
    let (code, text) = server.start_a_second();
    assert_ne!(code, Some(0), "{text}");
    assert!(text.contains(&server.pid().to_string()), "the owner is named: {text}");
    server.user("alice").get("/v3/account/whoami").ok();
}

#[test]
fn an_unknown_key_is_an_error_with_a_suggestion() {
    if external_url().is_some() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("engram.toml");
    fs::write(&file, "server_nam = \"localhost\"\n").expect("a file can be written");
    let output = Command::new(&binaries().engram).args(["serve", "--config"]).arg(&file).output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success(), "{text}");
    assert!(text.contains("server_nam") && text.contains("server_name"), "{text}");
}

#[test]
fn a_token_in_the_query_is_not_logged() {
    if external_url().is_some() {
        return;
    }
    let server = Server::start();
    let alice = server.user("alice");
    server.get(&format!("/v3/account/whoami?access_token={}", alice.token)).ok();
    assert!(!server.log_text().contains(&alice.token), "no secret in the log");
}
