//! `GET` and `PUT /_matrix/client/v3/presence/{userId}/status` (Presence).

use std::sync::Arc;

use engram_ephemeral::Availability;
use engram_http::json::{Body, Empty, Json};
use engram_http::path::Path;
use engram_http::{ApiError, ApiResult, Authed, State};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::App;
use crate::limits;
use crate::membership::share_a_room;

pub(crate) fn get(State(app): State<Arc<App>>, session: Authed, Path(user_id): Path<String>) -> ApiResult<Json<Value>> {
    if session.user_id != user_id && !share_a_room(&*app.views.snapshot(), &session.user_id, &user_id)? {
        return Err(ApiError::forbidden("You do not share a room with this user."));
    }
    let Some(presence) = app.live.presence(&user_id) else {
        return Ok(Json(json!({ "presence": "offline" })));
    };
    let mut answer = json!({
        "presence": presence.availability.as_str(),
        "last_active_ago": app.now().0.saturating_sub(presence.last_active.0),
        "currently_active": presence.currently_active,
    });
    if let Some(message) = presence.status_msg {
        answer["status_msg"] = message.into();
    }
    Ok(Json(answer))
}

#[derive(Deserialize)]
pub(crate) struct Status {
    presence: String,
    status_msg: Option<String>,
}

pub(crate) async fn put(
    State(app): State<Arc<App>>,
    session: Authed,
    Path(user_id): Path<String>,
    Body(Status { presence, status_msg }): Body<Status>,
) -> ApiResult<Empty> {
    session.must_be(&user_id)?;
    let says = Availability::parse(&presence)
        .ok_or_else(|| ApiError::invalid_param("`presence` is `online`, `unavailable` or `offline`."))?;
    if status_msg.as_ref().is_some_and(|message| message.len() > limits::STATUS_MESSAGE_BYTES_MAX) {
        return Err(ApiError::too_large("A status message has at most 1024 bytes."));
    }
    let set = app.ephemeral.set_presence(&user_id, &session.device_id, says, status_msg.as_deref());
    app.writers.confirmed(set).await??;
    Ok(Empty)
}
