//! `GET` and `POST /_matrix/client/v3/login` (Login).

use std::sync::Arc;

use engram_http::json::{Body, Json, RawJson};
use engram_http::uia::Identifier;
use engram_http::{ApiError, ApiResult, ClientAddress, State};
use engram_users::writer::NewDevice;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::App;

/// The ways to log in.
pub(crate) fn flows() -> RawJson<&'static str> {
    RawJson(r#"{"flows":[{"type":"m.login.password"}]}"#)
}

#[derive(Deserialize)]
pub(crate) struct Login {
    #[serde(rename = "type")]
    kind: String,
    identifier: Option<Identifier>,
    /// The name of `identifier.user` in old clients.
    user: Option<String>,
    password: Option<String>,
    device_id: Option<String>,
    initial_device_display_name: Option<String>,
}

impl Login {
    /// Whose password this is said to be.
    fn user(&mut self) -> ApiResult<String> {
        let Some(identifier) = self.identifier.take() else {
            return self.user.take().ok_or_else(|| ApiError::missing_param("`identifier` is missing."));
        };
        identifier.user()
    }
}

pub(crate) async fn log_in(
    State(app): State<Arc<App>>,
    address: ClientAddress,
    Body(mut login): Body<Login>,
) -> ApiResult<Json<Value>> {
    if login.kind != "m.login.password" {
        return Err(ApiError::unknown("This type of login is not known."));
    }
    let user = login.user()?;
    let password = login.password.ok_or_else(|| ApiError::missing_param("`password` is missing."))?;
    let device = NewDevice {
        device_id: login.device_id,
        initial_device_display_name: login.initial_device_display_name,
        ip: address.text(),
    };
    let users = Arc::clone(&app.users);
    let verified = app.writers().hash(move || users.verify_password(&user, &password)).await?;
    let session = app.writers.confirmed(app.users.login(verified, device)).await??;
    let mut answer = json!({
        "user_id": session.user_id,
        "access_token": session.access_token,
        "device_id": session.device_id,
        "home_server": app.config.server_name,
    });
    if let Some(base_url) = &app.config.public_base_url {
        answer["well_known"] = json!({ "m.homeserver": { "base_url": base_url } });
    }
    Ok(Json(answer))
}
