//! Measures the views of a whole server over the real log:
//! `cargo run --release -p engram-ephemeral --example rates -- DIR COMMAND`, where the command is one of
//!
//! ```text
//! seed MESSAGES    makes a log of mixed records, of which 8 in 10 are messages
//! start            opens new views over an empty log, and opens them again, several times
//! replay           rebuilds all views of the seeded log
//! live MESSAGES    sends messages one by one, each waited for, with the views and then without
//! ```
//!
//! Other work on the machine changes wall-clock time a lot and CPU time little, so both are shown.

#![expect(clippy::disallowed_methods, reason = "a measurement needs the clock")]
#![expect(clippy::cast_precision_loss, reason = "counts and microseconds are far below 2^52")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use engram_ephemeral::EphemeralProjector;
use engram_log::{EmbeddedLog, FsStorage, Input, Lane, Log, Offset, TimestampMs};
use engram_log_format::v1;
use engram_matrix::auth::auth_types;
use engram_matrix::build::{Draft, Position, build};
use engram_matrix::keys::SigningKey;
use engram_matrix::room_version::RoomVersion;
use engram_rooms::RoomsProjector;
use engram_users::UsersProjector;
use engram_views::rebuild::{self, Until};
use engram_views::{AnyProjector, Options, Views};

/// The server's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SERVER: &str = "bench.test";
const ROOMS: usize = 20;
const MEMBERS: usize = 50;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dir, command, rest @ ..] = &arguments[..] else { panic!("usage: rates DIR COMMAND") };
    let count = || rest.first().map_or(100_000, |count| count.parse().expect("a number"));
    let dir = PathBuf::from(dir);
    match command.as_str() {
        "seed" => seed(&dir, count()),
        "start" => start(&dir),
        "replay" => replay(&dir),
        "live" => live(&dir, count()),
        other => panic!("unknown command {other}"),
    }
}

fn projectors() -> Vec<Box<dyn AnyProjector>> {
    vec![Box::new(RoomsProjector::default()), Box::new(UsersProjector), Box::new(EphemeralProjector)]
}

fn open_log(dir: &Path) -> Arc<EmbeddedLog> {
    let storage = FsStorage::open(dir).expect("the directory can be used");
    EmbeddedLog::open(storage, engram_log::Options::default()).expect("the log opens")
}

fn open_views(dir: &Path, log: &Arc<EmbeddedLog>) -> Arc<Views> {
    Views::open(&dir.join("views"), Arc::clone(log) as _, projectors(), Options::default()).expect("the views open")
}

fn seed(dir: &Path, messages: usize) {
    let log = open_log(dir);
    let mut world = World::new();
    let mut last = append(&log, &world.begin());
    for number in 0..messages {
        let mut inputs = world.message(number);
        inputs.extend(world.others(number));
        last = append(&log, &inputs);
        if number % 1000 == 0 {
            log.wait_durable(last).expect("durable");
        }
    }
    log.wait_durable(last).expect("durable");
    log.close().expect("closed");
    println!("{last} records, {} bytes of log", disk_bytes(&dir.join("log")));
}

fn append(log: &EmbeddedLog, inputs: &[Input]) -> Offset {
    let mut last = Offset::ZERO;
    for chunk in inputs.chunks(500) {
        last = log.append(Lane::Journal, chunk, TimestampMs(1_000_000)).expect("appended").last;
    }
    last
}

fn start(dir: &Path) {
    for round in 0..5 {
        let dir = dir.join(format!("start{round}"));
        let log = open_log(&dir);
        for what in ["new", "again"] {
            let clock = Clock::start();
            let views = open_views(&dir, &log);
            views.start(Vec::new());
            let opened = clock.stop();
            views.close();
            drop(views);
            let all = clock.stop();
            println!("{what}: open {opened}, with closing {all}");
        }
        log.close().expect("closed");
        drop(log);
        std::fs::remove_dir_all(&dir).expect("deleted");
    }
}

fn replay(dir: &Path) {
    let storage = FsStorage::open(dir).expect("the directory can be used");
    let log = EmbeddedLog::open_read_only(storage).expect("the log opens");
    let into = dir.join("replayed");
    let _ = std::fs::remove_dir_all(&into);
    let clock = Clock::start();
    let mut records = 0;
    let snapshot = rebuild::into(&into, Arc::clone(&log) as _, projectors(), Until::End, &mut |progress| {
        records = progress.records;
    })
    .expect("rebuilt");
    let taken = clock.stop();
    println!(
        "{records} records in {taken}: {:.0}/s, {:.2} us of CPU each",
        taken.rate(records),
        taken.cpu_each(records)
    );
    let digests = snapshot.digests().expect("readable");
    let (mut rows, mut bytes) = (0, 0);
    for view in &digests {
        println!("{} {}", view.name, view.digest.to_hex());
        rows += view.tables.iter().map(|table| table.rows).sum::<u64>();
        bytes += view.tables.iter().map(|table| table.bytes).sum::<u64>();
        for table in view.tables.iter().filter(|table| table.rows > 0) {
            println!("  {:<28} {:>9} rows {:>12} bytes", table.name, table.rows, table.bytes);
        }
    }
    println!("{rows} rows of {bytes} bytes; on disk {}", disk_bytes(&into));
    drop(snapshot);
    println!("on disk after closing {}", disk_bytes(&into));
}

