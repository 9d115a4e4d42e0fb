//! Reading rooms: from a snapshot of the views, or from inside a projector.

use std::sync::Arc;

use engram_log::Offset;
use engram_matrix::pdu::Pdu;
use engram_matrix::room_version::RoomVersion;
use engram_views::{Read, ViewError};

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
}

/// An event without successors.
#[derive(Clone, Debug)]
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
#[derive(Clone, Debug)]
pub struct EventMeta {
    /// The verdict.
    pub verdict: Verdict,
    /// Whether it has a state key.
    pub is_state: bool,
    /// Its depth.
    pub depth: u64,
    /// Position of the state event whose root (table `roots`) is the state before this event; zero for the empty state.
    pub state_before: Offset,
    /// The redaction that took its content away.
    pub redacted_by: Option<Offset>,
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
    /// The event as it was received; see [`render`] for what clients get to see.
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
}

/// A room by its ID.
pub fn room(_reader: &dyn Read, _room_id: &str) -> Result<Option<RoomInfo>, ViewError> {
    todo!()
}

/// A room by its number.
pub fn room_by_number(_reader: &dyn Read, _room: RoomNumber) -> Result<RoomInfo, ViewError> {
    todo!()
}

/// The room's head.
pub fn head(_reader: &dyn Read, _room: RoomNumber) -> Result<Head, ViewError> {
    todo!()
}

/// A user's current membership and the event that made it.
pub fn membership(
    _reader: &dyn Read,
    _room: RoomNumber,
    _user_id: &str,
) -> Result<Option<(Membership, Offset)>, ViewError> {
    todo!()
}

/// Every room in which a user has or had a membership.
pub fn rooms_of(_reader: &dyn Read, _user_id: &str) -> Result<Vec<UserRoom>, ViewError> {
    todo!()
}

/// The current members, by user ID; only those with one of the memberships, or all.
pub fn members(_reader: &dyn Read, _room: RoomNumber, _only: Option<&[Membership]>) -> Result<Vec<Member>, ViewError> {
    todo!()
}

/// Where an event is.
pub fn locate(_reader: &dyn Read, _event_id: &str) -> Result<Option<(RoomNumber, Offset)>, ViewError> {
    todo!()
}

/// The row of an event.
pub fn meta(_reader: &dyn Read, _room: RoomNumber, _offset: Offset) -> Result<Option<EventMeta>, ViewError> {
    todo!()
}

/// An event with its body.
pub fn event(_reader: &dyn Read, _room: RoomNumber, _offset: Offset) -> Result<Option<StoredEvent>, ViewError> {
    todo!()
}

/// Just the body of an event, parsed, by its offset.
pub fn pdu(_reader: &dyn Read, _offset: Offset) -> Result<Arc<Pdu>, ViewError> {
    todo!()
}

/// The state before an event.
pub fn state_before(_reader: &dyn Read, _room: RoomNumber, _meta: &EventMeta) -> Result<Root, ViewError> {
    todo!()
}

/// The state after an event.
pub fn state_after(
    _reader: &dyn Read,
    _room: RoomNumber,
    _offset: Offset,
    _meta: &EventMeta,
) -> Result<Root, ViewError> {
    todo!()
}

/// The room's current state as it was at a position: after the last event or change at or before it.
pub fn state_at(_reader: &dyn Read, _room: RoomNumber, _at: Offset) -> Result<Root, ViewError> {
    todo!()
}

/// The entry of a state.
pub fn state_entry(
    _reader: &dyn Read,
    _root: Root,
    _event_type: &str,
    _state_key: &str,
) -> Result<Option<Offset>, ViewError> {
    todo!()
}

/// Rows of shown events in `after < offset <= through`, newest first if `backwards`, at most `limit`.
pub fn timeline(
    _reader: &dyn Read,
    _room: RoomNumber,
    _after: Offset,
    _through: Offset,
    _backwards: bool,
    _limit: usize,
) -> Result<Vec<(Offset, EventMeta)>, ViewError> {
    todo!()
}

/// Whether a user may see an event, by the history visibility and their membership at the event (HIST-01 to HIST-05).
pub fn may_see(_reader: &dyn Read, _event: &StoredEvent, _user_id: &str) -> Result<bool, ViewError> {
    todo!()
}

/// The event in the client format, redactions applied, with `unsigned` for this viewer.
pub fn render(
    _reader: &dyn Read,
    _event: &StoredEvent,
    _viewer: Viewer<'_>,
    _with_room_id: bool,
) -> Result<String, ViewError> {
    todo!()
}

/// Stripped state of the room for an invite or a knock (SYNC-12, SYNC-13), as JSON objects.
pub fn stripped_state(
    _reader: &dyn Read,
    _room: RoomNumber,
    _user_id: &str,
    _member_event: Offset,
) -> Result<Vec<String>, ViewError> {
    todo!()
}

/// The room of a local alias.
pub fn alias(_reader: &dyn Read, _alias: &str) -> Result<Option<String>, ViewError> {
    todo!()
}

/// The local aliases of a room.
pub fn aliases(_reader: &dyn Read, _room_id: &str) -> Result<Vec<String>, ViewError> {
    todo!()
}

/// Whether the room is in the directory.
pub fn is_published(_reader: &dyn Read, _room_id: &str) -> Result<bool, ViewError> {
    todo!()
}

/// The event that a transaction of a device made.
pub fn transaction(
    _reader: &dyn Read,
    _user_id: &str,
    _device_id: &str,
    _transaction_id: &str,
) -> Result<Option<(RoomNumber, Offset)>, ViewError> {
    todo!()
}

/// Who made a local alias.
pub fn alias_creator(_reader: &dyn Read, _alias: &str) -> Result<Option<String>, ViewError> {
    todo!()
}
