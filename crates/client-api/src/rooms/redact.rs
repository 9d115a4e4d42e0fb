//! `PUT /_matrix/client/v3/rooms/{roomId}/redact/{eventId}/{txnId}` (Redactions)

use std::sync::Arc;

use engram_http::json::{ObjectBody, RawJson};
use engram_http::path::Path;
use engram_http::{ApiResult, Authed, State};
use engram_rooms::writer::{SendRequest, TransactionScope};

use super::send::write;
use crate::app::App;

pub(crate) async fn put(
    State(app): State<Arc<App>>,
    Path((room, event_id, transaction)): Path<(String, String, String)>,
    authed: Authed,
    ObjectBody(content): ObjectBody,
) -> ApiResult<RawJson<String>> {
    let request = SendRequest {
        room_id: &room,
        sender: &authed.user_id,
        event_type: "m.room.redaction",
        state_key: None,
        content: content.get(),
        redacts: Some(&event_id),
        transaction: Some(TransactionScope { device_id: &authed.device_id, transaction_id: &transaction }),
        timestamp_ms: None,
    };
    write(&app, &request).await
}
