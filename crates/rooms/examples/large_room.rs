//! A large room with forks: how fast it is replayed, what its state weighs, what it takes to read the state at any
//! event, and to resolve a fork: `cargo run --release -p engram-rooms --example large_room -- [MEMBERS] [EVENTS]`. With
//! `hostile` instead of the numbers it measures rooms that are made to be expensive.
//!
//! The room is of version 12. One event in twenty has a sibling, and the event after the two joins the branches again.
//! Most events are messages; a quarter of those in forks, and one in ten of the others, are state events. CPU time is
//! of all threads.

#![expect(clippy::disallowed_methods, reason = "a measurement needs the clock")]
#![expect(clippy::cast_precision_loss, reason = "counts and microseconds are far below 2^52")]

use std::collections::HashMap;
use std::ops::{Bound, ControlFlow};
use std::time::Instant;

use engram_log::Offset;
use engram_log_format::v1;
use engram_matrix::auth::auth_types;
use engram_matrix::build::{Draft, Position, build};
use engram_matrix::keys::SigningKey;
use engram_matrix::room_version::RoomVersion;
use engram_rooms::limits::MEMO_BYTES_MAX;
use engram_rooms::{RoomsProjector, query, state, tables};
use engram_views::testing::{MemoryLog, TestViews};
use engram_views::{Read as _, Snapshot, Table};

const SERVER: &str = "bench.test";
/// Forks that are resolved one by one.
const FORKS: usize = 200;
/// Entries in which the branches of such a fork differ, with two events each.
const CONFLICTS: usize = 5;
/// Events whose state is read.
const READS: u64 = 2000;

fn main() {
    if std::env::args().nth(1).is_some_and(|argument| argument == "hostile") {
        return hostile();
    }
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>().expect("a number"));
    let members = arguments.next().unwrap_or(50_000);
    let events = arguments.next().unwrap_or(200_000);
    let mut room = Room::new();
    room.begin(members);
    room.talk(members, events);

    println!(
        "{members} members, {} events, of these {} state events and {} forks",
        room.count, room.states, room.forks
    );
    let resident_before = resident_mib("VmRSS:");
    let views = replay(&room, "replay", MEMO_BYTES_MAX);
    let resident = resident_mib("VmHWM:");
    println!("resident: {resident} MiB at most, of these {resident_before} before, for the log in memory");
    let snapshot = views.settle();
    weigh(&snapshot, room.states);
    let nodes = state::count_nodes(&*snapshot).expect("readable");
    println!("trie nodes: {} stored, {} reached from the states of events", nodes.stored, nodes.reached);
    read_states(&snapshot, &room);
    drop(snapshot);
    resolve_forks(&views, &mut room);
    drop(views);
    replay(&room, "replay that remembers no rows, for comparison", 0);
}

/// Views of a room's log, and what it took to make them.
fn replay(room: &Room, what: &str, memo_bytes: usize) -> TestViews {
    let (start, cpu_before) = (Instant::now(), cpu_seconds());
    let projector = Box::new(RoomsProjector::with_memo_bytes(memo_bytes));
    let views = TestViews::over(room.log.clone(), vec![projector], Vec::new());
    views.settle();
    let (wall, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu_before);
    let per_second = |seconds: f64| room.count as f64 / seconds;
    println!("{what}: {:.0} events/s by the clock, {:.0} per second of CPU", per_second(wall), per_second(cpu));
    views
}

/// CPU time of this process so far, in all threads, to the hundredth of a second (Linux).
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

/// CPU time of this thread so far (Linux).
fn thread_cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|nanoseconds| nanoseconds.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

/// Resident memory now (`VmRSS:`) or at most (`VmHWM:`), Linux.
fn resident_mib(which: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(which)).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) / 1024
}

/// What the state snapshots weigh, in keys and values.
fn weigh(snapshot: &Snapshot, states: usize) {
    let mut sum = 0;
    for table in [&tables::TRIE, &tables::ROOTS, &tables::STATE_CHANGES, &tables::AUTH_CHILDREN] {
        let (rows, bytes) = size(snapshot, table);
        sum += bytes;
        println!("  {:<24} {rows:>9} rows {bytes:>12} bytes, {:>4} per state event", table.name, bytes / states);
    }
    println!("  together {} bytes per state event", sum / states);
}

fn size(snapshot: &Snapshot, table: &'static Table) -> (usize, usize) {
    let (mut rows, mut bytes) = (0, 0);
    let mut visit = |key: &[u8], row: &[u8]| {
        (rows, bytes) = (rows + 1, bytes + key.len() + row.len());
        ControlFlow::Continue(())
    };
    snapshot.scan(table, Bound::Unbounded, Bound::Unbounded, false, &mut visit).expect("the views can be read");
    (rows, bytes)
}

