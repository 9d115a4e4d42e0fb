//! What one record changed in a room: the output stream that everything downstream consumes.

use std::sync::Arc;

use engram_log::Offset;
use engram_matrix::pdu::Pdu;

use crate::types::{Membership, RoomNumber};

/// A change that a projector has made and committed. Emitted live only.
#[derive(Clone, Debug)]
pub enum RoomDelta {
    /// An event was accepted into the live order of a room and is to be shown.
    Event {
        /// The room.
        room: RoomNumber,
        /// Its ID.
        room_id: Arc<str>,
        /// The event's position.
        offset: Offset,
        /// The event.
        pdu: Arc<Pdu>,
        /// Set if the event changed somebody's membership: (user, before, after).
        membership: Option<(Arc<str>, Option<Membership>, Membership)>,
    },
    /// The room's current state changed in another way than by the event shown: state resolution, a soft-failed event.
    State {
        /// The room.
        room: RoomNumber,
        /// Its ID.
        room_id: Arc<str>,
        /// The position at which it changed.
        offset: Offset,
    },
    /// A user forgot a room.
    Forgotten {
        /// The user.
        user_id: Arc<str>,
        /// The room.
        room: RoomNumber,
    },
}

/// A room owes so much for resolutions that one is not made now. Emitted live only.
#[derive(Clone, Debug)]
pub struct Postponed {
    /// Its ID.
    pub room_id: Arc<str>,
    /// The event with which that begins, for the current state; or the event that joins branches.
    pub offset: Offset,
    /// What the room owes, in units.
    pub owed: u64,
}

/// The current state stands for the state before an event that joins branches. Emitted live only.
#[derive(Clone, Debug)]
pub struct StoodFor {
    /// The room's ID.
    pub room_id: Arc<str>,
    /// The event.
    pub event_id: Arc<str>,
    /// What the room owes, in units.
    pub owed: u64,
}

/// A room has more forward extremities than is good for it. Emitted live only, with every event that leaves it so.
#[derive(Clone, Debug)]
pub struct Crowded {
    /// Its ID.
    pub room_id: Arc<str>,
}
