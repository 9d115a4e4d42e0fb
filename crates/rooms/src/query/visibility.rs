//! Who may see an event: history visibility and membership by the state at the event (HIST-01 to HIST-05).

use engram_log::Offset;
use engram_matrix::history::HistoryVisibility;
use engram_views::{Read, ViewError};

use super::{StoredEvent, Verdict, malformed, membership, meta, pdu, state_after, state_before, state_entry};
use crate::rows;
use crate::state::Root;
use crate::tables::HEADS;
use crate::types::{Membership, RoomNumber};

/// How many of somebody's memberships are looked at for a join after an event. Who has left and come back more
/// often than this since is taken not to have been there: the mistake on the safe side.
const MEMBERSHIPS_MAX: usize = 64;

/// Whether a user may see an event, by the history visibility and their membership at the event (HIST-01 to HIST-05).
pub fn may_see(reader: &dyn Read, event: &StoredEvent, user_id: &str) -> Result<bool, ViewError> {
    if matches!(event.meta.verdict, Verdict::Rejected | Verdict::Outlier) {
        return Ok(false);
    }
    // A member sees everything from their time: no need to ask for the visibility.
    let after = membership_at(reader, event, user_id)?;
    if after == Some(Membership::Join) {
        return Ok(true);
    }
    let root = state_after(reader, event.room, event.offset, &event.meta)?;
    if state_allows(reader, event, user_id, root, after)? {
        return Ok(true);
    }
    let is_own_member = event.pdu.is_state_of("m.room.member", user_id);
    if !is_own_member && !event.pdu.is_state_of("m.room.history_visibility", "") {
        return Ok(false);
    }
    let root = state_before(reader, event.room, &event.meta)?;
    let before = member_in(reader, event.room, root, user_id)?.map(|(membership, _)| membership);
    state_allows(reader, event, user_id, root, before)
}

/// A user's membership at an event, what the event itself changes included; none if they never had one.
pub fn membership_at(reader: &dyn Read, event: &StoredEvent, user_id: &str) -> Result<Option<Membership>, ViewError> {
    let takes_effect = matches!(event.meta.verdict, Verdict::Accepted | Verdict::SoftFailed);
    let own_state = event.meta.is_state && takes_effect;
    let position = if own_state { event.offset } else { event.meta.state_before };
    // The state has not changed since, as for everything new: the table of current members has the answer.
    let head = reader.get(&HEADS, &event.room.0.to_be_bytes())?.ok_or(malformed(&HEADS, "a room has no head"))?;
    let is_current = rows::decode_head_latest_state(&head)? == Some(position);
    if is_current && (own_state || !event.meta.state_is_resolved) {
        return Ok(membership(reader, event.room, user_id)?.map(|(membership, _)| membership));
    }
    let root = state_after(reader, event.room, event.offset, &event.meta)?;
    Ok(member_in(reader, event.room, root, user_id)?.map(|(membership, _)| membership))
}

fn state_allows(
    reader: &dyn Read,
    event: &StoredEvent,
    user_id: &str,
    root: Root,
    at_event: Option<Membership>,
) -> Result<bool, ViewError> {
    if at_event == Some(Membership::Join) {
        return Ok(true);
    }
    let visibility = match state_entry(reader, root, "m.room.history_visibility", "")? {
        Some(offset) => HistoryVisibility::in_state(Some(&*pdu(reader, offset)?)),
        None => HistoryVisibility::in_state(None),
    };
    match visibility {
        HistoryVisibility::WorldReadable => Ok(true),
        HistoryVisibility::Shared => {
            has_joined_since(reader, event.room, user_id, event.meta.live_position(event.offset))
        }
        HistoryVisibility::Invited => Ok(at_event == Some(Membership::Invite)),
        HistoryVisibility::Joined => Ok(false),
    }
}

/// Whether somebody was a member at any time after a position: follows their memberships back from the current one.
fn has_joined_since(reader: &dyn Read, room: RoomNumber, user_id: &str, since: Offset) -> Result<bool, ViewError> {
    let mut next = membership(reader, room, user_id)?;
    for _ in 0..MEMBERSHIPS_MAX {
        let Some((membership, offset)) = next else { return Ok(false) };
        // What held until a position after the event held after the event.
        if membership == Membership::Join {
            return Ok(true);
        }
        if offset <= since {
            return Ok(false);
        }
        let Some(row) = meta(reader, room, offset)? else { return Ok(false) };
        next = member_in(reader, room, state_before(reader, room, &row)?, user_id)?;
    }
    Ok(false)
}

/// A user's membership in a state, and the event that made it.
fn member_in(
    reader: &dyn Read,
    room: RoomNumber,
    root: Root,
    user_id: &str,
) -> Result<Option<(Membership, Offset)>, ViewError> {
    let Some(offset) = state_entry(reader, root, "m.room.member", user_id)? else { return Ok(None) };
    if let Some(current) = membership(reader, room, user_id)?.filter(|(_, current)| *current == offset) {
        return Ok(Some(current));
    }
    let event = pdu(reader, offset)?;
    Ok(Membership::of(&event).map(|membership| (membership, offset)))
}
