//! No snapshot shows half a record, half an append, or two views at different records.
//!
//! Each append changes four tables of three views at once. Readers take snapshots of a live pipeline, as fast as they
//! can, and compare.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use engram_ephemeral::query as receipts;
use engram_log::{Lane, Log, TimestampMs};
use engram_log_format::{Input, v1};
use engram_matrix::auth::auth_types;
use engram_matrix::build::{Draft, Position, build};
use engram_matrix::keys::SigningKey;
use engram_matrix::room_version::RoomVersion;
use engram_rooms::query as rooms;
use engram_server::node::projectors;
use engram_users::query as users;
use engram_views::Snapshot;
use engram_views::testing::{MemoryLog, TestViews};

use super::support::asked;

const READS: u64 = 20_000;
/// States that readers have to have seen before a run counts.
const STATES: u64 = 100;
const READERS: usize = 3;
const ALICE: &str = "@alice:one.test";

/// A room in which every event sets the topic.
struct Room {
    key: SigningKey,
    version: &'static RoomVersion,
    id: String,
    state: Vec<(String, String, String)>,
    last: Option<String>,
    depth: u64,
}

impl Room {
    fn event(&mut self, event_type: &str, state_key: &str, content: &str) -> Input {
        let wanted = auth_types(self.version, event_type, ALICE, Some(state_key), content);
        let in_state = |wanted: &(String, String)| {
            self.state.iter().find(|entry| (&entry.0, &entry.1) == (&wanted.0, &wanted.1)).map(|entry| &*entry.2)
        };
        self.depth += 1;
        let position = Position {
            room_id: (event_type != "m.room.create").then_some(&self.id),
            prev_events: &self.last.iter().map(String::as_str).collect::<Vec<_>>(),
            auth_events: &wanted.iter().filter_map(in_state).collect::<Vec<_>>(),
            depth: self.depth,
            origin_server_ts: self.depth,
            event_id: None,
            reference_hashes: &[],
        };
        let draft = Draft { sender: ALICE, event_type, state_key: Some(state_key), content, redacts: None };
        let built = build(self.version, &draft, &position, "one.test", &self.key).expect("a valid event");
        self.id.clone_from(&built.room_id);
        self.last = Some(built.event_id.clone());
        if event_type != "m.room.topic" {
            self.state.push((event_type.to_owned(), state_key.to_owned(), built.event_id.clone()));
        }
        v1::Pdu {
            room_id: built.room_id,
            event_id: built.event_id,
            room_version: self.version.id().to_owned(),
            source: v1::PduSource::Local,
            json: built.json,
            transaction: None,
            verified_keys: Vec::new(),
        }
        .into()
    }

