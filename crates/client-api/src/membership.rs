//! What endpoints about users ask of the room server: who is where, and to show there what changed about them.

use std::sync::Arc;

use engram_http::writers::wait;
use engram_http::{ApiError, ApiResult};
use engram_log::Offset;
use engram_rooms::writer::{Change, MembershipRequest, ProfileField};
use engram_rooms::{Membership, query};
use engram_views::{Read, ViewError};

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

/// Shows what a user has changed of their profile in the rooms that they are in.
pub(crate) async fn show_profile(app: &Arc<App>, user_id: &str, field: ProfileField) -> ApiResult<()> {
    let (held, user_id) = (Arc::clone(app), user_id.to_owned());
    let last = app.writers().write(move || wait(held.rooms.show_profile(&user_id, field))).await?;
    app.applied(last).await
}

/// Takes closed accounts out of the rooms in which a crash has left them.
pub(crate) async fn finish_closing(app: &Arc<App>) -> ApiResult<()> {
    let views = Arc::clone(&app.views);
    let closed = app.writers().write(move || engram_users::query::closed(&*views.snapshot())).await?;
    for user_id in closed {
        leave_all(app, &user_id).await?;
    }
    Ok(())
}

/// Takes a user out of every room again if the account was closed meanwhile. A request that was let in before may have
/// joined a room after: to be asked once that is applied, since one of the two then sees the other.
pub(crate) async fn leave_if_closed(app: &Arc<App>, user_id: &str) -> ApiResult<()> {
    let account = engram_users::query::account(&*app.views.snapshot(), user_id)?;
    if account.is_some_and(|account| account.deactivated) {
        leave_all(app, user_id).await?;
    }
    Ok(())
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

/// Leaves a room on a user's behalf. One room that cannot be left must not stop the rest.
fn leave(app: &App, room_id: &str, user_id: &str) -> Offset {
    let request = MembershipRequest {
        room_id,
        sender: user_id,
        target: user_id,
        change: Change::Leave,
        reason: None,
        extra: None,
        transaction: None,
    };
    match wait(app.rooms.change_membership(&request)) {
        Ok(sent) => sent.offset,
        Err(error) => {
            tracing::warn!(room_id, user_id, %error, "cannot take a user out of a room");
            Offset::ZERO
        }
    }
}
