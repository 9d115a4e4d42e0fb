//! `GET /.well-known/matrix/client` (Server Discovery).

use std::sync::Arc;

use engram_http::json::Json;
use engram_http::{ApiError, ApiResult, State};
use serde_json::{Value, json};

use crate::app::App;

pub(crate) fn client(State(app): State<Arc<App>>) -> ApiResult<Json<Value>> {
    match &app.config.public_base_url {
        Some(base_url) => Ok(Json(json!({ "m.homeserver": { "base_url": base_url } }))),
        None => Err(ApiError::not_found("This server does not say where its clients should go.")),
    }
}
