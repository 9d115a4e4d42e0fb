//! What a /sync request leaves behind: its to-device messages were received, its user is there.

use std::sync::Arc;

use engram_ephemeral::Ephemeral;
use engram_log::Offset;
use engram_sync::{Effects, Presence};
use engram_users::Users;
use tokio::sync::Semaphore;

use crate::limits;

/// Records the effects through the writers. None is promised to a client: one that fails is only a hint that is missing.
pub struct SyncEffects {
    /// The writer of devices.
    pub users: Arc<Users>,
    /// The writer of presence.
    pub ephemeral: Arc<Ephemeral>,
    /// Hints of presence that may still wait for the disk.
    hints: Semaphore,
}

impl SyncEffects {
    /// Effects through these writers.
    pub fn new(users: Arc<Users>, ephemeral: Arc<Ephemeral>) -> Self {
        Self { users, ephemeral, hints: Semaphore::new(limits::PRESENCE_HINTS_MAX) }
    }
}

impl Effects for SyncEffects {
    fn to_device_received(&self, user_id: &str, device_id: &str, through: Offset) {
        if let Err(error) = self.users.acknowledge_to_device(user_id, device_id, through) {
            tracing::info!(user_id, device_id, %error, "received to-device messages are kept for now");
        }
    }

    fn present(&self, user_id: &str, presence: Presence) {
        let word = match presence {
            Presence::Online => "online",
            Presence::Unavailable => "unavailable",
            Presence::Offline => return,
        };
        // Called for every /sync: while the disk stands still these must not take all threads that may block.
        let Ok(_hint) = self.hints.try_acquire() else { return };
        if let Err(error) = self.ephemeral.set_presence(user_id, word, None) {
            // Once for every /sync while the disk is full: no message for operators.
            tracing::debug!(user_id, %error, "the presence of a user is not shown");
        }
    }
}
