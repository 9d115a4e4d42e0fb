//! `PUT /_matrix/client/v3/sendToDevice/{eventType}/{txnId}` (Send-to-Device messaging).

use std::collections::BTreeMap;
use std::sync::Arc;

use engram_http::elsewhere::elsewhere;
use engram_http::json::{Body, Empty};
use engram_http::path::Path;
use engram_http::{ApiResult, Authed, State};
use engram_users::RawJson;
use serde::Deserialize;

use crate::app::App;

#[derive(Deserialize)]
pub(crate) struct Messages {
    messages: BTreeMap<String, BTreeMap<String, RawJson>>,
}

pub(crate) async fn send(
    State(app): State<Arc<App>>,
    session: Authed,
    Path((event_type, transaction_id)): Path<(String, String)>,
    Body(Messages { messages }): Body<Messages>,
) -> ApiResult<Empty> {
    let writers = app.writers();
    let sent = async move { app.users.send_to_device(&session, &event_type, &transaction_id, &messages).await };
    writers.confirmed(elsewhere(sent)).await??;
    Ok(Empty)
}
