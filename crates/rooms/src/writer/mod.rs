//! The writers of rooms: they decide at the front of the room's line, build and sign the PDU on the room's head, and
//! append it.
//!
//! Every writer returns as soon as its records have an offset; whoever answers a client first awaits
//! [`engram_views::Views::wait_applied`] of that offset, which makes the answer durable and readable. No writer blocks,
//! and none holds a lock while it waits: see `reach`.
//!
//! The rules of rooms are here and nowhere above, so that they hold for whoever comes, by whichever endpoint. What they
//! need to know of accounts is asked of [`Accounts`].
//!
//! Where to begin: [`RoomServer::send`] for one event on a head, [`RoomServer::create_room`] for many at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use engram_base::{Clock, Random};
use engram_log::{Appended, Input, Log, TimestampMs};
use engram_matrix::keys::SigningKey;
use engram_views::{Snapshot, Views};
use parking_lot::Mutex;

mod accounts;
mod chores;
mod compose;
mod create;
mod crowded;
mod directory;
mod error;
mod fences;
mod guests;
mod head;
mod line;
mod member;
mod membership;
mod power;
mod reach;
mod receive;
mod rejudged;
mod restricted;
mod send;
mod slots;
mod upgrade;

pub use accounts::{Accounts, NoAccounts, Profile, ProfileField};
pub use chores::ChoreWatch;
pub use create::{CreateRoom, Created, InitialEvent, Preset};
pub use error::RoomError;
pub use membership::{Change, MembershipRequest};
pub use receive::{GivenState, Order, Outcome, Outcomes, Received};
pub use send::{SendRequest, Sent, TransactionScope};
pub use upgrade::UpgradeRoom;

use fences::Fences;
use guests::Doors;
use reach::{Journal, Reading};
use slots::Slots;

/// What a room server is made of.
pub struct Parts {
    /// The log that events are appended to.
    pub log: Arc<dyn Log>,
    /// The views that decisions are made from.
    pub views: Arc<Views>,
    /// What decisions need to know of accounts.
    pub accounts: Arc<dyn Accounts>,
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
    journal: Journal,
    reading: Reading,
    accounts: Arc<dyn Accounts>,
    server_name: String,
    key: SigningKey,
    clock: Clock,
    entropy: Random,
    slots: Slots,
    /// Of aliases, and of what rooms have of aliases and listings.
    fences: Fences,
    /// Rooms with too many forward extremities.
    crowded: Mutex<BTreeSet<Arc<str>>>,
    doors: Mutex<Doors>,
}

impl RoomServer {
    /// The writers of one server.
    pub fn new(parts: Parts) -> Arc<Self> {
        Arc::new(Self {
            journal: Journal::new(parts.log),
            reading: Reading::new(parts.views),
            accounts: parts.accounts,
            server_name: parts.server_name,
            key: parts.key,
            clock: parts.clock,
            entropy: parts.entropy,
            slots: Slots::default(),
            fences: Fences::default(),
            crowded: Mutex::default(),
            doors: Mutex::default(),
        })
    }

    /// This server's name.
    pub fn server_name(&self) -> &str {
        &self.server_name
    }

    /// Whether a user is one of this server's.
    pub fn is_local(&self, user_id: &str) -> bool {
        user_id.split_once(':').is_some_and(|(_, server)| server == self.server_name)
    }

    /// An ID for a room of a version in which the server chooses it.
    fn new_room_id(&self) -> String {
        format!("!{}:{}", self.opaque_id(), self.server_name())
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.reading.snapshot()
    }

    fn now(&self) -> TimestampMs {
        (self.clock)()
    }

    /// A random opaque identifier: 18 letters of the English alphabet (IDS-12).
    fn opaque_id(&self) -> String {
        let mut bytes = [0_u8; 18];
        (self.entropy)(&mut bytes);
        // 52 letters do not divide 256: the bias of a few values is harmless in an identifier that is no secret.
        bytes.iter().map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()])).collect()
    }

    /// Appends records, all or none.
    fn append_all(&self, inputs: &[Input]) -> Result<Appended, RoomError> {
        Ok(self.journal.append(inputs, self.now())?)
    }
}

const LETTERS: &[u8; 52] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
