//! `kill -9` under concurrent senders, at random moments and at named fail points, with an oracle in this process.
//!
//! Ten rounds at random moments, and each fail point once ([`points`]); with `ENGRAM_NIGHTLY=1` a thousand rounds of
//! both kinds ([`long`]). The seed is printed; `ENGRAM_SEED` sets it. After every restart:
//! - what was acknowledged is there, with its content, exactly once and in order;
//! - what was in flight is there once or not at all, and sending it again with its transaction ID makes it once;
//! - rooms are there with all of their state or not at all;
//! - a reader that goes on from its old token, taken at any moment or right after an ephemeral event, sees every
//!   event once and in the order of history.

mod long;
mod oracle;
mod points;
mod writers;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use engram_benches::http::encode;
use engram_tests::user::next_batch;
use engram_tests::{Server, User, eventually};
use serde_json::json;

use oracle::Reader;
use writers::{Writer, Written};

const SENDERS: usize = 6;
const ROOMS: usize = 2;
const ROUNDS: usize = 10;

/// What ends a round if the server is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Kill,
    /// Right after somebody has typed, and a reader has a token from then.
    KillAfterTyping,
    /// In order.
    Stop,
}

/// xorshift64*: moments that a seed repeats.
struct Moments(u64);

impl Moments {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).expect("below a length")
    }
}

fn seed() -> u64 {
    let given = std::env::var("ENGRAM_SEED").ok().and_then(|seed| seed.parse().ok());
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.subsec_nanos().into());
    given.unwrap_or_else(now) | 1
}

/// The world before the first crash: users who are all in the same rooms.
struct World {
    server: Server,
    senders: Vec<User>,
    rooms: Vec<String>,
    reader: Reader,
}

impl World {
    fn new(configuration: &str) -> Self {
        let mut server = Server::start_with(configuration);
        // A footer that was written and not synced looks like a torn frame.
        server.expect_log("cut an unfinished write");
        let senders: Vec<User> = (0..SENDERS).map(|number| server.user(&format!("sender{number}"))).collect();
        let reader = server.user("reader");
        let settings = json!({"preset": "public_chat", "power_level_content_override": {"state_default": 0}});
        let rooms: Vec<String> = (0..ROOMS).map(|_| senders[0].create_room(&settings)).collect();
        for room in &rooms {
            senders[1..].iter().chain([&reader]).for_each(|user| drop(user.join(room).ok()));
        }
        let reader = Reader::new(reader, &rooms);
        Self { server, senders, rooms, reader }
    }

    /// Everybody writes until the server is gone: by itself, or after `delay` by `end`. What they know then.
    fn write_until_gone(&mut self, round: usize, delay: Duration, end: End) -> Vec<Written> {
        let go_on = Arc::new(AtomicBool::new(true));
        let writers: Vec<_> = (0..SENDERS)
            .map(|number| {
                let writer = Writer::new(self.senders[number].clone(), &self.rooms, format!("{round}.{number}"));
                let go_on = Arc::clone(&go_on);
                thread::spawn(move || writer.run(&go_on, number == 0))
            })
            .collect();
        let reading = self.reader.follow_in_background();
        let deadline = Instant::now() + delay;
        while Instant::now() < deadline && !self.server.has_ended() {
            thread::sleep(Duration::from_millis(2));
        }
        let token_after_typing = if end == End::KillAfterTyping { self.token_after_typing() } else { None };
        match end {
            End::Kill | End::KillAfterTyping => self.server.kill(),
            End::Stop => {
                let _ = self.server.stop();
            }
        }
        go_on.store(false, Ordering::Relaxed);
        self.reader.take_back(reading, token_after_typing);
        writers.into_iter().map(|writer| writer.join().expect("a writer meets only the crash")).collect()
    }

    /// A token from a sync right after a record of the ephemeral lane; none if the server is gone.
    fn token_after_typing(&self) -> Option<String> {
        let (typist, room) = (&self.senders[0], &self.rooms[0]);
        let path = format!("/v3/rooms/{}/typing/{}", encode(room), encode(&typist.id));
        typist.try_call("PUT", &path, Some(&json!({"typing": true, "timeout": 20_000}))).ok()?.ok();
        Some(next_batch(&self.reader.user.try_call("GET", "/v3/sync?timeout=0", None).ok()?.ok()))
    }

    /// Registers a user whom the crash must not take with it.
    fn newcomer(&self) -> User {
        self.server.user("newcomer")
    }

    /// Starts the server again and holds it to every promise. Returns how many there were.
    fn start_and_check(&mut self, round: usize, newcomer: &User, written: &[Written]) -> usize {
        self.server.start_again();
        eventually("the newcomer's token is good", || newcomer.try_call("GET", "/v3/account/whoami", None).ok()).ok();
        self.check(round, written);
        written.iter().map(Written::acknowledged).sum()
    }

    /// Stops the server and lets the tools look at what it leaves.
    fn verify(mut self) {
        assert!(self.server.stop().success());
        assert_eq!(self.server.engramctl(&["log", "verify"]).0, Some(0), "the log verifies");
        assert_eq!(self.server.engramctl(&["view", "verify"]).0, Some(0), "the views verify");
    }

    fn check(&mut self, round: usize, written: &[Written]) {
        for (sender, written) in self.senders.iter().zip(written) {
            writers::check_acknowledged(sender, written);
        }
        let retried: Vec<Vec<_>> =
            self.senders.iter().zip(written).map(|(sender, written)| writers::retry(sender, written)).collect();
        let mut last = Vec::new();
        for room in &self.rooms {
            last.push((room.clone(), self.senders[1].say(room, &format!("round {round} is over"))));
        }
        let histories = self.reader.catch_up(&last);
        for (written, retried) in written.iter().zip(&retried) {
            oracle::check_histories(&histories, written, retried);
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_and_no_token_skips() {
    if engram_tests::server::external_url().is_some() {
        return;
    }
    let seed = seed();
    println!("ENGRAM_SEED={seed}");
    let mut moments = Moments(seed);
    let mut world = World::new("");
    let mut acknowledged = 0;
    for round in 0..ROUNDS {
        let delay = Duration::from_millis(20 + moments.below(400));
        let newcomer = world.newcomer();
        let end = if moments.below(2) == 0 { End::KillAfterTyping } else { End::Kill };
        let written = world.write_until_gone(round, delay, end);
        acknowledged += world.start_and_check(round, &newcomer, &written);
        println!("round {round}: killed after {delay:?}, {acknowledged} acknowledged so far, all there");
    }
    assert!(acknowledged > ROUNDS, "the senders got something done: {acknowledged}");
    world.verify();
}
