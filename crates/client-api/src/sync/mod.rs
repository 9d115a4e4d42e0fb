//! The endpoints that read what happened: /sync, and pages of history.

use std::sync::Arc;

use axum::Router;
use engram_log::Offset;

use crate::app::App;
use crate::error::{ApiError, ApiResult};

/// The routes of this folder.
pub(crate) fn router() -> Router<Arc<App>> {
    Router::new()
}

/// The position of a token.
pub(crate) fn position(token: &str) -> ApiResult<Offset> {
    let digits = token.get(1..).unwrap_or("");
    digits.parse().map(Offset).map_err(|_| ApiError::invalid_param("x"))
}
