//! What endpoints about users ask of the room server: who is where, and to show there what changed about them.

use std::sync::Arc;

use engram_http::{ApiError, ApiResult};
use engram_log::Offset;
use engram_rooms::writer::{Change, MembershipRequest, Profile};
use engram_rooms::{Membership, query};
use engram_views::{Read, ViewError};
use serde_json::value::RawValue;

use crate::app::App;

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
    let last = app
        .writers()
        .write(move || {
            let profile = profile(&*held.views.snapshot(), &user_id)?;
            held.rooms.show_profile(&user_id, &profile).map_err(ApiError::from)
        })
        .await?;
    app.applied(last).await
}

/// Takes a user out of every room: the account is closed.
pub(crate) async fn leave_all(app: &Arc<App>, user_id: &str) -> ApiResult<()> {
    let (held, user_id) = (Arc::clone(app), user_id.to_owned());
    let last = app
        .writers()
        .write(move || -> ApiResult<Offset> {
            let snapshot = held.views.snapshot();
            let mut last = Offset::ZERO;
            for user_room in query::rooms_of(&*snapshot, &user_id)? {
                if matches!(user_room.membership, Membership::Join | Membership::Invite | Membership::Knock) {
                    let room = query::room_by_number(&*snapshot, user_room.room)?;
                    last = last.max(leave(&held, &room.room_id, &user_id));
                }
            }
            Ok(last)
        })
        .await?;
    app.applied(last).await
}

/// Takes this server's guests out of a room that admits them no longer.
pub(crate) async fn dismiss_guests(app: &Arc<App>, room_id: &str) -> ApiResult<()> {
    let (held, room_id) = (Arc::clone(app), room_id.to_owned());
    let last = app
        .writers()
        .write(move || -> ApiResult<Offset> {
            let snapshot = held.views.snapshot();
            let mut last = Offset::ZERO;
            let Some(room) = query::room(&*snapshot, &room_id)? else { return Ok(last) };
            for member in query::members(&*snapshot, room.number, Some(&[Membership::Join]))? {
                let account = engram_users::query::account(&*snapshot, &member.user_id)?;
                if account.is_some_and(|account| account.guest) {
                    last = last.max(leave(&held, &room_id, &member.user_id));
                }
            }
            Ok(last)
        })
        .await?;
    app.applied(last).await
}

/// Leaves a room on a user's behalf. One room that cannot be left must not stop the rest.
fn leave(app: &App, room_id: &str, user_id: &str) -> Offset {
    let left = app.rooms.change_membership(&MembershipRequest {
        room_id,
        sender: user_id,
        target: user_id,
        change: Change::Leave,
        reason: None,
        profile: Profile::default(),
        extra: None,
        transaction: None,
    });
    match left {
        Ok(sent) => sent.offset,
        Err(error) => {
            tracing::warn!(room_id, user_id, %error, "cannot take a user out of a room");
            Offset::ZERO
        }
    }
}
