//! What one record changed in a room: the output stream that everything downstream consumes.

use std::sync::Arc;

use engram_log::Offset;
use engram_matrix::pdu::Pdu;

use crate::types::{Membership, RoomNumber};

/// The view while the projector applies a record to it, and tells of it.
pub(crate) type Apply<'a> = engram_views::Apply<'a, RoomDelta>;

/// A change of somebody's membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberChange {
    /// Whose.
    pub user_id: Arc<str>,
    /// What it was; none for whoever had never been there.
    pub before: Option<Membership>,
    /// What it is, and by which event; none for whoever is as if they had never been there.
    pub after: Option<(Membership, Offset)>,
}

impl MemberChange {
    /// What the membership is.
    pub fn membership(&self) -> Option<Membership> {
        self.after.map(|(membership, _)| membership)
    }
}

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
        /// Set if the event changed somebody's membership.
        membership: Option<MemberChange>,
    },
    /// The room's current state changed in another way than by the event shown: state resolution, a soft-failed event.
    State {
        /// The room.
        room: RoomNumber,
        /// Its ID.
        room_id: Arc<str>,
        /// The position at which it changed.
        offset: Offset,
        /// The memberships that changed with it, but for the one that the event shown is about.
        memberships: Vec<MemberChange>,
    },
    /// A user forgot a room.
    Forgotten {
        /// The user.
        user_id: Arc<str>,
        /// The room.
        room: RoomNumber,
    },
    /// A room has more forward extremities than is good for it. Comes with every event that leaves it so.
    Crowded {
        /// Its ID.
        room_id: Arc<str>,
    },
    /// The room owes so much for resolutions that its current state is put off from this event on.
    Postponed {
        /// Its ID.
        room_id: Arc<str>,
        /// What it owes, in units.
        owed: u64,
    },
    /// The current state stands for the state before an event that joins branches.
    StoodFor {
        /// The room's ID.
        room_id: Arc<str>,
        /// The event.
        event_id: Arc<str>,
        /// What the room owes, in units.
        owed: u64,
    },
}
