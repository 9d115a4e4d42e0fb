//! R8 for the whole server: a sync of the log that takes seconds.
//!
//! Nothing here measures time: a read that was asked for during the sync has to be answered before the sync has ended,
//! which the answer to a write that waits for it tells.

use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;

use engram_benches::http::encode;
use engram_tests::server::external_url;
use engram_tests::user::texts;
use engram_tests::{Reply, Server, User, unique};
use serde_json::{Value, json};

use super::{nightly, told_to_come_back};

/// Blocking writers: more than the runtime has threads for calls that block.
const WRITERS: usize = 600;

/// Messages that together do not fit into the queue.
const LARGE_MESSAGES: usize = 40;

const LARGE_BYTES: usize = 50_000;

/// How long a sync takes.
fn sync_ms() -> u64 {
    if nightly() { 10_000 } else { 5_000 }
}

/// A room with some history, on a server whose next syncs all take seconds.
struct World {
    server: Server,
    alice: User,
    room: String,
    /// A position before the history.
    since: String,
}

impl World {
    fn new() -> Self {
        let mut server = Server::start_with("[journal]\nqueue_bytes = 1048576\n");
        let alice = server.user("alice");
        let room = alice.create_room(&json!({"name": "Slow"}));
        let since = alice.sync_token();
        (0..20).for_each(|number| drop(alice.say(&room, &format!("before {number}"))));
        assert!(server.stop().success());
        // The first is the start's own.
        server.arm(&format!("log.frame.sync=sleep({})@2+", sync_ms()));
        server.start_again();
        Self { server, alice, room, since }
    }

    /// Every kind of read, each of which has to be answered, with what was there before.
    fn read_everything(&self) {
        self.server.get("/versions").ok();
        let first = self.alice.sync("", "");
        assert!(first["rooms"]["join"][&self.room].is_object(), "{first}");
        let next = self.alice.sync(&self.since, "");
        assert!(next["rooms"]["join"][&self.room]["timeline"]["events"][0].is_object(), "{next}");
        assert!(texts(&self.alice.history(&self.room)).contains(&"before 19"));
        assert_eq!(self.alice.state(&self.room, "m.room.name", "").ok()["name"], "Slow");
        self.alice.room_get(&self.room, "/members").ok();
        self.alice.get("/v3/account/whoami").ok();
        // A long poll for which there is nothing ends when it said it would.
        let now = self.alice.sync_token();
        self.alice.get(&format!("/v3/sync?timeout=100&since={}", encode(&now))).ok();
    }

    /// Writes on a thread; the reply comes over the channel, unless the server is gone before.
    fn put(&self, path: String, body: Value) -> Receiver<Reply> {
        let (sender, receiver) = channel();
        let user = self.alice.clone();
        thread::spawn(move || {
            if let Ok(reply) = user.try_call("PUT", &path, Some(&body)) {
                // Nobody waits for it any more once the test has seen enough.
                let _ = sender.send(reply);
            }
        });
        receiver
    }

    fn say(&self, text: &str) -> Receiver<Reply> {
        let path = format!("/v3/rooms/{}/send/m.room.message/t{}", encode(&self.room), unique());
        self.put(path, json!({"msgtype": "m.text", "body": text}))
    }
}

#[test]
fn reads_go_on_while_a_sync_takes_seconds() {
    if external_url().is_some() {
        return;
    }
    let world = World::new();
    let written = world.say("slow");
    world.read_everything();
    assert_eq!(written.try_recv().err(), Some(TryRecvError::Empty), "reads came back before the sync");
    written.recv().expect("an answer").ok();
    assert!(texts(&world.alice.history(&world.room)).contains(&"slow"));
}

#[test]
fn what_does_not_fit_into_the_queue_is_told_to_come_back() {
    if external_url().is_some() {
        return;
    }
    let world = World::new();
    let text = |number: usize| format!("{number} {}", "x".repeat(LARGE_BYTES));
    let replies: Vec<_> = (0..LARGE_MESSAGES).map(|number| world.say(&text(number))).collect();
    let (mut taken, mut refused) = (Vec::new(), 0);
    for (number, reply) in replies.into_iter().enumerate() {
        let reply = reply.recv().expect("an answer");
        if reply.status == 200 {
            taken.push(number);
        } else {
            told_to_come_back(reply);
            refused += 1;
        }
    }
    assert!(refused > 0 && !taken.is_empty(), "{refused} refused, {} taken", taken.len());
    let history = world.alice.history(&world.room);
    for number in taken {
        assert!(texts(&history).contains(&text(number).as_str()), "{number} was acknowledged");
    }
}

#[test]
fn writers_that_block_leave_threads_for_readers() {
    if external_url().is_some() {
        return;
    }
    let mut world = World::new();
    let path = |number: usize| format!("/v3/user/{}/account_data/org.example.{number}", encode(&world.alice.id));
    // Before any of them: a message whose answer tells when the first sync has ended.
    let written = world.say("first");
    let replies: Vec<_> = (0..WRITERS).map(|number| world.put(path(number), json!({"number": number}))).collect();
    world.read_everything();
    assert_eq!(written.try_recv().err(), Some(TryRecvError::Empty), "reads came back before the sync");
    if nightly() {
        // One after the other takes hours: all but a few are told so.
        let refused = replies.into_iter().filter_map(|reply| reply.recv().ok()).filter(|reply| reply.status != 200);
        assert!(refused.map(told_to_come_back).count() > WRITERS / 2);
        world.read_everything();
    }
    world.server.kill();
}
