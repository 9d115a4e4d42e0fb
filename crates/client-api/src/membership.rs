//! What endpoints about users ask of the room server: who is where, and to show there what changed about them.

use std::sync::Arc;

use engram_log::Offset;
use engram_rooms::writer::{Change, MembershipRequest, Profile};
use engram_rooms::{Membership, query};
use engram_views::{Read, ViewError};
use serde_json::value::RawValue;

use crate::app::App;
use crate::blocking::blocking;
use crate::error::{ApiError, ApiResult};

/// Whether a user is joined to a room.
pub(crate) fn is_joined(reader: &dyn Read, room_id: &str, user_id: &str) -> Result<bool, ViewError> {
    let Some(room) = query::room(reader, room_id)? else { return Ok(false) };
    let membership = query::membership(reader, room.number, user_id)?;
    Ok(matches!(membership, Some((Membership::Join, _))))
}

/// Refuses whoever is not joined to the room, or does not know that there is one.
pub(crate) fn must_be_joined(reader: &dyn Read, room_id: &str, user_id: &str) -> ApiResult<()> {
    if is_joined(reader, room_id, user_id)? { Ok(()) } else { Err(ApiError::forbidden("You are not in this room.")) }
}

/// Whether two users are joined to a common room.
pub(crate) fn share_a_room(reader: &dyn Read, one: &str, other: &str) -> Result<bool, ViewError> {
    for room in query::rooms_of(reader, one)?.iter().filter(|room| room.membership == Membership::Join) {
        if matches!(query::membership(reader, room.room, other)?, Some((Membership::Join, _))) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A user's profile as their member events carry it.
pub(crate) fn profile(reader: &dyn Read, user_id: &str) -> Result<Profile, ViewError> {
    let field = |name: &str| -> Result<Option<String>, ViewError> {
        let value = engram_users::query::profile_field(reader, user_id, name)?;
        Ok(value.and_then(|value: Box<RawValue>| serde_json::from_str(value.get()).ok()))
    };
    Ok(Profile { displayname: field("displayname")?, avatar_url: field("avatar_url")? })
}

/// Shows a user's new display name and avatar in the rooms that they are in.
pub(crate) async fn show_profile(app: &Arc<App>, user_id: &str) -> ApiResult<()> {
    let (held, user_id) = (Arc::clone(app), user_id.to_owned());
    let last = blocking(move || {
        let profile = profile(&*held.views.snapshot(), &user_id)?;
        held.rooms.show_profile(&user_id, &profile).map_err(ApiError::from)
    })
    .await?;
    Ok(app.views.wait_applied(last).await?)
}

/// Takes a user out of every room: the account is closed.
pub(crate) async fn leave_all(app: &Arc<App>, user_id: &str) -> ApiResult<()> {
    let (held, user_id) = (Arc::clone(app), user_id.to_owned());
    let last = blocking(move || -> ApiResult<Offset> {
        let snapshot = held.views.snapshot();
        let mut last = Offset::ZERO;
        for user_room in query::rooms_of(&*snapshot, &user_id)? {
            if !matches!(user_room.membership, Membership::Join | Membership::Invite | Membership::Knock) {
                continue;
            }
            let room = query::room_by_number(&*snapshot, user_room.room)?;
            let leave = MembershipRequest {
                room_id: &room.room_id,
                sender: &user_id,
                target: &user_id,
                change: Change::Leave,
                reason: None,
                profile: Profile::default(),
                extra: None,
                transaction: None,
            };
            match held.rooms.change_membership(&leave) {
                Ok(sent) => last = last.max(sent.offset),
                // One room that cannot be left must not keep the account in the others.
                Err(error) => tracing::warn!(room = room.room_id, %error, "cannot leave a room for a closed account"),
            }
        }
        Ok(last)
    })
    .await?;
    Ok(app.views.wait_applied(last).await?)
}
