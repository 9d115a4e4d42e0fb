//! `POST /_matrix/client/v3/rooms/{roomId}/receipt/{receiptType}/{eventId}` and `…/read_markers`
//! (Receipts; Fully read markers).

use std::sync::Arc;

use axum::extract::State;
use engram_ephemeral::ReceiptRequest;
use engram_rooms::query;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::to_raw_value;

use crate::app::App;
use crate::auth::Authed;
use crate::error::{ApiError, ApiResult};
use crate::json::{Body, Empty, OptionalBody};
use crate::membership::must_be_joined;
use crate::path::Path;

#[derive(Deserialize)]
pub(crate) struct Thread {
    thread_id: Option<String>,
}

pub(crate) async fn receipt(
    State(app): State<Arc<App>>,
    session: Authed,
    Path((room_id, receipt_type, event_id)): Path<(String, String, String)>,
    OptionalBody(Thread { thread_id }): OptionalBody<Thread>,
) -> ApiResult<Empty> {
    must_be_joined(&*app.views.snapshot(), &room_id, &session.user_id)?;
    mark(&app, &session.user_id, &room_id, &receipt_type, &event_id, thread_id.as_deref()).await?;
    Ok(Empty)
}

#[derive(Deserialize)]
pub(crate) struct Markers {
    #[serde(rename = "m.fully_read")]
    fully_read: Option<String>,
    #[serde(rename = "m.read")]
    read: Option<String>,
    #[serde(rename = "m.read.private")]
    read_private: Option<String>,
}

pub(crate) async fn markers(
    State(app): State<Arc<App>>,
    session: Authed,
    Path(room_id): Path<String>,
    Body(markers): Body<Markers>,
) -> ApiResult<Empty> {
    must_be_joined(&*app.views.snapshot(), &room_id, &session.user_id)?;
    let set =
        [("m.fully_read", &markers.fully_read), ("m.read", &markers.read), ("m.read.private", &markers.read_private)];
    for (receipt_type, event_id) in set {
        if let Some(event_id) = event_id {
            mark(&app, &session.user_id, &room_id, receipt_type, event_id, None).await?;
        }
    }
    Ok(Empty)
}

/// Records one receipt, or the place up to which everything was read.
async fn mark(
    app: &App,
    user_id: &str,
    room_id: &str,
    receipt_type: &str,
    event_id: &str,
    thread_id: Option<&str>,
) -> ApiResult<()> {
    if receipt_type != "m.fully_read" {
        if position(app, room_id, event_id)?.is_none() {
            return Err(ApiError::not_found("There is no such event in this room."));
        }
        let request = ReceiptRequest { room_id, user_id, receipt_type, event_id, thread_id };
        let position = |event_id: &str| position(app, room_id, event_id).ok().flatten();
        return Ok(app.writers.confirmed(app.ephemeral.send_receipt(request, &position)).await??);
    }
    if thread_id.is_some() {
        return Err(ApiError::invalid_param("`m.fully_read` has no threads."));
    }
    let content = to_raw_value(&json!({ "event_id": event_id })).map_err(ApiError::internal)?;
    let set = app.users.set_account_data(user_id, Some(room_id), receipt_type, &content);
    Ok(app.writers.confirmed(set).await??)
}

/// An event's place in the order of a room; none if it is unknown, or another room's.
fn position(app: &App, room_id: &str, event_id: &str) -> ApiResult<Option<u64>> {
    let snapshot = app.views.snapshot();
    let Some(room) = query::room(&*snapshot, room_id)? else { return Ok(None) };
    let located = query::locate(&*snapshot, event_id)?;
    Ok(located.filter(|(number, _)| *number == room.number).map(|(_, offset)| offset.0))
}
