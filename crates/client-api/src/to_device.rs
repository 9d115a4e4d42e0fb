//! `PUT /_matrix/client/v3/sendToDevice/{eventType}/{txnId}` (Send-to-Device messaging).

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use engram_users::RawJson;
use serde::Deserialize;

use crate::app::App;
use crate::auth::Authed;
use crate::elsewhere::elsewhere;
use crate::error::ApiResult;
use crate::json::{Body, Empty};
use crate::path::Path;

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
