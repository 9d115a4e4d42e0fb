//! What decisions can be about. Those that name the same subject are taken in turn.

use engram_base::Key;

/// How far somebody has read in a room.
pub(super) fn marks(room_id: &str, user_id: &str) -> Key {
    Key::new().byte(0).text(room_id).text(user_id)
}

/// Whether somebody types in a room.
pub(super) fn typing(room_id: &str, user_id: &str) -> Key {
    Key::new().byte(1).text(room_id).text(user_id)
}

/// What is told of somebody's presence.
pub(super) fn presence(user_id: &str) -> Key {
    Key::new().byte(2).text(user_id)
}
