//! `GET /_matrix/client/v3/rooms/{roomId}/context/{eventId}` (Event context)

use std::sync::Arc;

use axum::extract::State;
use engram_rooms::query;
use engram_sync::messages::{self, HistoryError};
use serde::Deserialize;

use super::messages::filter;
use crate::app::App;
use crate::auth::Authed;
use crate::blocking::blocking;
use crate::error::{ApiError, ApiResult};
use crate::json::RawJson;
use crate::path::{Path, Query};
use crate::rooms::{readable, viewer};

#[derive(Deserialize)]
pub(crate) struct Options {
    limit: Option<u64>,
    filter: Option<String>,
}

pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Path((room, event_id)): Path<(String, String)>,
    authed: Authed,
    Query(options): Query<Options>,
) -> ApiResult<RawJson<String>> {
    let filter = filter(options.filter.as_deref())?;
    let found = blocking(move || {
        let snapshot = app.views.snapshot();
        let absent = || ApiError::from(HistoryError::NotFound);
        let number = query::room(&*snapshot, &room)?.ok_or_else(absent)?.number;
        // With the event goes the state, which is for those who may read it: not for whoever has declined an invitation.
        let invited_once = query::membership(&*snapshot, number, &authed.user_id)?.is_some();
        if let Err(refused) = readable(&*snapshot, &room, &authed.user_id) {
            // To others there might be no such room.
            return Err(if invited_once { refused } else { absent() });
        }
        let viewer = viewer(&app, &authed);
        let found = messages::context(&*snapshot, viewer, number, &event_id, options.limit, &filter);
        found.map_err(ApiError::from)
    });
    let found = found.await?;
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