/// One entry of the state at random events, and all of it at some.
fn read_states(snapshot: &Snapshot, room: &Room) {
    let number = query::room(snapshot, &room.id).expect("readable").expect("the room").number;
    let root_at = |count: u64| {
        let offset = Offset(1 + count.wrapping_mul(0x9e37_79b9_7f4a_7c15) % room.count as u64);
        let meta = query::meta(snapshot, number, offset).expect("readable").expect("the event");
        query::state_before(snapshot, number, &meta).expect("readable")
    };
    let mut entry = Samples::default();
    for count in 0..READS {
        entry.time(|| {
            query::state_entry(snapshot, root_at(count), "m.room.member", &user(count as usize)).expect("readable")
        });
    }
    entry.report("one entry of the state at a random event");
    let mut whole = Samples::default();
    let mut entries = 0;
    let cpu_before = thread_cpu_seconds();
    for count in 0..READS / 20 {
        entries += whole.time(|| state::entries(snapshot, root_at(count)).expect("readable")).len();
    }
    let cpu = (thread_cpu_seconds() - cpu_before) * 1e6 / (READS / 20) as f64;
    let entries = entries / (READS as usize / 20);
    whole.report(&format!("the whole state at a random event, {entries} entries and {cpu:.0} us of CPU on average"));
}

