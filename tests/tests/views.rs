//! Views are a function of the log: a rebuild gives the same digests, and clients notice nothing.

use std::fs;

use engram_benches::mix;
use engram_benches::target::{Registration, Target};
use engram_tests::server::external_url;
use engram_tests::user::{next_batch, texts, timeline};
use engram_tests::{Server, User};
use serde_json::{Value, json};

/// Mixed requests that fill the log; most make one record.
fn requests() -> usize {
    if std::env::var_os("ENGRAM_NIGHTLY").is_some() { 110_000 } else { 20_000 }
}

/// A server with a filled log, and a user with a room and an old position.
struct World {
    server: Server,
    alice: User,
    room: String,
    since: String,
    prev_batch: String,
}

impl World {
    fn new() -> Self {
        let server = Server::start();
        let alice = server.user("alice");
        let room = alice.create_room(&json!({"name": "Before"}));
        (0..30).for_each(|number| drop(alice.say(&room, &format!("old {number}"))));
        let first = alice.sync("", "");
        let prev_batch =
            first["rooms"]["join"][&room]["timeline"]["prev_batch"].as_str().expect("prev_batch").to_owned();
        let mut target = Target::new(&server.url(), Registration::Open).expect("a URL");
        let options = mix::Options { requests: requests(), users: 16, rooms: 6, seed: 20 };
        let report = mix::run(&mut target, "mixed", &options).unwrap_or_else(|error| panic!("mixed requests: {error}"));
        println!("{} mixed requests, {:.0} a second", report.requests, report.requests_per_second);
        alice.say(&room, "after the token");
        Self { server, alice, room, since: next_batch(&first), prev_batch }
    }

    /// Everything that a client with old positions relies on.
    fn check_old_positions(&self) {
        let sync = self.alice.sync(&self.since, "");
        assert_eq!(texts(timeline(&sync, &self.room)).first(), Some(&"after the token"), "{sync}");
        let query = format!("/messages?dir=b&limit=5&from={}", engram_benches::http::encode(&self.prev_batch));
        let page = self.alice.room_get(&self.room, &query).ok();
        assert!(!page["chunk"].as_array().expect("a chunk").is_empty(), "{page}");
        assert_eq!(self.alice.state(&self.room, "m.room.name", "").ok()["name"], "Before");
    }
}

/// The digest of each view by name.
fn digests(server: &Server) -> Value {
    let (code, text) = server.engramctl(&["view", "digest", "--json"]);
    assert_eq!(code, Some(0), "{text}");
    let mut digests: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    without_positions(&mut digests);
    digests
}

/// A start and a stop are records of the log, so positions move where views do not.
fn without_positions(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| !name.contains("offset") && !name.contains("generation"));
            members.values_mut().for_each(without_positions);
        }
        Value::Array(items) => items.iter_mut().for_each(without_positions),
        _ => {}
    }
}

#[test]
fn views_are_rebuilt_to_the_same_digests() {
    if external_url().is_some() {
        return;
    }
    let mut world = World::new();
    world.check_old_positions();
    assert!(world.server.stop().success());
    assert_eq!(world.server.engramctl(&["log", "verify"]).0, Some(0));
    assert_eq!(world.server.engramctl(&["view", "verify"]).0, Some(0), "a rebuild in a scratch directory agrees");
    let live = digests(&world.server);

    fs::remove_dir_all(world.server.data_dir().join("views")).expect("the views can be deleted");
    world.server.start_again();
    world.check_old_positions();
    assert!(world.server.stop().success());
    assert_eq!(digests(&world.server), live, "rebuilt views have the digests of the live ones");

    assert_eq!(world.server.engramctl(&["view", "rebuild", "--all"]).0, Some(0));
    assert_eq!(digests(&world.server), live);
    world.server.start_again();
    world.check_old_positions();
    let event_id = world.alice.say(&world.room, "and on it goes");
    let sync = world.alice.sync(&world.since, "");
    assert_eq!(timeline(&sync, &world.room).last().expect("an event")["event_id"], event_id.as_str());
}

#[test]
fn a_running_server_is_not_read_half() {
    if external_url().is_some() {
        return;
    }
    let server = Server::start();
    let (code, _) = server.engramctl(&["view", "verify"]);
    assert!(code == Some(0) || code == Some(2), "either done safely or refused: {code:?}");
}
