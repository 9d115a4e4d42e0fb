//! `POST /_matrix/client/v3/join/{roomIdOrAlias}`, `POST /_matrix/client/v3/rooms/{roomId}/join` (Joining rooms),
//! `POST /_matrix/client/v3/knock/{roomIdOrAlias}` (Knocking on rooms)

use std::sync::Arc;

use axum::response::IntoResponse;
use engram_http::json::{Json, OptionalBody};
use engram_http::path::Path;
use engram_http::{ApiError, ApiResult, Authed, State};
use engram_rooms::query;
use engram_rooms::writer::{Change, MembershipRequest};
use engram_views::Read;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::send::settled;
use crate::app::App;
use crate::membership::leave_if_closed;

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
    let room_id = find(&*app.views.snapshot(), room)?;
    let request = MembershipRequest {
        room_id: &room_id,
        sender: &authed.user_id,
        target: &authed.user_id,
        change,
        reason: request.reason.as_deref(),
        extra: Some(request.extra.clone()),
        transaction: None,
    };
    let sent = app.writers.confirmed(app.rooms.change_membership(&request)).await??;
    settled(app, &authed.user_id, &room_id, sent).await?;
    leave_if_closed(app, &authed.user_id).await?;
    Ok(Json(json!({ "room_id": room_id })))
}

/// The room of an ID or a local alias. Of an ID the room server says whether there is anything to come into.
fn find(reader: &dyn Read, room: &str) -> ApiResult<String> {
    let unknown =
        || ApiError::not_found(format!("This server knows no room {room}, and of no other server that does."));
    match room.as_bytes().first() {
        Some(b'#') => query::alias(reader, room)?.ok_or_else(unknown),
        Some(b'!') => Ok(room.to_owned()),
        _ => Err(ApiError::invalid_param(format!("{room:?} is neither a room ID nor an alias."))),
    }
}
