//! Random graphs: what people in a room might do, at the same time, whether they may or not.

use std::collections::HashMap;
use std::sync::Arc;

use engram_matrix::OwnedEventId;
use engram_matrix::auth::auth_types;
use engram_matrix::build::{Draft, Position, build};
use engram_matrix::keys::SigningKey;
use engram_matrix::pdu::Pdu;
use engram_matrix::resolve::State;
use engram_matrix::room_version::RoomVersion;

use super::book::Book;
use crate::query::Verdict;

const USERS: [&str; 5] = ["@alice:a.test", "@bob:b.test", "@carol:c.test", "@dave:d.test", "@erin:e.test"];
/// Random events on top of the room's beginning.
const EVENTS_MAX: u64 = 26;

/// Numbers from a seed (splitmix64).
pub(super) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// The graph of a seed.
pub(super) fn book(version: &'static RoomVersion, seed: u64) -> Book {
    let key = SigningKey::from_seed("ed25519:1", [7; 32]).expect("a valid key ID");
    // Rooms of version 12 are told apart by their create events alone.
    let ts = seed * 1_000_000;
    let mut maker = Maker { book: Book::new(version), random: Random(seed), key, ts, seed };
    maker.begin();
    let count = 6 + maker.random.below(EVENTS_MAX as usize - 6);
    for _ in 0..count {
        maker.anything();
    }
    maker.book
}

/// The events of a graph in another order, each after those that it names.
pub(super) fn shuffled(book: &Book, random: &mut Random) -> Vec<usize> {
    let index: HashMap<&OwnedEventId, usize> = book.order.iter().enumerate().map(|(index, id)| (id, index)).collect();
    let mut waits = vec![0; book.order.len()];
    let mut followers = vec![Vec::new(); book.order.len()];
    for (at, id) in book.order.iter().enumerate() {
        let pdu = &book.entries[id].pdu;
        // A rejected event that nobody tells of changes nothing, but has its place like others.
        for named in pdu.prev_events.iter().chain(&pdu.auth_events) {
            waits[at] += 1;
            followers[index[named]].push(at);
        }
    }
    let mut ready: Vec<usize> = (0..waits.len()).filter(|at| waits[*at] == 0).collect();
    let mut order = Vec::with_capacity(waits.len());
    while !ready.is_empty() {
        let at = ready.swap_remove(random.below(ready.len()));
        order.push(at);
        for follower in &followers[at] {
            waits[*follower] -= 1;
            if waits[*follower] == 0 {
                ready.push(*follower);
            }
        }
    }
    assert_eq!(order.len(), book.order.len(), "a graph has no cycles");
    order
}

