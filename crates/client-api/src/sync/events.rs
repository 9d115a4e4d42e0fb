//! `GET /_matrix/client/v3/events` (Syncing, deprecated; Room previews) and `GET /_matrix/client/v3/events/{eventId}`

use std::sync::Arc;
use std::time::Duration;

use engram_http::json::RawJson;
use engram_http::path::{Path, Query};
use engram_http::readable::{has_forgotten, readable, token, viewer};
use engram_http::{AccessToken, ApiError, ApiResult, Authed, State};
use engram_rooms::query;
use engram_sync::legacy::StreamRequest;
use serde::Deserialize;

use crate::app::App;
use crate::limits::EVENTS_TIMEOUT_DEFAULT_MS;

#[derive(Deserialize)]
pub(crate) struct Options {
    from: Option<String>,
    timeout: Option<u64>,
    limit: Option<u64>,
    /// The only room that is of interest; a guest has to name one.
    room_id: Option<String>,
}

pub(crate) async fn get(
    State(app): State<Arc<App>>,
    authed: Authed,
    token_shown: AccessToken,
    Query(options): Query<Options>,
) -> ApiResult<RawJson<String>> {
    let room = match options.room_id {
        Some(room_id) => {
            let (app, authed) = (Arc::clone(&app), authed.clone());
            Some(app.readers.clone().read(move || may_look_into(&app, room_id, &authed)).await??)
        }
        None if authed.guest => return Err(ApiError::guest_access_forbidden("Guests have to name a room.")),
        None => None,
    };
    let request = StreamRequest {
        user_id: authed.user_id.clone(),
        device_id: authed.device_id.clone(),
        from: options.from.as_deref().filter(|from| !from.is_empty()).map(|from| token("from", from)).transpose()?,
        room,
        limit: options.limit,
        timeout: Duration::from_millis(options.timeout.unwrap_or(EVENTS_TIMEOUT_DEFAULT_MS)),
    };
    let answer = app.sync.stream(request).await?;
    token_shown.still_good(&app.users)?;
    let (chunk, start, end) = (answer.chunk.join(","), answer.start, answer.end);
    Ok(RawJson(format!("{{\"chunk\":[{chunk}],\"start\":\"{start}\",\"end\":\"{end}\"}}")))
}

/// Members and, where the world may read, everybody.
fn may_look_into(app: &App, room_id: String, authed: &Authed) -> ApiResult<(engram_rooms::types::RoomNumber, String)> {
    let readable = readable(&*app.views.snapshot(), &room_id, &authed.user_id)?;
    if readable.left_at.is_some() {
        return Err(ApiError::forbidden(format!("{} is not in the room {room_id}", authed.user_id)));
    }
    Ok((readable.room.number, room_id))
}

pub(crate) fn by_id(
    State(app): State<Arc<App>>,
    Path(event_id): Path<String>,
    authed: Authed,
) -> ApiResult<RawJson<String>> {
    let snapshot = app.views.snapshot();
    let unknown = || ApiError::not_found("There is no such event, or you may not see it.");
    let (room, offset) = query::locate(&*snapshot, &event_id)?.ok_or_else(unknown)?;
    let event = query::event(&*snapshot, room, offset)?.filter(|event| event.meta.is_shown()).ok_or_else(unknown)?;
    let forgotten = has_forgotten(&*snapshot, room, &authed.user_id)?;
    if forgotten || !query::may_see(&*snapshot, &event, &authed.user_id)? {
        return Err(unknown());
    }
    Ok(RawJson(query::render(&*snapshot, &event, viewer(&authed, app.now()), true)?))
}
