//! A server in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use engram_ephemeral::{EphemeralProjector, Live, LiveObserver};
use engram_log::{Input, Offset, TimestampMs};
use engram_log_format::v1;
use engram_matrix::keys::SigningKey;
use engram_rooms::writer::{
    Change, CreateRoom, MembershipRequest, NoAccounts, Parts, Preset, RoomServer, SendRequest, TransactionScope,
};
use engram_rooms::{Membership, RoomsProjector, query};
use engram_users::UsersProjector;
use engram_views::testing::{MemoryLog, block_on};
use engram_views::{Options, Snapshot, Views};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use crate::{Effects, Filter, SyncRequest, SyncServer};

pub(super) const ALICE: &str = "@alice:test";
pub(super) const BOB: &str = "@bob:test";
pub(super) const CAROL: &str = "@carol:test";
/// Longer than a test takes: whoever sleeps so long is woken, or the test fails.
pub(super) const LONG: Duration = Duration::from_secs(300);
pub(super) const NOW_MS: u64 = 1_700_000_000_000;

/// The server's parts.
pub(super) struct Rig {
    pub(super) log: MemoryLog,
    pub(super) views: Arc<Views>,
    pub(super) rooms: Arc<RoomServer>,
    pub(super) server: Arc<SyncServer>,
    pub(super) live: Arc<Live>,
    pub(super) effects: Arc<Recorded>,
    _directory: tempfile::TempDir,
}

/// What the server wanted to have recorded.
#[derive(Default)]
pub(super) struct Recorded {
    pub(super) received: Mutex<Vec<(String, String, Offset)>>,
}

impl Effects for Recorded {
    fn to_device_received(&self, user_id: &str, device_id: &str, through: Offset) {
        self.received.lock().push((user_id.to_owned(), device_id.to_owned(), through));
    }
}

impl Rig {
    pub(super) fn new() -> Self {
        let rig = Self::over(MemoryLog::new());
        for user_id in [ALICE, BOB, CAROL] {
            rig.record(v1::AccountCreated {
                user_id: user_id.to_owned(),
                password_hash: None,
                admin: false,
                guest: false,
                registration_token: None,
                appservice_id: None,
            });
            rig.log_in(user_id, "DEVICE");
        }
        rig
    }

    pub(super) fn log_in(&self, user_id: &str, device_id: &str) {
        self.record(v1::DeviceLoggedIn {
            user_id: user_id.to_owned(),
            device_id: device_id.to_owned(),
            access_token_digest: digest(&format!("{device_id}{user_id}")),
            display_name: None,
            expires_ms: None,
            ip: None,
        });
    }

    /// A server that starts on an existing log, with nothing in memory.
    pub(super) fn over(log: MemoryLog) -> Self {
        let directory = tempfile::tempdir().expect("a test has a temporary directory");
        let projectors: Vec<Box<dyn engram_views::AnyProjector>> = vec![
            Box::<RoomsProjector>::default(),
            Box::<UsersProjector>::default(),
            Box::<EphemeralProjector>::default(),
        ];
        let views = Views::open(directory.path(), Arc::new(log.clone()), projectors, Options::default())
            .expect("views of a log in memory open");
        let live = Live::new();
        let effects = Arc::new(Recorded::default());
        let clock: Arc<dyn Fn() -> TimestampMs + Send + Sync> = Arc::new(|| TimestampMs(NOW_MS));
        let (server, observer) =
            SyncServer::new(Arc::clone(&views), Arc::clone(&live), effects.clone(), Arc::clone(&clock), readers());
        views.start(vec![Box::new(LiveObserver(Arc::clone(&live))), observer]);
        let counter = AtomicU64::new(views.applied().0 << 8);
        let rooms = RoomServer::new(Parts {
            log: Arc::new(log.clone()),
            views: Arc::clone(&views),
            accounts: Arc::new(NoAccounts),
            server_name: "test".to_owned(),
            key: SigningKey::from_seed("ed25519:1", [7; 32]).expect("a valid key"),
            clock,
            entropy: Arc::new(move |bytes: &mut [u8]| {
                let count = counter.fetch_add(1, Ordering::Relaxed).to_be_bytes();
                bytes.iter_mut().enumerate().for_each(|(index, byte)| *byte = count[index % 8]);
            }),
        });
        Self { log, views, rooms, server, live, effects, _directory: directory }
    }

    /// The same server after a restart.
    pub(super) fn restarted(&self) -> Self {
        self.views.close();
        Self::over(self.log.clone())
    }

    /// Appends a record and waits until it is applied.
    pub(super) fn record(&self, input: impl Into<Input>) -> Offset {
        self.applied(self.log.journal(input, NOW_MS))
    }

    /// [`Rig::record`] on the ephemeral lane.
    pub(super) fn ephemeral(&self, input: impl Into<Input>) -> Offset {
        self.applied(self.log.ephemeral(input, NOW_MS))
    }

    pub(super) fn is_in(&self, room_id: &str, user_id: &str) -> bool {
        let membership = query::membership(&*self.snapshot(), self.number(room_id), user_id).expect("readable");
        matches!(membership, Some((Membership::Join, _)))
    }