fn live(dir: &Path, messages: usize) {
    let mut world = World::new();
    let begin = world.begin();
    let messages: Vec<Vec<Input>> = (0..messages).map(|number| world.message(number)).collect();
    let with = live_round(&dir.join("with"), &begin, &messages, true);
    let without = live_round(&dir.join("without"), &begin, &messages, false);
    let count = messages.len() as u64;
    println!("with views {with}, {:.2} us of CPU each", with.cpu_each(count));
    println!("without    {without}, {:.2} us of CPU each", without.cpu_each(count));
}

fn live_round(dir: &Path, begin: &[Input], messages: &[Vec<Input>], with_views: bool) -> Taken {
    let _ = std::fs::remove_dir_all(dir);
    let log = open_log(dir);
    let views = with_views.then(|| open_views(dir, &log));
    if let Some(views) = &views {
        views.start(Vec::new());
    }
    append(&log, begin);
    let clock = Clock::start();
    for inputs in messages {
        let last = append(&log, inputs);
        match &views {
            Some(views) => views.wait_applied_blocking(last).expect("applied"),
            None => log.wait_durable(last).expect("durable"),
        }
    }
    let taken = clock.stop();
    if let Some(views) = &views {
        views.close();
    }
    drop(views);
    log.close().expect("closed");
    drop(log);
    let (log, views) = (disk_bytes(&dir.join("log")), disk_bytes(&dir.join("views")));
    let each = (log + views) / messages.len() as u64;
    println!("on disk: {log} bytes of log, {views} of views: {each} a message");
    taken
}

/// Bytes of all files below a directory as the file system counts them: blocks, not lengths.
fn disk_bytes(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let bytes = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => disk_bytes(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        Err(_) => 0,
    };
    entries.filter_map(Result::ok).map(bytes).sum()
}

struct Clock {
    start: Instant,
    cpu_seconds: f64,
}

struct Taken {
    seconds: f64,
    cpu_seconds: f64,
}

impl Clock {
    fn start() -> Self {
        Self { start: Instant::now(), cpu_seconds: cpu_seconds() }
    }

    fn stop(&self) -> Taken {
        Taken { seconds: self.start.elapsed().as_secs_f64(), cpu_seconds: cpu_seconds() - self.cpu_seconds }
    }
}

impl Taken {
    fn rate(&self, count: u64) -> f64 {
        count as f64 / self.seconds
    }

    fn cpu_each(&self, count: u64) -> f64 {
        self.cpu_seconds * 1e6 / count as f64
    }
}

impl std::fmt::Display for Taken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.0} ms ({:.0} ms of CPU)", self.seconds * 1e3, self.cpu_seconds * 1e3)
    }
}

/// CPU time of this process so far, in all threads, to the hundredth of a second (Linux).
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

fn user(number: usize) -> String {
    format!("@user{number}:{SERVER}")
}

/// Users in rooms.
struct World {
    key: SigningKey,
    version: &'static RoomVersion,
    rooms: Vec<Room>,
}

#[derive(Default)]
struct Room {
    id: String,
    /// Current state: type, state key, event ID.
    state: Vec<(String, String, String)>,
    last: Option<String>,
    depth: u64,
}

impl World {
    fn new() -> Self {
        Self {
            key: SigningKey::from_seed("ed25519:1", [1; 32]).expect("a valid key ID"),
            version: RoomVersion::parse("12").expect("a known version"),
            rooms: (0..ROOMS).map(|_| Room::default()).collect(),
        }
    }

