//! Reading rooms: from a snapshot of the views, or from inside a projector.
//!
//! The values are here; the questions are in files of one idea each: `rooms` for a room and its head, `members`,
//! `events`, the `timeline` of those that are shown and `arrivals` of all, `states`, who may see what in `visibility`,
//! the client format in `render`, and the `directory` of aliases and published rooms.

mod arrivals;
mod directory;
mod events;
mod graph;
mod history;
mod members;
mod render;
mod resolutions;
mod rooms;
mod servers;
mod states;
mod timeline;
mod times;
mod visibility;

use std::sync::Arc;

use engram_log::Offset;
use engram_matrix::pdu::Pdu;
use engram_matrix::room_version::RoomVersion;
use engram_views::{Read, ViewError};

pub use self::arrivals::arrivals;
pub use self::directory::{alias, alias_creator, aliases, is_published, published};
pub(crate) use self::events::parse;
pub use self::events::{
    TransactionScope, event, event_id, is_redacted, locate, meta, pdu, placed, reason, transaction,
};
pub use self::graph::{
    Events, StateBefore, Unknown, auth_chain, auth_difference, backfill_page, is_placed, missing_events,
    state_ids_before, unknown,
};
pub use self::history::{Missing, Position, backward_extremities, has_past, history};
pub use self::members::{has_forgotten, joined_rooms, members, membership, rooms_of};
pub use self::render::{presented, presented_at, presented_to, redacted, render, stripped_state};
pub use self::resolutions::{put_off_count, unresolved, unresolved_count};
pub(crate) use self::rooms::malformed;
pub use self::rooms::{head, rejudged, room, room_by_number, rooms};
pub use self::servers::ServerSight;
pub(crate) use self::states::{resolved_root_key, root_at};
pub use self::states::{state_after, state_at, state_before, state_digest, state_entry};
pub use self::timeline::timeline;
pub use self::times::by_time;
pub use self::visibility::{may_see, membership_at};
use crate::state::Root;
use crate::types::{Membership, RoomNumber};

/// What never changes about a room.
#[derive(Clone, Debug)]
pub struct RoomInfo {
    /// Its number.
    pub number: RoomNumber,
    /// Its ID.
    pub room_id: String,
    /// Its version.
    pub version: &'static RoomVersion,
    /// Its create event.
    pub create: Offset,
}

/// The room's present: where the next event goes.
#[derive(Clone, Debug)]
pub struct Head {
    /// Current state.
    pub state: Root,
    /// The last event that is shown to clients.
    pub latest: Offset,
    /// The last state event or other change of the current state.
    pub latest_state: Offset,
    /// Forward extremities: (offset, event ID, depth).
    pub extremities: Vec<Extremity>,
    /// Number of joined members.
    pub joined: u64,
    /// Number of invited members.
    pub invited: u64,
    /// The events that the next one follows. The current state is that after these together: of the extremities as far
    /// as one event names them, unless [`Head::put_off`] says otherwise.
    pub next: Vec<Extremity>,
    /// What the room owes for resolutions.
    pub owed: Owed,
    /// Events that have come since the current state is put off: it waits until the room has paid for it.
    pub put_off: u64,
}

/// What a room owes for resolutions, in units: see [`crate::limits::UNITS_OWED_MAX`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owed {
    /// For its current state.
    pub current: u64,
    /// For events that join branches.
    pub joins: u64,
}

/// An event without successors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extremity {
    /// Its position.
    pub offset: Offset,
    /// Its ID.
    pub event_id: String,
    /// Its depth.
    pub depth: u64,
}

/// What the projector decided about an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Part of the room, shown.
    Accepted,
    /// Part of the graph, not shown.
    SoftFailed,
    /// Not allowed by the auth rules: never shown, never state.
    Rejected,
    /// Known, with no place in the order.
    Outlier,
}

/// The row of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventMeta {
    /// The verdict.
    pub verdict: Verdict,
    /// Whether it has a state key.
    pub is_state: bool,
    /// Its depth.
    pub depth: u64,
    /// Position of the event whose root (table `roots`) is the state before this event; zero for the empty state.
    pub state_before: Offset,
    /// The state before this event was resolved from several branches; `state_before` is then its own position.
    pub state_is_resolved: bool,
    /// The redaction that took its content away.
    pub redacted_by: Option<Offset>,
    /// Not shown: a redaction whose target is not known or not the sender's to redact (AUTH-19), or an event that only
    /// joins branches.
    pub is_withheld: bool,
    /// Where the event is in the order of the room.
    pub place: Place,
}

/// Where an event is in the order of its room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the live order, at its offset.
    Live,
    /// In the past that was fetched: before the live event at the anchor, by depth. Without an anchor no event that
    /// follows it is known.
    Past(Option<Offset>),
    /// Nowhere: it is known as part of a state, or what comes before it is not known.
    Apart,
}

impl EventMeta {
    /// Whether clients get to see the event.
    pub fn is_shown(&self) -> bool {
        self.verdict == Verdict::Accepted && !self.is_withheld
    }

    /// Whether the event is part of the live timeline that clients see.
    pub fn is_shown_live(&self) -> bool {
        self.is_shown() && self.place == Place::Live
    }

    /// The position in the live order that stands for that of the event at `offset`.
    pub fn live_position(&self, offset: Offset) -> Offset {
        match self.place {
            Place::Past(Some(anchor)) => anchor,
            _ => offset,
        }
    }
}

/// An event with its row.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    /// The room.
    pub room: RoomNumber,
    /// Its position.
    pub offset: Offset,
    /// The row.
    pub meta: EventMeta,
    /// The event as it was received; see [`presented`] for what may be shown of it.
    pub pdu: Arc<Pdu>,
    /// The transaction by which a local device sent it: (user, device, transaction ID).
    pub transaction: Option<(String, String, String)>,
}

/// A user's relation to a room.
#[derive(Clone, Debug)]
pub struct UserRoom {
    /// The room.
    pub room: RoomNumber,
    /// The membership.
    pub membership: Membership,
    /// The member event.
    pub event: Offset,
    /// Whether the user has forgotten the room since.
    pub forgotten: bool,
}

/// A member of a room.
#[derive(Clone, Debug)]
pub struct Member {
    /// Who.
    pub user_id: String,
    /// The membership.
    pub membership: Membership,
    /// The member event.
    pub event: Offset,
}

/// For whom an event is rendered.
#[derive(Clone, Copy, Debug)]
pub struct Viewer<'a> {
    /// The user.
    pub user_id: &'a str,
    /// The device, which gets to see its own transaction IDs.
    pub device_id: Option<&'a str>,
    /// The time, for `unsigned.age`.
    pub now_ms: u64,
    /// Whether a sender has asked for erasure.
    pub is_erased: IsErased,
}

/// Whether the owner of an account has closed it and asked for erasure. Accounts are another part's: who renders brings
/// the answer.
pub type IsErased = fn(&dyn Read, &str) -> Result<bool, ViewError>;