    pub(super) fn applied(&self, offset: Offset) -> Offset {
        self.views.wait_applied_blocking(offset).expect("the pipeline runs");
        offset
    }

    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        self.views.snapshot()
    }

    pub(super) fn number(&self, room_id: &str) -> engram_rooms::RoomNumber {
        query::room(&*self.snapshot(), room_id).expect("readable").expect("a room").number
    }

    /// A public room of Alice's.
    pub(super) fn room(&self) -> String {
        let created = block_on(self.rooms.create_room(&CreateRoom {
            creator: ALICE.to_owned(),
            room_version: "11".to_owned(),
            preset: Preset::Public,
            published: false,
            alias_localpart: None,
            name: None,
            topic: None,
            creation_content: Map::new(),
            power_levels: Map::new(),
            initial_state: Vec::new(),
            invite: Vec::new(),
            is_direct: false,
        }));
        let created = created.expect("the room is created");
        self.applied(created.offset);
        created.room_id
    }

    pub(super) fn change(&self, room_id: &str, sender: &str, target: &str, change: Change) -> String {
        let sent = block_on(self.rooms.change_membership(&MembershipRequest {
            room_id,
            sender,
            target,
            change,
            reason: None,
            extra: None,
            transaction: None,
        }));
        let sent = sent.expect("the change is allowed");
        self.applied(sent.offset);
        sent.event_id
    }

    pub(super) fn join(&self, room_id: &str, user_id: &str) -> String {
        self.change(room_id, user_id, user_id, Change::Join)
    }

    /// Sends a message from the device `DEVICE`, its text being the transaction ID too.
    pub(super) fn message(&self, room_id: &str, sender: &str, text: &str) -> String {
        let content = json!({"msgtype": "m.text", "body": text}).to_string();
        let transaction = TransactionScope { device_id: "DEVICE", transaction_id: text };
        self.send(SendRequest {
            room_id,
            sender,
            event_type: "m.room.message",
            state_key: None,
            content: &content,
            redacts: None,
            transaction: Some(transaction),
            timestamp_ms: None,
        })
    }

    pub(super) fn state(&self, room_id: &str, sender: &str, event_type: &str, content: &Value) -> String {
        self.send(SendRequest {
            room_id,
            sender,
            event_type,
            state_key: Some(""),
            content: &content.to_string(),
            redacts: None,
            transaction: None,
            timestamp_ms: None,
        })
    }

    pub(super) fn send(&self, request: SendRequest<'_>) -> String {
        let sent = block_on(self.rooms.send(&request)).expect("the event is allowed");
        self.applied(sent.offset);
        sent.event_id
    }

    /// An answer, at once.
    pub(super) async fn sync(&self, user_id: &str, since: Option<&str>) -> Value {
        self.ask(request(user_id, since)).await
    }

    pub(super) async fn filtered(&self, user_id: &str, since: Option<&str>, filter: &str) -> Value {
        let filter = Filter::parse(filter).expect("a valid filter");
        self.ask(SyncRequest { filter, ..request(user_id, since) }).await
    }

    pub(super) async fn ask(&self, request: SyncRequest) -> Value {
        let body = self.server.sync(request).await.expect("an answer");
        serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{error} in {}", String::from_utf8_lossy(&body)))
    }
}

/// A request that does not sleep.
pub(super) fn request(user_id: &str, since: Option<&str>) -> SyncRequest {
    SyncRequest {
        user_id: user_id.to_owned(),
        device_id: "DEVICE".to_owned(),
        since: since.map(|token| token.parse().expect("a token")),
        timeout: Duration::ZERO,
        ..SyncRequest::default()
    }
}

/// The token at the end of an answer.
pub(super) fn next(answer: &Value) -> &str {
    answer["next_batch"].as_str().expect("every answer has a token")
}

/// The event IDs of a list of events.
pub(super) fn ids(events: &Value) -> Vec<&str> {
    events
        .as_array()
        .map_or_else(Vec::new, |events| events.iter().filter_map(|event| event["event_id"].as_str()).collect())
}

/// The types and state keys of a list of events.
pub(super) fn keys(events: &Value) -> Vec<(&str, &str)> {
    let events = events.as_array().map_or(&[][..], Vec::as_slice);
    events
        .iter()
        .map(|event| (event["type"].as_str().unwrap_or(""), event["state_key"].as_str().unwrap_or("-")))
        .collect()
}

/// The joined room in an answer.
pub(super) fn joined<'a>(answer: &'a Value, room_id: &str) -> &'a Value {
    &answer["rooms"]["join"][room_id]
}

fn digest(text: &str) -> [u8; 32] {
    let mut digest = [0; 32];
    digest.iter_mut().zip(text.bytes()).for_each(|(byte, letter)| *byte = letter);
    digest
}

/// Threads for the server's reads: some tests have no runtime of their own.
fn readers() -> tokio::runtime::Handle {
    static READERS: std::sync::OnceLock<tokio::runtime::Runtime> = std::sync::OnceLock::new();
    let readers = READERS.get_or_init(|| tokio::runtime::Builder::new_current_thread().build().expect("a runtime"));
    readers.handle().clone()
}