    fn begin(&mut self) -> Vec<Input> {
        let mut inputs = Vec::new();
        for number in 0..MEMBERS {
            inputs.push(account(number));
            inputs.push(device(number));
        }
        for room in 0..ROOMS {
            let creator = user(room % MEMBERS);
            inputs.push(self.send(room, &creator, "m.room.create", Some(""), r#"{"room_version":"12"}"#, None));
            inputs.push(self.send(room, &creator, "m.room.member", Some(&creator), r#"{"membership":"join"}"#, None));
            inputs.push(self.send(room, &creator, "m.room.power_levels", Some(""), "{}", None));
            inputs.push(self.send(room, &creator, "m.room.join_rules", Some(""), r#"{"join_rule":"public"}"#, None));
            for member in (0..MEMBERS).map(user).filter(|member| *member != creator) {
                inputs.push(self.send(room, &member, "m.room.member", Some(&member), r#"{"membership":"join"}"#, None));
            }
        }
        inputs
    }

    fn message(&mut self, number: usize) -> Vec<Input> {
        let body = format!(
            "This is message number {number} of many; it says what people say, in about a hundred bytes of text."
        );
        let content = format!(r#"{{"body":"{body}","msgtype":"m.text"}}"#);
        vec![self.send(number % ROOMS, &user(number / 3 % MEMBERS), "m.room.message", None, &content, Some(number))]
    }

    /// What else happens: receipts, to-device messages, account data, names.
    fn others(&mut self, number: usize) -> Vec<Input> {
        let (room, user_id) = (number % ROOMS, user(number % MEMBERS));
        match number % 20 {
            0 | 5 | 10 => vec![receipt(&self.rooms[room], &user_id, number as u64)],
            1 => vec![to_device(&user_id, &user((number + 1) % MEMBERS))],
            2 => vec![account_data(&user_id, number)],
            3 if number % 100 == 3 => {
                let content = format!(r#"{{"topic":"topic {number}"}}"#);
                let creator = user(room % MEMBERS);
                vec![self.send(room, &creator, "m.room.topic", Some(""), &content, None)]
            }
            _ => Vec::new(),
        }
    }

    fn send(
        &mut self,
        room: usize,
        sender: &str,
        kind: &str,
        key: Option<&str>,
        content: &str,
        transaction: Option<usize>,
    ) -> Input {
        let room = &mut self.rooms[room];
        let wanted = auth_types(self.version, kind, sender, key, content);
        let in_state = |wanted: &(String, String)| {
            room.state.iter().rev().find(|entry| (&entry.0, &entry.1) == (&wanted.0, &wanted.1)).map(|entry| &*entry.2)
        };
        let auth_events: Vec<&str> = wanted.iter().filter_map(in_state).collect();
        room.depth += 1;
        let position = Position {
            room_id: (kind != "m.room.create").then_some(&room.id),
            prev_events: &room.last.iter().map(String::as_str).collect::<Vec<_>>(),
            auth_events: &auth_events,
            depth: room.depth,
            origin_server_ts: 1_000_000 + room.depth,
            event_id: None,
            reference_hashes: &[],
        };
        let draft = Draft { sender, event_type: kind, state_key: key, content, redacts: None };
        let built = build(self.version, &draft, &position, SERVER, &self.key).expect("a valid event");
        room.id.clone_from(&built.room_id);
        room.last = Some(built.event_id.clone());
        if let Some(key) = key {
            room.state.push((kind.to_owned(), key.to_owned(), built.event_id.clone()));
        }
        let transaction = transaction.map(|count| v1::Transaction {
            user_id: sender.to_owned(),
            device_id: "DEVICEABCD".to_owned(),
            transaction_id: format!("m1700000000000.{count}"),
        });
        Input::from(v1::Pdu {
            room_id: built.room_id,
            event_id: built.event_id,
            room_version: self.version.id().to_owned(),
            source: v1::PduSource::Local,
            json: built.json,
            transaction,
            verified_keys: Vec::new(),
        })
    }
}

fn account(number: usize) -> Input {
    Input::from(v1::AccountCreated {
        user_id: user(number),
        password_hash: None,
        admin: false,
        guest: false,
        registration_token: None,
        appservice_id: None,
    })
}

fn device(number: usize) -> Input {
    Input::from(v1::DeviceLoggedIn {
        user_id: user(number),
        device_id: "DEVICEABCD".to_owned(),
        access_token_digest: [u8::try_from(number).expect("few users"); 32],
        display_name: None,
        expires_ms: None,
        ip: None,
    })
}

fn receipt(room: &Room, user_id: &str, at_ms: u64) -> Input {
    Input::from(v1::ReceiptSent {
        room_id: room.id.clone(),
        user_id: user_id.to_owned(),
        receipt_type: "m.read".to_owned(),
        event_id: room.last.clone().expect("a room with events"),
        thread_id: None,
        at_ms,
    })
}

fn to_device(sender: &str, to: &str) -> Input {
    Input::from(v1::ToDeviceSent {
        sender: sender.to_owned(),
        event_type: "m.room_key_request".to_owned(),
        messages: vec![v1::ToDeviceMessage {
            user_id: to.to_owned(),
            device_id: "DEVICEABCD".to_owned(),
            content: br#"{"action":"request","request_id":"r1","requesting_device_id":"DEVICEABCD"}"#.to_vec(),
        }],
        transaction: None,
    })
}

fn account_data(user_id: &str, number: usize) -> Input {
    Input::from(v1::AccountDataSet {
        user_id: user_id.to_owned(),
        room_id: None,
        event_type: format!("test.kind{}", number % 7),
        content: format!(r#"{{"number":{number}}}"#).into_bytes(),
    })
}
