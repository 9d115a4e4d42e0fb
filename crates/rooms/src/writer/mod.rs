//! The writers of rooms: they decide under the room's lock, build and sign the PDU on the room's head, and append it.
//!
//! Every writer returns as soon as its records have an offset; whoever answers a client first awaits
//! [`engram_views::Views::wait_applied`] of that offset, which makes the answer durable and readable.
//!
//! Where to begin: [`RoomServer::send`] for one event on a head, [`RoomServer::create_room`] for many at once.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use engram_base::{Clock, Random};
use engram_log::{Log, Offset, TimestampMs};
use engram_matrix::keys::SigningKey;
use engram_views::{Snapshot, Views};
use parking_lot::Mutex;

mod compose;
mod create;
mod crowded;
mod directory;
mod error;
mod head;
mod membership;
mod power;
mod receive;
mod rejudged;
mod restricted;
mod send;
mod upgrade;

pub use create::{CreateRoom, Created, InitialEvent, Preset};
pub use crowded::CrowdWatch;
pub use error::RoomError;
pub use membership::{Change, MembershipRequest, Profile};
pub use receive::{GivenState, Order, Outcome, Outcomes, Received};
pub use send::{SendRequest, Sent, TransactionScope};
pub use upgrade::UpgradeRoom;

use head::Head;

use crate::limits::{HEADS_BYTES_MAX, HEADS_MAX};

/// One room's head behind the room's lock; empty until somebody needs it.
type Slot = Arc<Mutex<Option<Head>>>;

/// What a room server is made of.
pub struct Parts {
    /// The log that events are appended to.
    pub log: Arc<dyn Log>,
    /// The views that decisions are made from.
    pub views: Arc<Views>,
    /// This server's name.
    pub server_name: String,
    /// This server's signing key.
    pub key: SigningKey,
    /// The clock.
    pub clock: Clock,
    /// The source of random identifiers.
    pub entropy: Random,
}

/// The writing half of the room server.
pub struct RoomServer {
    parts: Parts,
    heads: Mutex<HashMap<Box<str>, Slot>>,
    /// What the heads weigh, about.
    heads_bytes: Arc<AtomicUsize>,
    /// Rooms with too many forward extremities.
    crowded: Mutex<BTreeSet<Arc<str>>>,
    /// Held from the look-up of an alias to the application of the record that sets it.
    aliases: Mutex<()>,
}

impl RoomServer {
    /// The writers of one server.
    pub fn new(parts: Parts) -> Arc<Self> {
        Arc::new(Self {
            parts,
            heads: Mutex::default(),
            heads_bytes: Arc::default(),
            crowded: Mutex::default(),
            aliases: Mutex::default(),
        })
    }

    /// This server's name.
    pub fn server_name(&self) -> &str {
        &self.parts.server_name
    }

    /// Whether a user is one of this server's.
    pub fn is_local(&self, user_id: &str) -> bool {
        user_id.split_once(':').is_some_and(|(_, server)| server == self.parts.server_name)
    }

    /// Runs a decision on a room's head, under the room's lock.
    fn with_head<T>(
        &self,
        room_id: &str,
        decide: impl FnOnce(&mut Head) -> Result<T, RoomError>,
    ) -> Result<T, RoomError> {
        let slot = self.slot(room_id);
        let mut guard = slot.lock();
        if guard.as_ref().is_some_and(|head| head.is_worn() && head.is_applied(&self.parts.views)) {
            *guard = None;
        }
        if guard.is_none() {
            *guard = Head::load(&self.parts.views, room_id, &self.heads_bytes)?;
        }
        if let Some(head) = guard.as_mut() {
            return decide(head);
        }
        drop(guard);
        self.forget_unknown(room_id, &slot);
        Err(RoomError::UnknownRoom(room_id.to_owned()))
    }

    /// Takes the slot of a room that does not exist out again: anybody can name any number of those.
    fn forget_unknown(&self, room_id: &str, slot: &Slot) {
        let mut heads = self.heads.lock();
        // The map and this thread hold it, nobody else does or can: and nobody has put a head into it meanwhile.
        if Arc::strong_count(slot) == 2 && slot.try_lock().is_some_and(|head| head.is_none()) {
            heads.remove(room_id);
        }
    }

    fn slot(&self, room_id: &str) -> Slot {
        let mut heads = self.heads.lock();
        if heads.len() >= HEADS_MAX || self.heads_bytes.load(Ordering::Relaxed) > HEADS_BYTES_MAX {
            self.drop_idle(&mut heads);
        }
        if let Some(slot) = heads.get(room_id) {
            return Arc::clone(slot);
        }
        let slot = Slot::default();
        heads.insert(room_id.into(), Arc::clone(&slot));
        slot
    }

    /// Drops the heads that nobody uses and that the views have caught up with.
    fn drop_idle(&self, heads: &mut HashMap<Box<str>, Slot>) {
        heads.retain(|_, slot| {
            let in_use = Arc::strong_count(slot) > 1;
            in_use || slot.lock().as_ref().is_some_and(|head| !head.is_applied(&self.parts.views))
        });
    }

    /// An ID for a room of a version in which the server chooses it.
    fn new_room_id(&self) -> String {
        format!("!{}:{}", self.opaque_id(), self.server_name())
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.parts.views.snapshot()
    }

    fn now(&self) -> TimestampMs {
        (self.parts.clock)()
    }

    /// A random opaque identifier: 18 letters of the English alphabet (IDS-12).
    fn opaque_id(&self) -> String {
        let mut bytes = [0_u8; 18];
        (self.parts.entropy)(&mut bytes);
        // 52 letters do not divide 256: the bias of a few values is harmless in an identifier that is no secret.
        bytes.iter().map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()])).collect()
    }

    /// Waits until a record can be read, for the few decisions that need it.
    fn wait(&self, offset: Offset) -> Result<(), RoomError> {
        self.parts
            .views
            .wait_applied_blocking(offset)
            .map_err(|stopped| RoomError::Append(engram_log::AppendError::Stopped(stopped.0.to_string())))
    }
}

const LETTERS: &[u8; 52] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
