//! `POST /_matrix/client/v3/join/{roomIdOrAlias}`, `POST /_matrix/client/v3/rooms/{roomId}/join` (Joining rooms),
//! `POST /_matrix/client/v3/knock/{roomIdOrAlias}` (Knocking on rooms)

use std::sync::Arc;

use axum::response::IntoResponse;
use engram_http::json::{Json, OptionalBody};
use engram_http::path::Path;
use engram_http::readable::guests_may_join;
use engram_http::{ApiError, ApiResult, Authed, State};
use engram_rooms::query;
use engram_rooms::writer::{Change, MembershipRequest};
use engram_views::Read;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::upgrade::{carry_over, predecessor};
use crate::app::App;
use crate::membership::profile;

#[derive(Deserialize)]
pub(crate) struct Request {
    reason: Option<String>,
    /// What else the client wants its member event to say.
    #[serde(flatten)]
    extra: Map<String, Value>,
}

pub(crate) async fn post(
    State(app): State<Arc<App>>,
    Path(room): Path<String>,
    authed: Authed,
    OptionalBody(request): OptionalBody<Request>,
) -> ApiResult<impl IntoResponse> {
    enter(&app, &room, &authed, &request, Change::Join).await
}

pub(crate) async fn knock(
    State(app): State<Arc<App>>,
    Path(room): Path<String>,
    authed: Authed,
    OptionalBody(request): OptionalBody<Request>,
) -> ApiResult<impl IntoResponse> {
    enter(&app, &room, &authed, &request, Change::Knock).await
}

async fn enter(
    app: &Arc<App>,
    room: &str,
    authed: &Authed,
    request: &Request,
    change: Change,
) -> ApiResult<impl IntoResponse + use<>> {
    let snapshot = app.views.snapshot();
    let room_id = find(&*snapshot, room)?;
    if authed.guest && !guests_may_join(&*snapshot, &room_id)? {
        return Err(ApiError::guest_access_forbidden("This room does not admit guests."));
    }
    let mut extra = request.extra.clone();
    // What an identity server signed is no content of a member event as it stands.
    extra.remove("third_party_signed");
    extra.remove("join_authorised_via_users_server");
    let sent = app.rooms.change_membership(&MembershipRequest {
        room_id: &room_id,
        sender: &authed.user_id,
        target: &authed.user_id,
        change,
        reason: request.reason.as_deref(),
        profile: profile(&*snapshot, &authed.user_id)?,
        extra: Some(extra),
        transaction: None,
    })?;
    let predecessor = if change == Change::Join { predecessor(&*snapshot, &room_id)? } else { None };
    drop(snapshot);
    app.applied(sent.offset).await?;
    if let Some(old) = predecessor {
        carry_over(app, &authed.user_id, &old, &room_id).await?;
    }
    Ok(Json(json!({ "room_id": room_id })))
}

/// The room of an ID or a local alias, if this server is in it.
fn find(reader: &dyn Read, room: &str) -> ApiResult<String> {
    let unknown =
        || ApiError::not_found(format!("This server knows no room {room}, and of no other server that does."));
    let room_id = match room.as_bytes().first() {
        Some(b'#') => query::alias(reader, room)?.ok_or_else(unknown)?,
        Some(b'!') => room.to_owned(),
        _ => return Err(ApiError::invalid_param(format!("{room:?} is neither a room ID nor an alias."))),
    };
    query::room(reader, &room_id)?.ok_or_else(unknown)?;
    Ok(room_id)
}
