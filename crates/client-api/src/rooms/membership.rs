//! `POST /_matrix/client/v3/rooms/{roomId}/{invite,leave,kick,ban,unban,forget}` (Room membership)

use std::sync::Arc;

use engram_http::json::{Body, Empty, OptionalBody};
use engram_http::path::Path;
use engram_http::{ApiError, ApiResult, Authed, State};
use engram_rooms::writer::{Change, MembershipRequest};
use serde::Deserialize;

use super::send::settled;
use crate::app::App;

/// Whom it concerns, and why.
#[derive(Deserialize)]
pub(crate) struct About {
    user_id: String,
    reason: Option<String>,
}

/// An invite may be meant for somebody of whom only an e-mail address is known.
#[derive(Deserialize)]
pub(crate) struct Invite {
    user_id: Option<String>,
    medium: Option<String>,
    reason: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Reason {
    reason: Option<String>,
}

type AppState = State<Arc<App>>;

pub(crate) async fn invite(
    State(app): AppState,
    Path(room): Path<String>,
    authed: Authed,
    Body(invite): Body<Invite>,
) -> ApiResult<Empty> {
    let Some(user_id) = invite.user_id else {
        if invite.medium.is_some() {
            let why = "Third-party invites need an identity server, which this server does not talk to.";
            return Err(ApiError::new(axum::http::StatusCode::FORBIDDEN, "M_THREEPID_DENIED", why));
        }
        return Err(ApiError::missing_param("`user_id` is missing."));
    };
    change(&app, &room, &authed, &user_id, Change::Invite, invite.reason.as_deref()).await
}

pub(crate) async fn leave(
    State(app): AppState,
    Path(room): Path<String>,
    authed: Authed,
    OptionalBody(Reason { reason }): OptionalBody<Reason>,
) -> ApiResult<Empty> {
    change(&app, &room, &authed, &authed.user_id, Change::Leave, reason.as_deref()).await
}

pub(crate) async fn kick(
    State(app): AppState,
    Path(room): Path<String>,
    authed: Authed,
    Body(About { user_id, reason }): Body<About>,
) -> ApiResult<Empty> {
    change(&app, &room, &authed, &user_id, Change::Kick, reason.as_deref()).await
}

pub(crate) async fn ban(
    State(app): AppState,
    Path(room): Path<String>,
    authed: Authed,
    Body(About { user_id, reason }): Body<About>,
) -> ApiResult<Empty> {
    change(&app, &room, &authed, &user_id, Change::Ban, reason.as_deref()).await
}

pub(crate) async fn unban(
    State(app): AppState,
    Path(room): Path<String>,
    authed: Authed,
    Body(About { user_id, reason }): Body<About>,
) -> ApiResult<Empty> {
    change(&app, &room, &authed, &user_id, Change::Unban, reason.as_deref()).await
}

pub(crate) async fn forget(State(app): AppState, Path(room): Path<String>, authed: Authed) -> ApiResult<Empty> {
    let offset = app.writers.confirmed(app.rooms.forget(&room, &authed.user_id)).await??;
    app.applied(offset).await?;
    Ok(Empty)
}

async fn change(
    app: &Arc<App>,
    room_id: &str,
    authed: &Authed,
    target: &str,
    change: Change,
    reason: Option<&str>,
) -> ApiResult<Empty> {
    let request =
        MembershipRequest { room_id, sender: &authed.user_id, target, change, reason, extra: None, transaction: None };
    let sent = app.writers.confirmed(app.rooms.change_membership(&request)).await??;
    settled(app, &authed.user_id, room_id, sent).await?;
    Ok(Empty)
}
