//! `/_matrix/client/v3/directory/room/{roomAlias}`, `/_matrix/client/v3/directory/list/room/{roomId}`,
//! `GET /_matrix/client/v3/rooms/{roomId}/aliases` (Room aliases, Published room directory)

use std::sync::Arc;

use axum::response::IntoResponse;
use engram_http::json::{Body, Empty, Json, OptionalBody};
use engram_http::path::Path;
use engram_http::readable::readable;
use engram_http::{ApiError, ApiResult, Authed, State};
use engram_rooms::query;
use engram_rooms::writer::RoomError;
use serde::Deserialize;
use serde_json::json;

use crate::app::App;

#[derive(Deserialize)]
pub(crate) struct Target {
    room_id: String,
}

#[derive(Deserialize)]
pub(crate) struct Listing {
    #[serde(default)]
    visibility: Visibility,
}

#[derive(Deserialize, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Visibility {
    #[default]
    Public,
    Private,
}

type AppState = State<Arc<App>>;

pub(crate) fn resolve(State(app): AppState, Path(alias): Path<String>) -> ApiResult<impl IntoResponse> {
    check_alias(&alias)?;
    let room_id = query::alias(&*app.views.snapshot(), &alias)?;
    let room_id = room_id.ok_or_else(|| ApiError::not_found(format!("There is no room alias {alias}.")))?;
    Ok(Json(json!({ "room_id": room_id, "servers": [app.config.server_name] })))
}

pub(crate) async fn create(
    State(app): AppState,
    Path(alias): Path<String>,
    authed: Authed,
    Body(Target { room_id }): Body<Target>,
) -> ApiResult<Empty> {
    check_alias(&alias)?;
    match app.writers.confirmed(app.rooms.create_alias(&alias, &room_id, &authed.user_id)).await? {
        Ok(offset) => app.applied(offset).await?,
        Err(RoomError::AliasInUse(alias)) => {
            let why = format!("The alias {alias} is already taken.");
            return Err(ApiError::new(axum::http::StatusCode::CONFLICT, "M_UNKNOWN", why));
        }
        Err(error) => return Err(error.into()),
    }
    Ok(Empty)
}

pub(crate) async fn remove(State(app): AppState, Path(alias): Path<String>, authed: Authed) -> ApiResult<Empty> {
    check_alias(&alias)?;
    let removed = app.rooms.remove_alias(&alias, &authed.user_id, authed.admin);
    let offset = app.writers.confirmed(removed).await??;
    app.applied(offset).await?;
    Ok(Empty)
}

pub(crate) fn aliases(State(app): AppState, Path(room): Path<String>, authed: Authed) -> ApiResult<impl IntoResponse> {
    let snapshot = app.views.snapshot();
    let readable = readable(&*snapshot, &room, &authed.user_id)?;
    if readable.left_at.is_some() {
        return Err(ApiError::forbidden(format!("{} is not in the room {room}", authed.user_id)));
    }
    Ok(Json(json!({ "aliases": query::aliases(&*snapshot, &room)? })))
}

pub(crate) fn is_published(State(app): AppState, Path(room): Path<String>) -> ApiResult<impl IntoResponse> {
    let snapshot = app.views.snapshot();
    if query::room(&*snapshot, &room)?.is_none() {
        return Err(ApiError::not_found(format!("There is no room {room}.")));
    }
    let visibility = if query::is_published(&*snapshot, &room)? { "public" } else { "private" };
    Ok(Json(json!({ "visibility": visibility })))
}

pub(crate) async fn publish(
    State(app): AppState,
    Path(room): Path<String>,
    authed: Authed,
    OptionalBody(listing): OptionalBody<Listing>,
) -> ApiResult<Empty> {
    let published = listing.visibility == Visibility::Public;
    let set = app.rooms.publish(&room, &authed.user_id, published, authed.admin);
    let offset = app.writers.confirmed(set).await??;
    app.applied(offset).await?;
    Ok(Empty)
}

fn check_alias(alias: &str) -> ApiResult<()> {
    if engram_matrix::ids::is_room_alias(alias) {
        return Ok(());
    }
    Err(ApiError::invalid_param(format!("{alias:?} is not a room alias.")))
}
