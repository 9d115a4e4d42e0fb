//! `PUT /_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}` (Sending events to a room), and `POST` without a
//! transaction, which the first versions of the specification had and simple scripts still use.
//!
//! The path that every message takes: it does nothing but hand the body to the room server and wait until the event is
//! durable and applied.

use std::sync::Arc;

use engram_http::json::{ObjectBody, RawJson};
use engram_http::path::Path;
use engram_http::{ApiResult, Authed, State};
use engram_rooms::writer::{SendRequest, Sent, TransactionScope};

use super::upgrade::carry_over;
use crate::app::App;
use crate::membership::leave_if_closed;

pub(crate) async fn put(
    State(app): State<Arc<App>>,
    Path((room, event_type, transaction)): Path<(String, String, String)>,
    authed: Authed,
    ObjectBody(content): ObjectBody,
) -> ApiResult<RawJson<String>> {
    let scope = TransactionScope { device_id: &authed.device_id, transaction_id: &transaction };
    send(&app, &room, &authed, &event_type, content.get(), Some(scope)).await
}

pub(crate) async fn post(
    State(app): State<Arc<App>>,
    Path((room, event_type)): Path<(String, String)>,
    authed: Authed,
    ObjectBody(content): ObjectBody,
) -> ApiResult<RawJson<String>> {
    send(&app, &room, &authed, &event_type, content.get(), None).await
}

async fn send(
    app: &Arc<App>,
    room_id: &str,
    authed: &Authed,
    event_type: &str,
    content: &str,
    transaction: Option<TransactionScope<'_>>,
) -> ApiResult<RawJson<String>> {
    let request = SendRequest {
        room_id,
        sender: &authed.user_id,
        event_type,
        state_key: None,
        content,
        redacts: None,
        transaction,
        timestamp_ms: None,
    };
    write(app, &request).await
}

/// Sends an event, waits until it is durable and applied, and names it.
pub(super) async fn write(app: &Arc<App>, request: &SendRequest<'_>) -> ApiResult<RawJson<String>> {
    // The room server may have to wait for what other servers have sent to the room.
    let sent = app.writers.confirmed(app.rooms.send(request)).await??;
    let event_id = settled(app, request.sender, request.room_id, sent).await?;
    if request.event_type == "m.room.member" {
        leave_if_closed(app, request.sender).await?;
    }
    // An event ID needs no escaping: base64, or an opaque ID of this server's own making.
    Ok(RawJson(format!("{{\"event_id\":\"{event_id}\"}}")))
}

/// Waits until an event is durable and applied, and sees to what follows from it for its sender. Every answer to
/// whoever sent one comes by here.
pub(super) async fn settled(app: &Arc<App>, sender: &str, room_id: &str, sent: Sent) -> ApiResult<String> {
    app.applied(sent.offset).await?;
    if let Some(old) = sent.moved_from {
        carry_over(app, sender, &old, room_id).await?;
    }
    Ok(sent.event_id)
}
