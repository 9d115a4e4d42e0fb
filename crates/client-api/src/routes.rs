//! Every endpoint, one line each. Whatever is not here answers `M_UNRECOGNIZED`.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use crate::app::App;
use crate::error::ApiError;
use crate::{versions, well_known};

/// The routes. A path may have several lines, one for each method.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/.well-known/matrix/client", get(well_known::client))
        .route("/_matrix/client/versions", get(versions::get))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
}

async fn unknown_path() -> ApiError {
    ApiError::unrecognized("There is no such endpoint.")
}

async fn wrong_method() -> ApiError {
    ApiError::method_not_allowed()
}