/// The time from the append of an event that joins two branches until it can be read, with what precedes it: the
/// branches.
fn resolve_forks(views: &TestViews, room: &mut Room) {
    let mut joining = Samples::default();
    let mut plain = Samples::default();
    for fork in 0..FORKS {
        let base = room.heads.clone();
        let mut tips = Vec::new();
        for branch in 0..2 {
            room.heads.clone_from(&base);
            let sender = user(branch);
            for conflict in 0..CONFLICTS - 1 {
                room.send(
                    &sender,
                    "x.conflict",
                    Some(&conflict.to_string()),
                    &format!(r#"{{"f":{fork},"b":{branch}}}"#),
                );
            }
            let target = user(10 + fork);
            let key = ("m.room.member".to_owned(), target.clone());
            let former = room.state[&key].clone();
            if branch == 0 {
                room.send(&sender, "m.room.member", Some(&target), r#"{"membership":"leave"}"#);
            } else {
                room.send(&target, "m.room.member", Some(&target), r#"{"membership":"join","displayname":"n"}"#);
            }
            room.state.insert(key, former);
            tips.append(&mut room.heads);
        }
        room.heads = tips;
        views.settle();
        joining.time(|| {
            room.send(&user(0), "m.room.message", None, r#"{"body":"joins"}"#);
            views.settle();
        });
        plain.time(|| {
            room.send(&user(0), "m.room.message", None, r#"{"body":"plain"}"#);
            views.settle();
        });
    }
    plain.report("building, appending and applying a message");
    joining.report(&format!("the same with resolving a fork with {} conflicting events", 2 * CONFLICTS));
}

/// Rooms that are made to be expensive.
fn hostile() {
    const EVENTS: usize = 10_000;
    let mut wide = Room::new();
    wide.begin(10);
    let base = wide.heads.clone();
    for count in 0..EVENTS {
        wide.heads.clone_from(&base);
        let key = (count % 100).to_string();
        let is_state = count % 10 == 0;
        wide.send(&user(count % 10), "x.custom", is_state.then_some(&*key), &format!(r#"{{"n":{count}}}"#));
    }
    let views = replay(&wide, &format!("{EVENTS} events on one parent, a tenth of them state"), MEMO_BYTES_MAX);
    let snapshot = views.settle();
    let number = query::room(&*snapshot, &wide.id).expect("readable").expect("the room").number;
    let kept = query::head(&*snapshot, number).expect("readable").extremities.len();
    println!("  forward extremities kept: {kept}");
    drop((views, snapshot));

    let mut deep = Room::new();
    deep.begin(10);
    for count in 0..EVENTS {
        deep.send(&user(0), "m.room.power_levels", Some(""), &format!(r#"{{"users_default":50,"n":{count}}}"#));
    }
    let views = replay(&deep, &format!("{EVENTS} power levels events in a line"), MEMO_BYTES_MAX);
    fork(&views, &mut deep, "on them, joining two topics", 5, |room, branch| {
        room.send(&user(branch), "m.room.topic", Some(""), &format!(r#"{{"topic":"{branch}"}}"#));
    });
    fork(&views, &mut deep, "on them, joining two power levels events", 5, |room, branch| {
        room.send(&user(0), "m.room.power_levels", Some(""), &format!(r#"{{"users_default":50,"b":{branch}}}"#));
    });
    drop(views);

    let mut broad = Room::new();
    broad.begin(10);
    let views = replay(&broad, "a small room", MEMO_BYTES_MAX);
    fork(&views, &mut broad, "joining branches that differ in 1000 entries", 1, |room, branch| {
        for entry in 0..1000 {
            room.send(&user(branch), "x.custom", Some(&entry.to_string()), &format!(r#"{{"b":{branch}}}"#));
        }
    });
    println!("resident: {} MiB at most", resident_mib("VmHWM:"));
}

/// Forks a room and times the event that joins the branches; a few times, if that is cheap.
fn fork(views: &TestViews, room: &mut Room, what: &str, times: usize, send: impl Fn(&mut Room, usize)) {
    let mut joining = Samples::default();
    for _ in 0..times {
        let (base, state) = (room.heads.clone(), room.state.clone());
        let mut tips = Vec::new();
        for branch in 0..2 {
            room.heads.clone_from(&base);
            room.state.clone_from(&state);
            send(room, branch);
            tips.append(&mut room.heads);
        }
        (room.heads, room.state) = (tips, state);
        views.settle();
        joining.time(|| {
            room.send(&user(0), "m.room.message", None, r#"{"body":"joins"}"#);
            views.settle();
        });
    }
    joining.report(&format!("  {what}"));
}

#[derive(Default)]
struct Samples(Vec<f64>);

impl Samples {
    fn time<T>(&mut self, run: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = run();
        self.0.push(start.elapsed().as_secs_f64() * 1e6);
        result
    }

    fn report(mut self, what: &str) {
        self.0.sort_by(f64::total_cmp);
        let at = |percent: usize| self.0[(self.0.len() - 1) * percent / 100];
        println!("{what}: {:.0} us in the median, {:.0} us at 90 %, {:.0} us at least", at(50), at(90), at(0));
    }
}

fn user(number: usize) -> String {
    format!("@user{number}:{SERVER}")
}

struct Room {
    log: MemoryLog,
    key: SigningKey,
    version: &'static RoomVersion,
    id: String,
    /// Current state by type and state key, as the sender of the last event sees it.
    state: HashMap<(String, String), String>,
    heads: Vec<String>,
    count: usize,
    states: usize,
    forks: usize,
}

impl Room {
    fn new() -> Self {
        Self {
            log: MemoryLog::new(),
            key: SigningKey::from_seed("ed25519:1", [1; 32]).expect("a valid key ID"),
            version: RoomVersion::parse("12").expect("a known version"),
            id: String::new(),
            state: HashMap::new(),
            heads: Vec::new(),
            count: 0,
            states: 0,
            forks: 0,
        }
    }

    fn begin(&mut self, members: usize) {
        let creator = user(0);
        self.send(&creator, "m.room.create", Some(""), r#"{"room_version":"12"}"#);
        self.send(&creator, "m.room.member", Some(&creator), r#"{"membership":"join"}"#);
        self.send(&creator, "m.room.power_levels", Some(""), r#"{"users_default":50}"#);
        self.send(&creator, "m.room.join_rules", Some(""), r#"{"join_rule":"public"}"#);
        for member in (1..members).map(user) {
            self.send(&member, "m.room.member", Some(&member), r#"{"membership":"join"}"#);
        }
    }

    /// Members join in a line; so that forks are one in twenty of all events, they are more of those that follow.
    fn talk(&mut self, members: usize, end: usize) {
        let every = end.saturating_sub(self.count) * 20 / end;
        while self.count < end {
            let at = self.count;
            if at.is_multiple_of(every) {
                let base = self.heads.clone();
                self.say(at.is_multiple_of(4), at, members);
                let mut tips = std::mem::replace(&mut self.heads, base);
                self.say(at.is_multiple_of(80), at + 7, members);
                self.heads.append(&mut tips);
                self.forks += 1;
            } else {
                self.say(at % 10 == 5, at, members);
            }
        }
    }

    fn say(&mut self, is_state: bool, at: usize, members: usize) {
        let sender = user(at.wrapping_mul(7919) % members);
        if !is_state {
            let content = format!(r#"{{"body":"This is message number {at} of many.","msgtype":"m.text"}}"#);
            self.send(&sender, "m.room.message", None, &content);
        } else if at.is_multiple_of(3) {
            self.send(&sender, "m.room.topic", Some(""), &format!(r#"{{"topic":"number {at}"}}"#));
        } else {
            let content = format!(r#"{{"membership":"join","displayname":"number {at}"}}"#);
            self.send(&sender, "m.room.member", Some(&sender), &content);
        }
    }

    fn send(&mut self, sender: &str, kind: &str, key: Option<&str>, content: &str) {
        let wanted = auth_types(self.version, kind, sender, key, content);
        let auth_events: Vec<&str> = wanted.iter().filter_map(|key| self.state.get(key)).map(String::as_str).collect();
        self.count += 1;
        let now_ms = 1_000_000 + self.count as u64;
        let position = Position {
            room_id: (kind != "m.room.create").then_some(&self.id),
            prev_events: &self.heads.iter().map(String::as_str).collect::<Vec<_>>(),
            auth_events: &auth_events,
            depth: self.count as u64,
            origin_server_ts: now_ms,
            event_id: None,
            reference_hashes: &[],
        };
        let draft = Draft { sender, event_type: kind, state_key: key, content, redacts: None };
        let built = build(self.version, &draft, &position, SERVER, &self.key).expect("a valid event");
        self.id.clone_from(&built.room_id);
        self.heads = vec![built.event_id.clone()];
        if let Some(key) = key {
            self.states += 1;
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
        let offset = self.log.journal(pdu, now_ms);
        assert_eq!(offset.0, self.count as u64, "one record an event");
    }
}
