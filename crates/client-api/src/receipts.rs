//! `POST /_matrix/client/v3/rooms/{roomId}/receipt/{receiptType}/{eventId}` and `…/read_markers`
//! (Receipts; Fully read markers).

use std::sync::Arc;

use engram_ephemeral::{Marks, NewReceipt};
use engram_http::json::{Body, Empty, OptionalBody};
use engram_http::path::Path;
use engram_http::{ApiError, ApiResult, Authed, State};
use engram_rooms::query;
use engram_views::{Read, ViewError};
use serde::Deserialize;

use crate::app::App;
use crate::membership::must_be_joined;

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
    let is_mark = receipt_type == "m.fully_read";
    if is_mark && thread_id.is_some() {
        return Err(ApiError::invalid_param("`m.fully_read` has no threads."));
    }
    let marks = if is_mark {
        Marks { fully_read: Some(event_id), ..Marks::default() }
    } else {
        Marks { receipts: vec![NewReceipt { receipt_type, event_id, thread_id }], ..Marks::default() }
    };
    mark(app, session, room_id, marks).await
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
    let receipts = [("m.read", markers.read), ("m.read.private", markers.read_private)];
    let receipts = receipts.into_iter().filter_map(|(receipt_type, event_id)| {
        Some(NewReceipt { receipt_type: receipt_type.to_owned(), event_id: event_id?, thread_id: None })
    });
    let marks = Marks { fully_read: markers.fully_read, receipts: receipts.collect(), ..Marks::default() };
    mark(app, session, room_id, marks).await
}

/// Marks how far somebody has read in a room that they are in.
async fn mark(app: Arc<App>, session: Authed, room_id: String, marks: Marks) -> ApiResult<Empty> {
    must_be_joined(&*app.views.snapshot(), &room_id, &session.user_id)?;
    let marks = Marks { room_id, user_id: session.user_id.clone(), ..marks };
    let marked = app.ephemeral.mark_read(&marks, |snapshot, event_id| place(snapshot, &marks, event_id));
    app.writers.confirmed(marked).await??;
    Ok(Empty)
}

/// An event's place in the order of the room; none if it is unknown or another room's, or not for the user to see.
fn place(reader: &dyn Read, marks: &Marks, event_id: &str) -> Result<Option<query::Position>, ViewError> {
    let Some(room) = query::room(reader, &marks.room_id)? else { return Ok(None) };
    let located = query::locate(reader, event_id)?.filter(|(number, _)| *number == room.number);
    let Some((number, offset)) = located else { return Ok(None) };
    match query::event(reader, number, offset)?.filter(|event| event.meta.is_shown()) {
        Some(event) if query::may_see(reader, &event, &marks.user_id)? => {
            Ok(query::Position::of(event.offset, &event.meta))
        }
        _ => Ok(None),
    }
}
