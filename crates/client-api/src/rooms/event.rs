//! `GET /_matrix/client/v3/rooms/{roomId}/event/{eventId}` (Getting events for a room)

use std::sync::Arc;

use engram_http::json::RawJson;
use engram_http::path::Path;
use engram_http::readable::{has_forgotten, viewer};
use engram_http::{ApiError, ApiResult, Authed, State};
use engram_rooms::query::{self, StoredEvent, Verdict};
use engram_views::Read;

use crate::app::App;

pub(crate) fn get(
    State(app): State<Arc<App>>,
    Path((room, event_id)): Path<(String, String)>,
    authed: Authed,
) -> ApiResult<RawJson<String>> {
    let snapshot = app.views.snapshot();
    let event = visible(&*snapshot, &room, &event_id, &authed.user_id)?;
    Ok(RawJson(query::render(&*snapshot, &event, viewer(&authed, app.now()), true)?))
}

/// An event that the user may see. One that they may not is not told from one that does not exist (HIST-11).
pub(crate) fn visible(reader: &dyn Read, room_id: &str, event_id: &str, user_id: &str) -> ApiResult<StoredEvent> {
    let absent = || ApiError::not_found("There is no such event that you may see.");
    let room = query::room(reader, room_id)?.ok_or_else(absent)?;
    let (number, offset) = query::locate(reader, event_id)?.ok_or_else(absent)?;
    if number != room.number {
        return Err(absent());
    }
    let event = query::event(reader, number, offset)?.ok_or_else(absent)?;
    if has_forgotten(reader, number, user_id)? {
        return Err(absent());
    }
    if event.meta.verdict != Verdict::Accepted || !query::may_see(reader, &event, user_id)? {
        return Err(absent());
    }
    Ok(event)
}
