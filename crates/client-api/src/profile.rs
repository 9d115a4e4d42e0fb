//! `GET /_matrix/client/v3/profile/{userId}`, `GET`, `PUT` and `DELETE …/{keyName}` (Profiles).

use std::sync::Arc;

use engram_http::json::{Body, Empty, Json};
use engram_http::path::Path;
use engram_http::{ApiError, ApiResult, Authed, State};
use engram_rooms::writer::ProfileField;
use engram_users::query;
use serde_json::value::to_raw_value;
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::membership;

pub(crate) fn all(State(app): State<Arc<App>>, Path(user_id): Path<String>) -> ApiResult<Json<Value>> {
    let snapshot = app.views.snapshot();
    known(&app, &user_id, query::account(&*snapshot, &user_id)?.as_ref())?;
    let profile = query::profile(&*snapshot, &user_id)?;
    Ok(Json(json!(profile)))
}

pub(crate) fn field(
    State(app): State<Arc<App>>,
    Path((user_id, key)): Path<(String, String)>,
) -> ApiResult<Json<Value>> {
    let snapshot = app.views.snapshot();
    known(&app, &user_id, query::account(&*snapshot, &user_id)?.as_ref())?;
    match query::profile_field(&*snapshot, &user_id, &key)? {
        Some(value) => Ok(Json(json!({ key: value }))),
        None => Err(ApiError::not_found("The profile has no such field.")),
    }
}

fn known(app: &App, user_id: &str, account: Option<&query::Account>) -> ApiResult<()> {
    if !engram_matrix::ids::is_user_id(user_id) {
        return Err(ApiError::invalid_param("This is not a user ID."));
    }
    match account {
        Some(account) if !account.deactivated => Ok(()),
        Some(_) => Err(ApiError::not_found("This account was closed.")),
        None if app.rooms.is_local(user_id) => Err(ApiError::not_found("There is no such user.")),
        None => Err(ApiError::not_found("The profile of this user is not known here.")),
    }
}

pub(crate) async fn put(
    State(app): State<Arc<App>>,
    session: Authed,
    Path((user_id, key)): Path<(String, String)>,
    Body(mut body): Body<Map<String, Value>>,
) -> ApiResult<Empty> {
    session.must_be(&user_id)?;
    guests_have_a_name_only(&session, &key)?;
    let value = body.remove(&key).ok_or_else(|| ApiError::missing_param(format!("`{key}` is missing.")))?;
    if !body.is_empty() {
        return Err(ApiError::bad_json(format!("The body has exactly one property: `{key}`.")));
    }
    set(&app, &user_id, &key, Some(value)).await?;
    Ok(Empty)
}

pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    session: Authed,
    Path((user_id, key)): Path<(String, String)>,
) -> ApiResult<Empty> {
    session.must_be(&user_id)?;
    guests_have_a_name_only(&session, &key)?;
    set(&app, &user_id, &key, None).await?;
    Ok(Empty)
}

/// The display name is all that guests have of a profile (Guest Access).
fn guests_have_a_name_only(session: &Authed, key: &str) -> ApiResult<()> {
    if session.guest && key != "displayname" {
        return Err(ApiError::guest_access_forbidden("Guests can set nothing but their display name."));
    }
    Ok(())
}

/// Sets or removes a field, and shows it in the user's rooms if member events carry it.
async fn set(app: &Arc<App>, user_id: &str, key: &str, value: Option<Value>) -> ApiResult<()> {
    let raw = value.map(|value| to_raw_value(&value)).transpose().map_err(ApiError::internal)?;
    app.writers.confirmed(app.users.set_profile_field(user_id, key, raw.as_deref())).await??;
    if let Some(field) = ProfileField::parse(key) {
        membership::show_profile(app, user_id, field).await?;
    }
    Ok(())
}
