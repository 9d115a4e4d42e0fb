//! What a /sync request leaves behind: its to-device messages were received.

use std::sync::Arc;

use engram_log::Offset;
use engram_sync::Effects;
use engram_users::Users;

/// Records the effects through the writers. None is promised to a client: one that fails is only a hint that is
/// missing.
pub struct SyncEffects {
    /// The writer of devices.
    pub users: Arc<Users>,
}

impl Effects for SyncEffects {
    fn to_device_received(&self, user_id: &str, device_id: &str, through: Offset) {
        if let Err(error) = self.users.acknowledge_to_device(user_id, device_id, through) {
            tracing::info!(user_id, device_id, %error, "received to-device messages are kept for now");
        }
    }
}
