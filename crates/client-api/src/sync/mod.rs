//! The endpoints that read what happened: /sync, and pages of history.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use engram_sync::Token;

use crate::app::App;
use crate::error::{ApiError, ApiResult};

mod by_time;
mod context;
mod effects;
mod events;
mod initial;
mod messages;
mod poll;

pub use effects::SyncEffects;

/// The routes of this folder.
pub(crate) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/_matrix/client/v3/sync", get(poll::get))
        .route("/_matrix/client/v3/events", get(events::get))
        .route("/_matrix/client/v3/events/{event}", get(events::by_id))
        .route("/_matrix/client/v3/initialSync", get(initial::everything))
        .route("/_matrix/client/v3/rooms/{room}/initialSync", get(initial::room))
        .route("/_matrix/client/v3/rooms/{room}/messages", get(messages::get))
        .route("/_matrix/client/v3/rooms/{room}/context/{event}", get(context::get))
        .route("/_matrix/client/v1/rooms/{room}/timestamp_to_event", get(by_time::get))
}

/// A token that a client has from an earlier answer.
pub(crate) fn token(name: &str, text: &str) -> ApiResult<Token> {
    text.parse().map_err(|_| ApiError::invalid_param(format!("`{name}` is no token of this server.")))
}
