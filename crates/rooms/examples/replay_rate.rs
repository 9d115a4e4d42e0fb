//! Measures how fast the rooms' view is rebuilt, and what it weighs:
//! `cargo run --release -p engram-rooms --example replay_rate -- [MESSAGES] [MEMBERS]`.
//!
//! One room of version 12, its members joined one by one, then messages of theirs in turn, each with a transaction.
//! Figures are of the projector with its runtime, without reading segments from a disk.

#![expect(clippy::disallowed_methods, reason = "a measurement needs the clock")]
#![expect(clippy::cast_precision_loss, reason = "counts and microseconds are far below 2^52")]

use std::ops::{Bound, ControlFlow};
use std::time::Instant;

use engram_log::Offset;
use engram_log_format::v1;
use engram_matrix::auth::auth_types;
use engram_matrix::build::{Draft, Position, build};
use engram_matrix::keys::SigningKey;
use engram_matrix::room_version::RoomVersion;
use engram_rooms::query::{self, Viewer};
use engram_rooms::{RoomsProjector, tables};
use engram_views::testing::{MemoryLog, TestViews};
use engram_views::{Read as _, Snapshot};

const SERVER: &str = "bench.test";

fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>().expect("a number"));
    let messages = arguments.next().unwrap_or(100_000);
    let members = arguments.next().unwrap_or(100);
    let mut room = Room::new();
    room.begin(members);
    let (empty, joined) = (measure(&room.log), room.log.prefix(usize::MAX));
    for count in 0..messages {
        let sender = user(count % members);
        let content = format!(r#"{{"body":"This is message number {count} of many.","msgtype":"m.text"}}"#);
        room.send(&sender, "m.room.message", None, &content, Some(count));
    }
    let full = measure(&room.log);
    report("joins and room state", joined.len(), &empty);
    let messages_alone = Measured {
        seconds: full.seconds - empty.seconds,
        cpu_seconds: full.cpu_seconds - empty.cpu_seconds,
        bytes: full.bytes - empty.bytes,
        tables: Vec::new(),
    };
    report("messages", messages, &messages_alone);
    for (name, rows, bytes) in &full.tables {
        println!("  {name:<28} {rows:>9} rows {bytes:>12} bytes");
    }
    render(&room, members);
}

fn report(what: &str, count: usize, measured: &Measured) {
    let each = |seconds: f64| seconds * 1e6 / count as f64;
    println!(
        "{what}: {count} in {:.2} s, {:.1} us, {:.1} us of CPU and {} bytes of rows each",
        measured.seconds,
        each(measured.seconds),
        each(measured.cpu_seconds),
        measured.bytes / count,
    );
}

/// CPU time of this process so far, in all threads, to the hundredth of a second (Linux).
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

struct Measured {
    seconds: f64,
    cpu_seconds: f64,
    bytes: usize,
    tables: Vec<(&'static str, usize, usize)>,
}

/// Replays a log into fresh views.
fn measure(log: &MemoryLog) -> Measured {
    let (start, cpu_before) = (Instant::now(), cpu_seconds());
    let views = TestViews::over(log.clone(), vec![Box::new(RoomsProjector::default())], Vec::new());
    let snapshot = views.settle();
    let (seconds, cpu_seconds) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu_before);
    let weigh = |table: &'static engram_views::Table| {
        let (mut rows, mut bytes) = (0, 0);
        let mut visit = |key: &[u8], row: &[u8]| {
            (rows, bytes) = (rows + 1, bytes + key.len() + row.len());
            ControlFlow::Continue(())
        };
        snapshot.scan(table, Bound::Unbounded, Bound::Unbounded, false, &mut visit).expect("the views can be read");
        (table.name, rows, bytes)
    };
    let tables: Vec<_> = tables::ALL.iter().copied().map(weigh).collect();
    Measured { seconds, cpu_seconds, bytes: tables.iter().map(|(_, _, bytes)| bytes).sum(), tables }
}

