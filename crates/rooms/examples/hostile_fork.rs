//! Measures a room that another server attacks with a fork: `cargo run --release -p engram-rooms --example hostile_fork
//! -- [ENTRIES] [EVENTS]`.
//!
//! One branch is honest, the other sets `ENTRIES` entries of the state; then `EVENTS` more events come on it, of every
//! kind that makes resolution work: each is timed from its append until it can be read. Beside it stands the same with
//! an honest fork of ten entries, in the same run.

#![expect(clippy::disallowed_methods, reason = "a measurement needs the clock")]
#![expect(clippy::cast_precision_loss, reason = "counts and microseconds are far below 2^52")]

use std::collections::HashMap;
use std::time::Instant;

use engram_log_format::v1;
use engram_matrix::auth::auth_types;
use engram_matrix::build::{Draft, Position, build};
use engram_matrix::keys::SigningKey;
use engram_matrix::room_version::RoomVersion;
use engram_rooms::RoomsProjector;
use engram_rooms::query;
use engram_views::testing::{MemoryLog, TestViews};

const SERVER: &str = "bench.test";
/// Branches that merges take from.
const TIPS: usize = 20;

type Attack = fn(&mut Room, usize);

const ATTACKS: [(&str, Attack); 8] = [
    ("messages on the branch", |room, _| room.send_on_branch("x.message", None, "{}")),
    ("new entries", |room, at| room.send_on_branch("x.custom", Some(&format!("new {at}")), "{}")),
    ("the same entry, again and again", |room, at| {
        room.send_on_branch("x.custom", Some("1"), &format!(r#"{{"at":{at}}}"#));
    }),
    ("earlier and earlier times", |room, at| {
        room.now_ms = 900_000 - at as u64;
        room.send_on_branch("x.custom", Some(&format!("early {at}")), "{}");
    }),
    ("power levels", |room, at| {
        room.send_on_branch("m.room.power_levels", Some(""), &format!(r#"{{"users_default":50,"n":{at}}}"#));
    }),
    ("members who come and are banned", |room, at| {
        let target = user(100 + at / 2);
        if at.is_multiple_of(2) {
            room.send_from(&target, "m.room.member", Some(&target), r#"{"membership":"join"}"#);
        } else {
            room.send_on_branch("m.room.member", Some(&target), r#"{"membership":"ban"}"#);
        }
    }),
    ("joins of the branch with what is honest", |room, at| {
        let tips = [room.branch.clone(), room.honest.clone()];
        room.send("x.custom", Some(&format!("joined {at}")), "{}", &user(1), &tips);
        room.branch = room.last.clone();
        room.send(
            "x.custom",
            Some("honest"),
            &format!(r#"{{"at":{at}}}"#),
            &user(0),
            std::slice::from_ref(&room.honest.clone()),
        );
        room.honest = room.last.clone();
    }),
    ("joins of ever other branches", |room, at| {
        if at == 0 {
            for tip in 0..TIPS {
                room.send("x.tip", Some(&tip.to_string()), "{}", &user(1), std::slice::from_ref(&room.branch.clone()));
                room.tips.push(room.last.clone());
                room.send(
                    "x.tip",
                    Some("honest"),
                    &format!(r#"{{"n":{tip}}}"#),
                    &user(0),
                    std::slice::from_ref(&room.honest.clone()),
                );
                room.tips.push(room.last.clone());
            }
        }
        let (left, right) = (2 * (at % TIPS), 2 * ((at / TIPS + at) % TIPS) + 1);
        let tips = [room.tips[left].clone(), room.tips[right].clone()];
        room.send("x.message", None, "{}", &user(1), &tips);
    }),
];

fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>().expect("a number"));
    let entries = arguments.next().unwrap_or(10_000);
    let events = arguments.next().unwrap_or(1_000);
    for (name, attack) in ATTACKS {
        println!("{name}:");
        run(10, events, attack);
        run(entries, events, attack);
    }
    println!("resident: {} MiB at most", resident_mib("VmHWM:"));
}

fn run(entries: usize, events: usize, attack: Attack) {
    let mut room = Room::new();
    room.begin(10);
    let views = TestViews::over(room.log.clone(), vec![Box::new(RoomsProjector::default())], Vec::new());
    let start = Instant::now();
    room.send("m.room.topic", Some(""), r#"{"topic":"honest"}"#, &user(0), std::slice::from_ref(&room.branch.clone()));
    room.honest = room.last.clone();
    for entry in 0..entries {
        room.send_on_branch("x.custom", Some(&entry.to_string()), &format!(r#"{{"n":{entry}}}"#));
    }
    views.settle();
    let each = start.elapsed().as_secs_f64() * 1e3 / entries as f64;
    let mut samples = Vec::with_capacity(events);
    let (mut put_off, mut put_off_max) = (0, 0);
    for at in 0..events {
        let count = room.count;
        let start = Instant::now();
        attack(&mut room, at);
        let snapshot = views.settle();
        samples.push(start.elapsed().as_secs_f64() * 1e3 / (room.count - count) as f64);
        let number = query::room(&*snapshot, &room.id).expect("readable").expect("the room").number;
        let head = query::head(&*snapshot, number).expect("readable");
        put_off += usize::from(head.put_off > 0);
        put_off_max = put_off_max.max(head.put_off);
    }
    let snapshot = views.settle();
    let number = query::room(&*snapshot, &room.id).expect("readable").expect("the room").number;
    let unresolved = query::unresolved_count(&*snapshot).expect("readable");
    let head = query::head(&*snapshot, number).expect("readable");
    let mean = samples.iter().sum::<f64>() / events as f64;
    samples.sort_by(f64::total_cmp);
    let at = |percent: usize| samples[(samples.len() - 1) * percent / 100];
    println!(
        "  a fork of {entries:>6}, {each:6.2} ms each; then ms per event: {mean:6.2} on average, {:6.2} median, {:6.2} at 90 %, \
         {:7.2} max; current state put off after {put_off} events, for {put_off_max} at most; {unresolved} joins not \
         resolved; owed {} and {}; resident {} MiB",
        at(50),
        at(90),
        at(100),
        head.owed.current,
        head.owed.joins,
        resident_mib("VmRSS:"),
    );
}

fn resident_mib(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn user(number: usize) -> String {
    format!("@user{number}:{SERVER}")
}

struct Room {
    log: MemoryLog,
    key: SigningKey,
    version: &'static RoomVersion,
    id: String,
    /// The state that the sender of the next event sees, as far as auth events are chosen by it.
    state: HashMap<(String, String), String>,
    branch: String,
    honest: String,
    last: String,
    tips: Vec<String>,
    count: usize,
    now_ms: u64,
}

impl Room {
    fn new() -> Self {
        Self {
            log: MemoryLog::new(),
            key: SigningKey::from_seed("ed25519:1", [1; 32]).expect("a valid key ID"),
            version: RoomVersion::parse("12").expect("a known version"),
            id: String::new(),
            state: HashMap::new(),
            branch: String::new(),
            honest: String::new(),
            last: String::new(),
            tips: Vec::new(),
            count: 0,
            now_ms: 1_000_000,
        }
    }

    fn begin(&mut self, members: usize) {
        let creator = user(0);
        self.send("m.room.create", Some(""), r#"{"room_version":"12"}"#, &creator, &[]);
        self.branch = self.last.clone();
        self.send_from(&creator, "m.room.member", Some(&creator), r#"{"membership":"join"}"#);
        self.send_from(&creator, "m.room.power_levels", Some(""), r#"{"users_default":50}"#);
        self.send_from(&creator, "m.room.join_rules", Some(""), r#"{"join_rule":"public"}"#);
        for member in (1..members).map(user) {
            self.send_from(&member, "m.room.member", Some(&member), r#"{"membership":"join"}"#);
        }
    }

    fn send_on_branch(&mut self, kind: &str, key: Option<&str>, content: &str) {
        // Whoever is banned must have less power than who bans.
        let sender = if kind == "m.room.member" { user(0) } else { user(1) };
        self.send_from(&sender, kind, key, content);
    }

    fn send_from(&mut self, sender: &str, kind: &str, key: Option<&str>, content: &str) {
        self.send(kind, key, content, sender, std::slice::from_ref(&self.branch.clone()));
        self.branch = self.last.clone();
    }

    fn send(&mut self, kind: &str, key: Option<&str>, content: &str, sender: &str, parents: &[String]) {
        let wanted = auth_types(self.version, kind, sender, key, content);
        let auth_events: Vec<&str> = wanted.iter().filter_map(|key| self.state.get(key)).map(String::as_str).collect();
        self.count += 1;
        self.now_ms += 1;
        let position = Position {
            room_id: (kind != "m.room.create").then_some(&self.id),
            prev_events: &parents.iter().map(String::as_str).collect::<Vec<_>>(),
            auth_events: &auth_events,
            depth: self.count as u64,
            origin_server_ts: self.now_ms,
            event_id: None,
            reference_hashes: &[],
        };
        let draft = Draft { sender, event_type: kind, state_key: key, content, redacts: None };
        let built = build(self.version, &draft, &position, SERVER, &self.key).expect("a valid event");
        self.id.clone_from(&built.room_id);
        self.last.clone_from(&built.event_id);
        if let Some(key) = key {
            self.state.insert((kind.to_owned(), key.to_owned()), built.event_id.clone());
        }
        let pdu = v1::Pdu {
            room_id: built.room_id,
            event_id: built.event_id,
            room_version: self.version.id().to_owned(),
            source: v1::PduSource::Local,
            json: built.json,
            transaction: None,
            verified_keys: Vec::new(),
        };
        self.log.journal(pdu, self.now_ms);
    }
}
