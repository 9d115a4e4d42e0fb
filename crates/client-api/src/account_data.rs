//! `GET` and `PUT /_matrix/client/v3/user/{userId}/account_data/{type}` and
//! `…/user/{userId}/rooms/{roomId}/account_data/{type}` (Client config).

use std::sync::Arc;

use engram_http::json::{Empty, Json, ObjectBody};
use engram_http::path::Path;
use engram_http::{ApiError, ApiResult, Authed, State};
use engram_users::query;
use serde_json::value::RawValue;

use crate::app::App;

pub(crate) fn get(
    State(app): State<Arc<App>>,
    session: Authed,
    Path((user_id, event_type)): Path<(String, String)>,
) -> ApiResult<Json<Box<RawValue>>> {
    read(&app, &session, &user_id, None, &event_type)
}

pub(crate) fn get_in_room(
    State(app): State<Arc<App>>,
    session: Authed,
    Path((user_id, room_id, event_type)): Path<(String, String, String)>,
) -> ApiResult<Json<Box<RawValue>>> {
    must_be_a_room(&room_id)?;
    read(&app, &session, &user_id, Some(&room_id), &event_type)
}

fn read(
    app: &App,
    session: &Authed,
    user_id: &str,
    room_id: Option<&str>,
    event_type: &str,
) -> ApiResult<Json<Box<RawValue>>> {
    session.must_be(user_id)?;
    let snapshot = app.views.snapshot();
    if room_id.is_none() && event_type == "m.push_rules" {
        return Ok(Json(query::push_rules(&*snapshot, user_id)?));
    }
    let content = query::account_data(&*snapshot, user_id, room_id, event_type)?;
    content.map(Json).ok_or_else(|| ApiError::not_found("There is no such account data."))
}

pub(crate) async fn put(
    State(app): State<Arc<App>>,
    session: Authed,
    Path((user_id, event_type)): Path<(String, String)>,
    ObjectBody(content): ObjectBody,
) -> ApiResult<Empty> {
    session.must_be(&user_id)?;
    app.writers.confirmed(app.users.put_account_data(&user_id, None, &event_type, &content)).await??;
    Ok(Empty)
}

pub(crate) async fn put_in_room(
    State(app): State<Arc<App>>,
    session: Authed,
    Path((user_id, room_id, event_type)): Path<(String, String, String)>,
    ObjectBody(content): ObjectBody,
) -> ApiResult<Empty> {
    session.must_be(&user_id)?;
    must_be_a_room(&room_id)?;
    app.writers.confirmed(app.users.put_account_data(&user_id, Some(&room_id), &event_type, &content)).await??;
    Ok(Empty)
}

pub(crate) fn must_be_a_room(room_id: &str) -> ApiResult<()> {
    if engram_matrix::ids::is_room_id(room_id) {
        Ok(())
    } else {
        Err(ApiError::invalid_param("This is not a room ID."))
    }
}
