//! `GET /_matrix/client/v3/rooms/{roomId}/context/{eventId}` (Event context)

use std::sync::Arc;

use engram_http::json::RawJson;
use engram_http::path::{Path, Query};
use engram_http::readable::viewer;
use engram_http::{ApiResult, Authed, State};
use engram_rooms::query;
use engram_sync::messages::{self, HistoryError};
use serde::Deserialize;

use super::messages::filter;
use crate::app::App;

#[derive(Deserialize)]
pub(crate) struct Options {
    limit: Option<u64>,
    filter: Option<String>,
}

pub(crate) fn get(
    State(app): State<Arc<App>>,
    Path((room, event_id)): Path<(String, String)>,
    authed: Authed,
    Query(options): Query<Options>,
) -> ApiResult<RawJson<String>> {
    let filter = filter(options.filter.as_deref())?;
    let snapshot = app.views.snapshot();
    let room = query::room(&*snapshot, &room)?.ok_or(HistoryError::NotFound)?;
    let viewer = viewer(&authed, app.now());
    let found = messages::context(&*snapshot, viewer, room.number, &event_id, options.limit, &filter)?;
    Ok(RawJson(format!(
        "{{\"event\":{},\"events_before\":[{}],\"events_after\":[{}],\"start\":\"{}\",\"end\":\"{}\",\"state\":[{}]}}",
        found.event,
        found.before.join(","),
        found.after.join(","),
        found.start,
        found.end,
        found.state.join(",")
    )))
}
