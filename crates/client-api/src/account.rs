//! `GET /_matrix/client/v3/account/whoami`, `POST …/account/password`, `POST …/account/deactivate`
//! (Account management).

use std::sync::Arc;

use axum::extract::State;
use engram_users::writer::LogoutOthers;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::App;
use crate::auth::Authed;
use crate::error::{ApiError, ApiResult};
use crate::json::{Empty, Json, RawBody};
use crate::limits;
use crate::membership;
use crate::register::hashed;
use crate::uia::{self, Flows, Operation, Stage};

/// Whatever an account's owner must prove once more.
pub(crate) const BY_PASSWORD: Flows = &[&[Stage::Password]];

pub(crate) async fn whoami(session: Authed) -> Json<Value> {
    Json(json!({ "user_id": session.user_id, "device_id": session.device_id, "is_guest": session.guest }))
}

#[derive(Deserialize)]
struct NewPassword {
    new_password: Option<String>,
    #[serde(default = "yes")]
    logout_devices: bool,
}

fn yes() -> bool {
    true
}

pub(crate) async fn password(
    State(app): State<Arc<App>>,
    session: Authed,
    RawBody(body): RawBody<{ limits::BODY_BYTES_MAX_ANONYMOUS }>,
) -> ApiResult<Empty> {
    session.no_guest()?;
    let operation = Operation { name: "password".to_owned(), user_id: Some(session.user_id.clone()) };
    let request = uia::Request::<NewPassword>::read(&app.uia, &operation, &body, app.now())?;
    if request.parameters.new_password.as_ref().is_some_and(|new| new.len() > limits::PASSWORD_BYTES_MAX) {
        return Err(ApiError::invalid_param("The password is too long."));
    }
    uia::authenticate(&app, &operation, &request, BY_PASSWORD).await?;
    let NewPassword { new_password, logout_devices } = request.parameters;
    let new_password = new_password.ok_or_else(|| ApiError::missing_param("`new_password` is missing."))?;
    let hashed = hashed(&app, new_password).await?;
    let others = if logout_devices { LogoutOthers::AllBut(&session.device_id) } else { LogoutOthers::No };
    app.writers.confirmed(app.users.change_password(&session.user_id, hashed, others)).await??;
    Ok(Empty)
}

#[derive(Deserialize)]
struct Deactivation {
    #[serde(default)]
    erase: bool,
}

pub(crate) async fn deactivate(
    State(app): State<Arc<App>>,
    session: Authed,
    RawBody(body): RawBody<{ limits::BODY_BYTES_MAX_ANONYMOUS }>,
) -> ApiResult<Json<Value>> {
    let operation = Operation { name: "deactivate".to_owned(), user_id: Some(session.user_id.clone()) };
    let request = uia::Request::<Deactivation>::read(&app.uia, &operation, &body, app.now())?;
    uia::authenticate(&app, &operation, &request, BY_PASSWORD).await?;
    // First the rooms, while the account can still act; who is interrupted here can ask again.
    membership::leave_all(&app, &session.user_id).await?;
    app.writers.confirmed(app.users.deactivate(&session.user_id, request.parameters.erase)).await??;
    // Nothing was ever bound to an identity server, so nothing is left bound.
    Ok(Json(json!({ "id_server_unbind_result": "success" })))
}
