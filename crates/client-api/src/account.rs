//! `GET /_matrix/client/v3/account/whoami`, `POST …/account/password`, `POST …/account/deactivate`
//! (Account management).

use std::sync::Arc;

use bytes::Bytes;
use engram_http::json::{Json, RawBody, RawJson};
use engram_http::uia::{BY_PASSWORD, Purpose};
use engram_http::{ApiError, ApiResult, Authed, State};
use engram_users::writer::LogoutOthers;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::App;
use crate::limits;
use crate::membership;
use crate::register::hashed;

pub(crate) fn whoami(session: Authed) -> Json<Value> {
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
    RawBody(body): RawBody,
) -> ApiResult<RawJson<Bytes>> {
    let purpose = Purpose { name: "password".to_owned(), user_id: Some(session.user_id.clone()) };
    let request = app.uia.read::<NewPassword>(purpose, &body)?;
    if request.parameters.new_password.as_ref().is_some_and(|new| new.len() > limits::PASSWORD_BYTES_MAX) {
        return Err(ApiError::invalid_param("The password is too long."));
    }
    let change = async |NewPassword { new_password, logout_devices }, _| {
        let new_password = new_password.ok_or_else(|| ApiError::missing_param("`new_password` is missing."))?;
        let hashed = hashed(&app, new_password).await?;
        let others = if logout_devices { LogoutOthers::AllBut(&session.device_id) } else { LogoutOthers::No };
        app.writers.confirmed(app.users.change_password(&session.user_id, hashed, others)).await??;
        Ok(json!({}))
    };
    app.uia.perform(request, BY_PASSWORD, change).await
}

#[derive(Deserialize)]
struct Deactivation {
    #[serde(default)]
    erase: bool,
}

pub(crate) async fn deactivate(
    State(app): State<Arc<App>>,
    session: Authed,
    RawBody(body): RawBody,
) -> ApiResult<RawJson<Bytes>> {
    let purpose = Purpose { name: "deactivate".to_owned(), user_id: Some(session.user_id.clone()) };
    let request = app.uia.read::<Deactivation>(purpose, &body)?;
    let deactivate = async |Deactivation { erase }, _| {
        // First the account: whoever joins until then is in the rooms that are left, and nobody joins after. What a
        // crash leaves undone is done at the next start.
        app.writers.confirmed(app.users.deactivate(&session.user_id, erase)).await??;
        membership::leave_all(&app, &session.user_id).await?;
        // Nothing was ever bound to an identity server, so nothing is left bound.
        Ok(json!({ "id_server_unbind_result": "success" }))
    };
    app.uia.perform(request, BY_PASSWORD, deactivate).await
}
