//! `GET /_matrix/client/v1/rooms/{roomId}/timestamp_to_event` (Getting events for a room)

use std::sync::Arc;

use engram_http::json::Json;
use engram_http::path::{Path, Query};
use engram_http::readable::viewer;
use engram_http::{ApiError, ApiResult, Authed, State};
use engram_rooms::query;
use engram_sync::messages::{self, HistoryError};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::App;

#[derive(Deserialize)]
pub(crate) struct Options {
    ts: u64,
    dir: Direction,
}

#[derive(Clone, Copy, Deserialize)]
enum Direction {
    #[serde(rename = "f")]
    Forwards,
    #[serde(rename = "b")]
    Backwards,
}

pub(crate) fn get(
    State(app): State<Arc<App>>,
    Path(room): Path<String>,
    authed: Authed,
    Query(Options { ts, dir }): Query<Options>,
) -> ApiResult<Json<Value>> {
    let backwards = matches!(dir, Direction::Backwards);
    let snapshot = app.views.snapshot();
    let room = query::room(&*snapshot, &room)?.ok_or(HistoryError::Forbidden)?;
    match messages::closest(&*snapshot, viewer(&authed, app.now()), room.number, ts, backwards) {
        Ok((event_id, origin_server_ts)) => {
            Ok(Json(json!({ "event_id": event_id, "origin_server_ts": origin_server_ts })))
        }
        Err(HistoryError::NotFound) => {
            let direction = if backwards { "backward" } else { "forward" };
            Err(ApiError::not_found(format!("There is no event from {ts} in {direction} direction that you may see.")))
        }
        Err(error) => Err(error.into()),
    }
}
