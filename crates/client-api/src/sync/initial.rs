//! `GET /_matrix/client/v3/initialSync` (Syncing, deprecated) and `GET /_matrix/client/v3/rooms/{roomId}/initialSync` (Room
//! previews)

use std::sync::Arc;

use axum::extract::State;
use engram_rooms::query;
use engram_sync::legacy::{self, RoomRequest};
use serde::Deserialize;

use crate::app::App;
use crate::auth::Authed;
use crate::blocking::blocking;
use crate::error::ApiResult;
use crate::json::RawJson;
use crate::path::{Path, Query};
use crate::rooms::{readable, viewer};

#[derive(Deserialize)]
pub(crate) struct Options {
    limit: Option<u64>,
    #[serde(default)]
    archived: bool,
}

pub(crate) async fn everything(
    State(app): State<Arc<App>>,
    authed: Authed,
    Query(options): Query<Options>,
) -> ApiResult<RawJson<String>> {
    authed.no_guest()?;
    let body = blocking(move || {
        let snapshot = app.views.snapshot();
        legacy::everything(&snapshot, &app.live, viewer(&app, &authed), options.limit, options.archived)
    });
    Ok(RawJson(body.await?))
}

pub(crate) async fn room(
    State(app): State<Arc<App>>,
    Path(room_id): Path<String>,
    authed: Authed,
    Query(options): Query<Options>,
) -> ApiResult<RawJson<String>> {
    let body = blocking(move || -> ApiResult<String> {
        let snapshot = app.views.snapshot();
        let readable = readable(&*snapshot, &room_id, &authed.user_id)?;
        let membership = query::membership(&*snapshot, readable.room.number, &authed.user_id)?;
        let request = RoomRequest {
            viewer: viewer(&app, &authed),
            room: readable.room.number,
            room_id: &room_id,
            state: readable.state,
            membership: membership.map(|(membership, _)| membership),
            limit: options.limit,
        };
        Ok(legacy::room(&snapshot, &app.live, &request)?)
    });
    Ok(RawJson(body.await?))
}
