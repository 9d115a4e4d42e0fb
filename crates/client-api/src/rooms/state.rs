//! `GET` and `PUT /_matrix/client/v3/rooms/{roomId}/state[/{eventType}[/{stateKey}]]` (Getting events for a room,
//! Sending events to a room)

use std::sync::Arc;

use engram_http::json::{ObjectBody, RawJson};
use engram_http::path::{Path, Query};
use engram_http::readable::{readable, viewer};
use engram_http::{ApiError, ApiResult, Authed, State};
use engram_log::Offset;
use engram_rooms::query::{self, Viewer};
use engram_rooms::types::RoomNumber;
use engram_rooms::writer::SendRequest;
use engram_views::Read;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::send::write;
use crate::app::App;

/// Whether the content alone is wanted, or the whole event.
#[derive(Deserialize)]
pub(crate) struct Options {
    #[serde(default)]
    format: Format,
}

#[derive(Deserialize, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Content,
    Event,
}

type AppState = State<Arc<App>>;

pub(crate) fn all(State(app): AppState, Path(room): Path<String>, authed: Authed) -> ApiResult<RawJson<String>> {
    let snapshot = app.views.snapshot();
    let readable = readable(&*snapshot, &room, &authed.user_id)?;
    let viewer = viewer(&authed, app.now());
    let mut events = Vec::new();
    for (_, offset) in engram_rooms::state::entries(&*snapshot, readable.state)? {
        events.push(rendered(&*snapshot, readable.room.number, offset, viewer)?);
    }
    Ok(RawJson(format!("[{}]", events.join(","))))
}

pub(crate) fn get(
    State(app): AppState,
    Path((room, event_type, state_key)): Path<(String, String, String)>,
    authed: Authed,
    Query(options): Query<Options>,
) -> ApiResult<RawJson<String>> {
    one(&app, &room, &event_type, &state_key, &authed, &options)
}

pub(crate) fn get_unkeyed(
    State(app): AppState,
    Path((room, event_type)): Path<(String, String)>,
    authed: Authed,
    Query(options): Query<Options>,
) -> ApiResult<RawJson<String>> {
    one(&app, &room, &event_type, "", &authed, &options)
}

pub(crate) async fn put(
    State(app): AppState,
    Path((room, event_type, state_key)): Path<(String, String, String)>,
    authed: Authed,
    ObjectBody(content): ObjectBody,
) -> ApiResult<RawJson<String>> {
    set(&app, &room, &event_type, &state_key, &authed, content.get()).await
}

pub(crate) async fn put_unkeyed(
    State(app): AppState,
    Path((room, event_type)): Path<(String, String)>,
    authed: Authed,
    ObjectBody(content): ObjectBody,
) -> ApiResult<RawJson<String>> {
    set(&app, &room, &event_type, "", &authed, content.get()).await
}

fn one(
    app: &App,
    room: &str,
    event_type: &str,
    state_key: &str,
    authed: &Authed,
    options: &Options,
) -> ApiResult<RawJson<String>> {
    let snapshot = app.views.snapshot();
    let readable = readable(&*snapshot, room, &authed.user_id)?;
    let absent = || ApiError::not_found(format!("The room has no state {event_type:?} with key {state_key:?}."));
    let offset = query::state_entry(&*snapshot, readable.state, event_type, state_key)?.ok_or_else(absent)?;
    if options.format == Format::Event {
        return rendered(&*snapshot, readable.room.number, offset, viewer(authed, app.now())).map(RawJson);
    }
    let event = rendered(&*snapshot, readable.room.number, offset, viewer(authed, app.now()))?;
    // The rendered event has the content as clients may see it, redactions applied.
    let shown: Shown<'_> = serde_json::from_str(&event).map_err(ApiError::internal)?;
    Ok(RawJson(shown.content.get().to_owned()))
}

#[derive(Deserialize)]
struct Shown<'a> {
    #[serde(borrow)]
    content: &'a RawValue,
}

async fn set(
    app: &Arc<App>,
    room: &str,
    event_type: &str,
    state_key: &str,
    authed: &Authed,
    content: &str,
) -> ApiResult<RawJson<String>> {
    let request = SendRequest {
        room_id: room,
        sender: &authed.user_id,
        event_type,
        state_key: Some(state_key),
        content,
        redacts: None,
        transaction: None,
        timestamp_ms: None,
    };
    write(app, &request).await
}

/// A state event in client format.
pub(super) fn rendered(reader: &dyn Read, room: RoomNumber, offset: Offset, viewer: Viewer<'_>) -> ApiResult<String> {
    let event = query::event(reader, room, offset)?.ok_or_else(|| {
        ApiError::internal(format!("the state names an event at {offset} that room {room:?} does not have"))
    })?;
    Ok(query::render(reader, &event, viewer, true)?)
}
