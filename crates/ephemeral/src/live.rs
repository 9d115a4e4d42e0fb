//! Typing and presence, as far as this process has seen them.
//!
//! A function of the ephemeral lane since the start of the process; nothing of it is stored.

use std::sync::Arc;

use engram_log::{Offset, Record, TimestampMs};

/// Somebody's presence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    /// `online`, `unavailable` or `offline`.
    pub presence: String,
    /// Status message.
    pub status_msg: Option<String>,
    /// When they were last active.
    pub last_active: TimestampMs,
    /// Whether they are active now.
    pub currently_active: bool,
    /// The offset of the last change.
    pub changed: Offset,
}

/// Who types and who is there.
#[derive(Debug, Default)]
pub struct Live {}

impl Live {
    /// Nobody types, nobody is there.
    pub fn new() -> Arc<Self> {
        todo!()
    }

    /// Takes in records of the ephemeral lane, in order. Of other kinds it takes no notice.
    pub fn observe(&self, _ephemeral: &[Record]) {
        todo!()
    }

    /// Who types in a room, in byte order.
    pub fn typing(&self, _room_id: &str) -> Vec<String> {
        todo!()
    }

    /// The offset at which the set of typing users of a room last changed; zero if nobody has typed yet.
    pub fn typing_changed(&self, _room_id: &str) -> Offset {
        todo!()
    }

    /// Who types in a room, if that changed after `since` and not after `through`.
    pub fn typing_since(&self, _room_id: &str, _since: Offset, _through: Offset) -> Option<Vec<String>> {
        todo!()
    }

    /// Whether a user types in a room.
    pub fn is_typing(&self, _room_id: &str, _user_id: &str) -> bool {
        todo!()
    }

    /// A user's presence, if they have been seen.
    pub fn presence(&self, _user_id: &str) -> Option<Presence> {
        todo!()
    }

    /// The users whose presence changed after `since`, in the order of their last changes.
    pub fn presence_since(&self, _since: Offset) -> Vec<(String, Presence)> {
        todo!()
    }

    /// The (room, user) pairs whose typing has expired by `now`, in a stable order.
    pub fn typing_expired(&self, _now: TimestampMs) -> Vec<(String, String)> {
        todo!()
    }

    /// The earliest time at which somebody's typing expires.
    pub fn next_typing_expiry(&self) -> Option<TimestampMs> {
        todo!()
    }
}

/// Feeds a [`Live`]. To be registered before the observers that read it, so that they see what they are woken for.
#[derive(Debug)]
pub struct LiveObserver(pub Arc<Live>);

impl engram_views::Observer for LiveObserver {
    fn committed(
        &mut self,
        _snapshot: &engram_views::Snapshot,
        _deltas: &[(Offset, Box<dyn std::any::Any + Send>)],
        ephemeral: &[Record],
    ) {
        self.0.observe(ephemeral);
    }
}
