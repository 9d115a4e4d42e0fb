//! `GET /_matrix/client/v3/rooms/{roomId}/context/{eventId}` (Event context)

use std::sync::Arc;

use engram_http::json::RawJson;
use engram_http::path::{Path, Query};
use engram_http::readable::{readable, viewer};
use engram_http::{ApiError, ApiResult, Authed, State};
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
    let absent = || ApiError::from(HistoryError::NotFound);
    let number = query::room(&*snapshot, &room)?.ok_or_else(absent)?.number;
    // With the event goes the state, which is for those who may read it: not for whoever has declined an invitation.
    let invited_once = query::membership(&*snapshot, number, &authed.user_id)?.is_some();
    if let Err(refused) = readable(&*snapshot, &room, &authed.user_id) {
        // To others there might be no such room.
        return Err(if invited_once { refused } else { absent() });
    }
    let viewer = viewer(&authed, app.now());
    let found = messages::context(&*snapshot, viewer, number, &event_id, options.limit, &filter)?;
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
