//! What a user may read of a room: its state now, its state as of when they left, or nothing (HIST-05, HIST-06).

use engram_log::{Offset, TimestampMs};
use engram_matrix::history::HistoryVisibility;
use engram_rooms::query::{self, RoomInfo, Viewer};
use engram_rooms::state::Root;
use engram_rooms::{Membership, RoomNumber};
use engram_sync::Token;
use engram_views::{Read, ViewError};

use crate::auth::Authed;
use crate::error::{ApiError, ApiResult};

/// A room with the state of it that somebody may read.
pub struct Readable {
    /// The room.
    pub room: RoomInfo,
    /// The state.
    pub state: Root,
    /// For those who have left: the position of their leaving.
    pub left_at: Option<Offset>,
    /// Whether they are or were a member, and not merely somebody who may look in.
    was_member: bool,
}

impl Readable {
    /// The state at an earlier position, if the user may read that too: the rules of then hold for it (CVE-2021-39164).
    pub fn state_at(&self, reader: &dyn Read, at: Offset, user_id: &str) -> ApiResult<Root> {
        let at = self.left_at.map_or(at, |left_at| at.min(left_at));
        let state = query::state_at(reader, self.room.number, at)?;
        let member = query::state_entry(reader, state, "m.room.member", user_id)?;
        let member = member.map(|offset| query::pdu(reader, offset)).transpose()?;
        let then = member.and_then(|member| Membership::of(&member));
        let allowed = match (visibility(reader, state)?, then) {
            (_, Some(Membership::Join)) | (HistoryVisibility::WorldReadable, _) => true,
            (HistoryVisibility::Shared, _) => self.was_member,
            (HistoryVisibility::Invited, then) => then == Some(Membership::Invite),
            (HistoryVisibility::Joined, _) => false,
        };
        if allowed { Ok(state) } else { Err(ApiError::forbidden("You may not see the room as it was then.")) }
    }
}

/// Whether a user has forgotten a room, which is then as if they had never been there.
pub fn has_forgotten(reader: &dyn Read, room: RoomNumber, user_id: &str) -> Result<bool, ViewError> {
    if !query::has_forgotten(reader, room, user_id)? {
        return Ok(false);
    }
    let state = query::head(reader, room)?.state;
    Ok(visibility(reader, state)? != HistoryVisibility::WorldReadable)
}

/// The state that a user may read, or a refusal. Rooms that are not known are refused like those the user is not in.
pub fn readable(reader: &dyn Read, room_id: &str, user_id: &str) -> ApiResult<Readable> {
    let refused = || ApiError::forbidden(format!("{user_id} is not in the room {room_id}"));
    let room = query::room(reader, room_id)?.ok_or_else(refused)?;
    let head = query::head(reader, room.number)?;
    let membership = query::membership(reader, room.number, user_id)?;
    let membership = if query::has_forgotten(reader, room.number, user_id)? { None } else { membership };
    match membership {
        Some((Membership::Join, _)) => {
            return Ok(Readable { room, state: head.state, left_at: None, was_member: true });
        }
        Some((Membership::Leave | Membership::Ban, event)) if was_joined_before(reader, &room, event, user_id)? => {
            let meta = query::meta(reader, room.number, event)?.ok_or_else(refused)?;
            let state = query::state_after(reader, room.number, event, &meta)?;
            return Ok(Readable { room, state, left_at: Some(event), was_member: true });
        }
        _ => {}
    }
    if visibility(reader, head.state)? == HistoryVisibility::WorldReadable {
        return Ok(Readable { room, state: head.state, left_at: None, was_member: false });
    }
    Err(refused())
}

/// For whom events are rendered.
pub fn viewer(authed: &Authed, now: TimestampMs) -> Viewer<'_> {
    engram_sync::viewer(&authed.user_id, Some(&authed.device_id), now.0)
}

/// A token that a client has from an earlier answer.
pub fn token(name: &str, text: &str) -> ApiResult<Token> {
    text.parse().map_err(|_| ApiError::invalid_param(format!("`{name}` is no token of this server.")))
}

fn was_joined_before(
    reader: &dyn Read,
    room: &RoomInfo,
    member_event: Offset,
    user_id: &str,
) -> Result<bool, ViewError> {
    let Some(meta) = query::meta(reader, room.number, member_event)? else { return Ok(false) };
    let before = query::state_before(reader, room.number, &meta)?;
    let Some(offset) = query::state_entry(reader, before, "m.room.member", user_id)? else { return Ok(false) };
    Ok(Membership::of(&*query::pdu(reader, offset)?) == Some(Membership::Join))
}

fn visibility(reader: &dyn Read, state: Root) -> Result<HistoryVisibility, ViewError> {
    let offset = query::state_entry(reader, state, "m.room.history_visibility", "")?;
    let event = offset.map(|offset| query::pdu(reader, offset)).transpose()?;
    Ok(HistoryVisibility::in_state(event.as_deref()))
}