/// What it takes to show the newest message to every member.
fn render(room: &Room, members: usize) {
    let views = TestViews::over(room.log.clone(), vec![Box::new(RoomsProjector::default())], Vec::new());
    let snapshot: &Snapshot = &views.settle();
    let info = query::room(snapshot, &room.id).expect("readable").expect("the room");
    let head = query::head(snapshot, info.number).expect("readable");
    let event = query::event(snapshot, info.number, head.latest).expect("readable").expect("the event");
    let viewers: Vec<String> = (0..members).map(user).collect();
    let rounds = 100_000 / members;
    let start = Instant::now();
    for user_id in (0..rounds).flat_map(|_| &viewers) {
        let viewer = Viewer { user_id, device_id: None, now_ms: 2_000_000, is_erased: |_, _| Ok(false) };
        assert!(query::may_see(snapshot, &event, user_id).expect("readable"));
        std::hint::black_box(query::render(snapshot, &event, viewer, false).expect("readable"));
    }
    let each = start.elapsed().as_secs_f64() * 1e6 / (rounds * members) as f64;
    println!("checked and rendered for a member: {each:.2} us each");
}

fn user(number: usize) -> String {
    format!("@user{number}:{SERVER}")
}

struct Room {
    log: MemoryLog,
    key: SigningKey,
    version: &'static RoomVersion,
    id: String,
    /// Current state: type, state key, event ID.
    state: Vec<(String, String, String)>,
    last: Option<String>,
    depth: u64,
}

impl Room {
    fn new() -> Self {
        Self {
            log: MemoryLog::new(),
            key: SigningKey::from_seed("ed25519:1", [1; 32]).expect("a valid key ID"),
            version: RoomVersion::parse("12").expect("a known version"),
            id: String::new(),
            state: Vec::new(),
            last: None,
            depth: 0,
        }
    }

    fn begin(&mut self, members: usize) {
        let creator = user(0);
        self.send(&creator, "m.room.create", Some(""), r#"{"room_version":"12"}"#, None);
        self.send(&creator, "m.room.member", Some(&creator), r#"{"membership":"join"}"#, None);
        self.send(&creator, "m.room.power_levels", Some(""), "{}", None);
        self.send(&creator, "m.room.join_rules", Some(""), r#"{"join_rule":"public"}"#, None);
        for member in (1..members).map(user) {
            self.send(&member, "m.room.member", Some(&member), r#"{"membership":"join"}"#, None);
        }
    }

    fn send(&mut self, sender: &str, kind: &str, key: Option<&str>, content: &str, transaction: Option<usize>) {
        let wanted = auth_types(self.version, kind, sender, key, content);
        let in_state = |wanted: &(String, String)| {
            self.state.iter().rev().find(|entry| (&entry.0, &entry.1) == (&wanted.0, &wanted.1)).map(|entry| &*entry.2)
        };
        let auth_events: Vec<&str> = wanted.iter().filter_map(in_state).collect();
        self.depth += 1;
        let position = Position {
            room_id: (kind != "m.room.create").then_some(&self.id),
            prev_events: &self.last.iter().map(String::as_str).collect::<Vec<_>>(),
            auth_events: &auth_events,
            depth: self.depth,
            origin_server_ts: 1_000_000 + self.depth,
            event_id: None,
            reference_hashes: &[],
        };
        let draft = Draft { sender, event_type: kind, state_key: key, content, redacts: None };
        let built = build(self.version, &draft, &position, SERVER, &self.key).expect("a valid event");
        self.id.clone_from(&built.room_id);
        self.last = Some(built.event_id.clone());
        if let Some(key) = key {
            self.state.push((kind.to_owned(), key.to_owned(), built.event_id.clone()));
        }
        let transaction = transaction.map(|count| v1::Transaction {
            user_id: sender.to_owned(),
            device_id: "DEVICEABCD".to_owned(),
            transaction_id: format!("m1700000000000.{count}"),
        });
        let offset: Offset = self.log.journal(
            v1::Pdu {
                room_id: built.room_id,
                event_id: built.event_id,
                room_version: self.version.id().to_owned(),
                source: v1::PduSource::Local,
                json: built.json,
                transaction,
                verified_keys: Vec::new(),
            },
            1_000_000 + self.depth,
        );
        assert_eq!(offset.0, self.depth, "one record an event");
    }
}
