//! `GET /_matrix/client/v3/initialSync` (Syncing, deprecated) and `GET /_matrix/client/v3/rooms/{roomId}/initialSync`
//! (Room previews)

use std::sync::Arc;

use engram_http::json::RawJson;
use engram_http::path::{Path, Query};
use engram_http::readable::{readable, viewer};
use engram_http::{ApiResult, Authed, State};
use engram_rooms::query;
use engram_sync::legacy::{self, RoomRequest};
use serde::Deserialize;

use crate::app::App;

#[derive(Deserialize)]
pub(crate) struct Options {
    limit: Option<u64>,
    #[serde(default)]
    archived: bool,
}

pub(crate) fn everything(
    State(app): State<Arc<App>>,
    authed: Authed,
    Query(options): Query<Options>,
) -> ApiResult<RawJson<String>> {
    let (snapshot, viewer) = (app.views.snapshot(), viewer(&authed, app.now()));
    Ok(RawJson(legacy::everything(&snapshot, &app.live, viewer, options.limit, options.archived)?))
}

pub(crate) fn room(
    State(app): State<Arc<App>>,
    Path(room_id): Path<String>,
    authed: Authed,
    Query(options): Query<Options>,
) -> ApiResult<RawJson<String>> {
    let snapshot = app.views.snapshot();
    let readable = readable(&*snapshot, &room_id, &authed.user_id)?;
    let membership = query::membership(&*snapshot, readable.room.number, &authed.user_id)?;
    let request = RoomRequest {
        viewer: viewer(&authed, app.now()),
        room: readable.room.number,
        room_id: &room_id,
        state: readable.state,
        membership: membership.map(|(membership, _)| membership),
        limit: options.limit,
    };
    Ok(RawJson(legacy::room(&snapshot, &app.live, &request)?))
}