    /// Account data, a receipt and a topic with the same number, as one append.
    fn append(&mut self, log: &MemoryLog, number: u64) {
        let content = format!(r#"{{"topic":"{number}"}}"#);
        let event = self.event("m.room.topic", "", &content);
        let receipt = v1::ReceiptSent {
            room_id: self.id.clone(),
            user_id: ALICE.to_owned(),
            receipt_type: "m.read".to_owned(),
            event_id: self.last.clone().expect("an event was made"),
            thread_id: None,
            at_ms: number,
        };
        let data = v1::AccountDataSet {
            user_id: ALICE.to_owned(),
            room_id: None,
            event_type: "x.number".to_owned(),
            content: content.into_bytes(),
        };
        log.append(Lane::Journal, &[data.into(), receipt.into(), event], TimestampMs(number)).expect("it is taken");
    }
}

/// The number that the views show; they must agree on it, and it must be of a record that the snapshot stands behind.
fn read(snapshot: &Snapshot, room_id: &str) -> u64 {
    let data = users::account_data(snapshot, ALICE, None, "x.number").expect("it can be read").expect("it is set");
    let data: serde_json::Value = serde_json::from_str(data.get()).expect("JSON");
    let number = data["topic"].as_str().and_then(|text| text.parse().ok()).expect("a number");
    let receipt =
        receipts::receipt(snapshot, room_id, ALICE, "m.read", None).expect("it can be read").expect("it is set");
    let room = rooms::room(snapshot, room_id).expect("it can be read").expect("the room is known").number;
    let head = rooms::head(snapshot, room).expect("it can be read");
    let topic =
        rooms::state_entry(snapshot, head.state, "m.room.topic", "").expect("it can be read").expect("it is set");
    let event = rooms::pdu(snapshot, topic).expect("it can be read");
    assert_eq!(event.origin_server_ts, number + 4, "rooms and users agree");
    assert_eq!(receipt.at.0, number, "receipts and users agree");
    assert_eq!(receipt.event_id, event.event_id.as_str(), "the receipt is of the event that is there");
    assert_eq!(
        (head.latest, receipt.offset.next()),
        (topic, topic),
        "tables of the room agree, and records of an append are neighbours"
    );
    assert_eq!(snapshot.offset(), topic, "a snapshot ends where an append ends");
    number
}

#[test]
fn no_snapshot_shows_half_an_append() {
    let wanted = asked("ENGRAM_SNAPSHOT_READS", READS);
    let test = TestViews::over(MemoryLog::new(), projectors(), Vec::new());
    let mut room = Room {
        key: SigningKey::from_seed("ed25519:1", [7; 32]).expect("a valid key ID"),
        version: RoomVersion::parse("12").expect("a known version"),
        id: String::new(),
        state: Vec::new(),
        last: None,
        depth: 0,
    };
    let account = v1::AccountCreated {
        user_id: ALICE.to_owned(),
        password_hash: None,
        admin: false,
        guest: false,
        registration_token: None,
        appservice_id: None,
    };
    test.log.journal(account, 0);
    for (event_type, state_key, content) in [
        ("m.room.create", "", r#"{"room_version":"12"}"#),
        ("m.room.member", ALICE, r#"{"membership":"join"}"#),
        ("m.room.power_levels", "", "{}"),
    ] {
        let event = room.event(event_type, state_key, content);
        test.log.journal(event, 0);
    }
    room.append(&test.log, 0);
    test.settle();
    let (reads, seen, done) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let room_id = room.id.clone();
    let distinct = AtomicU64::new(0);
    let mut appends = 1;
    thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS)
            .map(|_| {
                scope.spawn(|| {
                    let mut last = 0;
                    while !done.load(Ordering::Relaxed) {
                        let number = read(&test.views.snapshot(), &room_id);
                        assert!(number >= last, "no reader goes back");
                        let distinct = distinct.fetch_add(u64::from(number > last), Ordering::Relaxed);
                        last = number;
                        seen.fetch_max(number, Ordering::Relaxed);
                        if reads.fetch_add(1, Ordering::Relaxed) >= wanted && distinct >= STATES {
                            done.store(true, Ordering::Relaxed);
                        }
                    }
                })
            })
            .collect();
        while !done.load(Ordering::Relaxed) && !readers.iter().any(thread::ScopedJoinHandle::is_finished) {
            room.append(&test.log, appends);
            appends += 1;
            // A bounded lead, so that memory is: the log in memory keeps everything.
            while !done.load(Ordering::Relaxed) && appends > seen.load(Ordering::Relaxed) + 8 {
                thread::yield_now();
                if readers.iter().any(thread::ScopedJoinHandle::is_finished) {
                    break;
                }
            }
        }
        done.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.join().expect("no reader saw half an append");
        }
    });
    let (reads, distinct) = (reads.into_inner(), distinct.into_inner());
    println!(
        "{reads} reads of {appends} appends in {READERS} threads, {distinct} of them of a state that the reader had not seen"
    );
    assert!(reads >= wanted && distinct >= STATES, "the readers saw the views move: {distinct}");
}
