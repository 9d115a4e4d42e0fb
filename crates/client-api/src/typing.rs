//! `PUT /_matrix/client/v3/rooms/{roomId}/typing/{userId}` (Typing notifications).

use std::sync::Arc;
use std::time::Duration;

use engram_http::json::{Body, Empty};
use engram_http::path::Path;
use engram_http::{ApiResult, Authed, State};
use serde::Deserialize;

use crate::app::App;
use crate::limits::TYPING_TIMEOUT_MAX;
use crate::membership::must_be_joined;

/// How long somebody types who does not say.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
pub(crate) struct Typing {
    typing: bool,
    timeout: Option<u64>,
}

pub(crate) async fn put(
    State(app): State<Arc<App>>,
    session: Authed,
    Path((room_id, user_id)): Path<(String, String)>,
    Body(Typing { typing, timeout }): Body<Typing>,
) -> ApiResult<Empty> {
    session.must_be(&user_id)?;
    must_be_joined(&*app.views.snapshot(), &room_id, &user_id)?;
    let timeout = timeout.map_or(TIMEOUT_DEFAULT, Duration::from_millis).min(TYPING_TIMEOUT_MAX);
    app.writers.confirmed(app.ephemeral.set_typing(&room_id, &user_id, typing.then_some(timeout))).await??;
    Ok(Empty)
}