fn join_rules(rule: &str) -> String {
    format!(r#"{{"join_rule":"{rule}","allow":[{{"type":"m.room_membership","room_id":"!o:a"}}]}}"#)
}

struct Maker {
    book: Book,
    random: Random,
    key: SigningKey,
    ts: u64,
    seed: u64,
}

impl Maker {
    fn begin(&mut self) {
        let [alice, bob, ..] = USERS;
        let version = self.book.version;
        let creator = if version.rules().authorization.use_room_create_sender {
            String::new()
        } else {
            format!(r#","creator":"{alice}""#)
        };
        let extra = if version.create_is_room_id() && self.random.below(2) == 0 {
            format!(r#","additional_creators":["{bob}"]"#)
        } else {
            String::new()
        };
        self.linear(alice, "m.room.create", "", &format!(r#"{{"room_version":"{}"{creator}{extra}}}"#, version.id()));
        self.linear(alice, "m.room.member", alice, r#"{"membership":"join"}"#);
        let levels = self.levels();
        self.linear(alice, "m.room.power_levels", "", &levels);
        self.linear(alice, "m.room.join_rules", "", r#"{"join_rule":"public"}"#);
        let joining = 1 + self.random.below(4);
        for user in &USERS[1..=joining] {
            self.linear(user, "m.room.member", user, r#"{"membership":"join"}"#);
        }
        if self.random.below(2) == 0 {
            // For those who are not there yet the rules are others.
            let rule = self.random.pick(&["invite", "knock", "restricted", "knock_restricted"]);
            self.linear(alice, "m.room.join_rules", "", &join_rules(rule));
        }
    }

    fn linear(&mut self, sender: &str, kind: &str, state_key: &str, content: &str) {
        let parents: Vec<OwnedEventId> = self.book.extremities.clone();
        let state = self.book.before(&parents);
        let draft = Draft { sender, event_type: kind, state_key: Some(state_key), content, redacts: None };
        let verdict = self.put(&parents, &state, &draft);
        assert_eq!(verdict, Verdict::Accepted, "seed {}: a room begins in order", self.seed);
    }

    /// Somebody tries something, somewhere.
    fn anything(&mut self) {
        let parents = self.parents();
        let state = self.book.before(&parents);
        // Mostly by the state at that place, now and then by another, as a careless or hostile server has it.
        let listed = if self.random.below(8) == 0 {
            let at = self.random.below(self.book.order.len());
            self.book.entries[&self.book.order[at]].after.clone()
        } else {
            state
        };
        let (sender, target) = (self.somebody(), self.random.pick(&USERS));
        let is_outside = !self.book.is_joined(&parents, sender);
        let (kind, state_key, content) = if is_outside && self.random.below(2) == 0 {
            ("m.room.member", Some(sender.to_owned()), self.entrance())
        } else {
            self.action(sender, target)
        };
        let draft =
            Draft { sender, event_type: kind, state_key: state_key.as_deref(), content: &content, redacts: None };
        self.put(&parents, &listed, &draft);
    }

    /// How somebody tries to come in.
    fn entrance(&mut self) -> String {
        match self.random.below(3) {
            0 => r#"{"membership":"join"}"#.to_owned(),
            1 => r#"{"membership":"knock"}"#.to_owned(),
            _ => format!(r#"{{"membership":"join","join_authorised_via_users_server":"{}"}}"#, USERS[0]),
        }
    }

    /// Alice and Bob are more often about.
    fn somebody(&mut self) -> &'static str {
        let number = self.random.below(2 * USERS.len());
        USERS[number % USERS.len().min(if number < USERS.len() { 2 } else { USERS.len() })]
    }

    fn parents(&mut self) -> Vec<OwnedEventId> {
        if self.random.below(4) == 0 {
            return self.book.extremities.clone();
        }
        let recent = self.book.order.len().min(8);
        let mut parents = Vec::new();
        for _ in 0..self.random.pick(&[1, 1, 1, 2, 2, 3]) {
            let at = self.book.order.len() - 1 - self.random.below(recent);
            let id = self.book.order[at].clone();
            if !parents.contains(&id) {
                parents.push(id);
            }
        }
        parents
    }

    fn action(&mut self, sender: &str, target: &str) -> (&'static str, Option<String>, String) {
        let member = |user: &str, content: String| ("m.room.member", Some(user.to_owned()), content);
        let membership = |word: &str| format!(r#"{{"membership":"{word}"}}"#);
        match self.random.below(16) {
            0 => ("m.room.message", None, r#"{"body":"x"}"#.to_owned()),
            1 | 2 => member(sender, membership("join")),
            3 => {
                let by = self.random.pick(&USERS);
                member(sender, format!(r#"{{"membership":"join","join_authorised_via_users_server":"{by}"}}"#))
            }
            4 => member(sender, membership("leave")),
            5 => member(sender, membership("knock")),
            6 => member(target, membership("invite")),
            7 | 8 => member(target, membership("ban")),
            9 => member(target, membership("leave")),
            10 | 11 => ("m.room.power_levels", Some(String::new()), self.levels()),
            12 => {
                let rule = self.random.pick(&[
                    "public",
                    "invite",
                    "knock",
                    "restricted",
                    "knock_restricted",
                    "private",
                    "odd",
                ]);
                ("m.room.join_rules", Some(String::new()), join_rules(rule))
            }
            13 => ("m.room.topic", Some(String::new()), format!(r#"{{"topic":"{}"}}"#, self.random.below(3))),
            14 => ("m.room.name", Some(String::new()), "{}".to_owned()),
            _ => ("x.custom", Some(target.to_owned()), "{}".to_owned()),
        }
    }

    fn levels(&mut self) -> String {
        let mut users = Vec::new();
        if !self.book.version.create_is_room_id() {
            users.push(format!(r#""{}":{}"#, USERS[0], self.random.pick(&[100, 100, 100, 60])));
        }
        for user in &USERS[2..] {
            users.push(format!(r#""{user}":{}"#, self.random.pick(&[0, 50, 50, 60])));
        }
        if !self.book.version.create_is_room_id() {
            users.push(format!(r#""{}":{}"#, USERS[1], self.random.pick(&[0, 50, 60, 100])));
        }
        let (kick, invite) = (self.random.pick(&[50, 60]), self.random.pick(&[0, 50]));
        format!(r#"{{"users":{{{}}},"kick":{kick},"invite":{invite}}}"#, users.join(","))
    }

    fn put(&mut self, parents: &[OwnedEventId], listed: &State, draft: &Draft<'_>) -> Verdict {
        let version = self.book.version;
        // Clocks differ, and stand still.
        self.ts += self.random.pick(&[0, 0, 1, 1000]);
        let types = auth_types(version, draft.event_type, draft.sender, draft.state_key, draft.content);
        let auth_events: Vec<&str> = types.iter().filter_map(|key| listed.get(key)).map(|id| id.as_str()).collect();
        let prev_events: Vec<&str> = parents.iter().map(|id| id.as_str()).collect();
        let hashes: Vec<(&str, &str)> = auth_events.iter().chain(&prev_events).map(|id| (*id, "aGFzaA")).collect();
        let server = draft.sender.split_once(':').expect("a user ID has a server").1;
        let own_id = format!("$event{}of{}:{server}", self.book.order.len(), self.seed);
        let makes_room = draft.event_type == "m.room.create";
        let room_id = format!("!room{}:a.test", self.seed);
        let room_id = if makes_room { &room_id } else { &self.book.room_id };
        let position = Position {
            room_id: (!makes_room || !version.create_is_room_id()).then_some(room_id),
            prev_events: &prev_events,
            auth_events: &auth_events,
            depth: parents.iter().map(|id| self.book.entries[id].pdu.depth).max().unwrap_or(0) + 1,
            origin_server_ts: self.ts,
            event_id: version.event_id_in_event().then_some(&own_id),
            reference_hashes: &hashes,
        };
        let built = build(version, draft, &position, server, &self.key).expect("a valid event");
        if self.book.entries.keys().any(|id| *id == built.event_id) {
            // The very same event, once more.
            return Verdict::Rejected;
        }
        let pdu = Pdu::parse(version, &built.event_id, &built.room_id, built.json).expect("what is built parses");
        self.book.room_id = built.room_id;
        self.book.add(Arc::new(pdu))
    }
}
