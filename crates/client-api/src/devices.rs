//! `GET /_matrix/client/v3/devices`, `GET`, `PUT` and `DELETE …/devices/{deviceId}`, `POST …/delete_devices`
//! (Device management).

use std::sync::Arc;

use bytes::Bytes;
use engram_http::elsewhere::elsewhere;
use engram_http::json::{Body, Empty, Json, RawBody, RawJson};
use engram_http::path::Path;
use engram_http::uia::{BY_PASSWORD, Purpose};
use engram_http::{ApiError, ApiResult, Authed, State};
use engram_users::query::{self, Device};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::App;
use crate::limits;

pub(crate) fn list(State(app): State<Arc<App>>, session: Authed) -> ApiResult<Json<Value>> {
    let devices = query::devices(&*app.views.snapshot(), &session.user_id)?;
    Ok(Json(json!({ "devices": devices.iter().map(rendered).collect::<Vec<_>>() })))
}

pub(crate) fn get(
    State(app): State<Arc<App>>,
    session: Authed,
    Path(device_id): Path<String>,
) -> ApiResult<Json<Value>> {
    let device = query::device(&*app.views.snapshot(), &session.user_id, &device_id)?;
    let device = device.ok_or_else(|| ApiError::not_found("Unknown device."))?;
    Ok(Json(rendered(&device)))
}

fn rendered(device: &Device) -> Value {
    // A name that is not set is null: there are clients that cannot do without the field.
    let mut rendered = json!({
        "device_id": device.device_id,
        "display_name": device.display_name,
        "last_seen_ts": device.last_seen.0,
    });
    if let Some(address) = &device.last_seen_ip {
        rendered["last_seen_ip"] = address.as_str().into();
    }
    rendered
}

#[derive(Deserialize)]
pub(crate) struct Rename {
    display_name: Option<String>,
}

pub(crate) async fn rename(
    State(app): State<Arc<App>>,
    session: Authed,
    Path(device_id): Path<String>,
    Body(Rename { display_name }): Body<Rename>,
) -> ApiResult<Empty> {
    if display_name.as_ref().is_some_and(|name| name.len() > limits::DEVICE_NAME_BYTES_MAX) {
        return Err(ApiError::too_large("The display name is too long."));
    }
    if let Some(name) = display_name {
        app.writers.confirmed(app.users.rename_device(&session.user_id, &device_id, Some(&name))).await??;
    } else if query::device(&*app.views.snapshot(), &session.user_id, &device_id)?.is_none() {
        // Nothing to change; but an unknown device is still one.
        return Err(ApiError::not_found("Unknown device."));
    }
    Ok(Empty)
}

#[derive(Deserialize)]
struct Nothing {}

pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    session: Authed,
    Path(device_id): Path<String>,
    RawBody(body): RawBody,
) -> ApiResult<RawJson<Bytes>> {
    let purpose = Purpose { name: format!("delete {device_id}"), user_id: Some(session.user_id.clone()) };
    let request = app.uia.read::<Nothing>(purpose, &body)?;
    app.uia.perform(request, BY_PASSWORD, |_, _| remove(&app, &session, vec![device_id])).await
}

#[derive(Deserialize)]
struct Several {
    devices: Vec<String>,
}

pub(crate) async fn delete_several(
    State(app): State<Arc<App>>,
    session: Authed,
    RawBody(body): RawBody,
) -> ApiResult<RawJson<Bytes>> {
    let purpose = Purpose { name: "delete several".to_owned(), user_id: Some(session.user_id.clone()) };
    let request = app.uia.read::<Several>(purpose, &body)?;
    app.uia.perform(request, BY_PASSWORD, |several, _| remove(&app, &session, several.devices)).await
}

async fn remove(app: &App, session: &Authed, devices: Vec<String>) -> ApiResult<Value> {
    let (users, session) = (Arc::clone(&app.users), session.clone());
    let deleted = async move { users.delete_devices(&session.user_id, &devices).await };
    app.writers.confirmed(elsewhere(deleted)).await??;
    Ok(json!({}))
}
