//! `POST /_matrix/client/v3/register`, `GET …/register/available`,
//! `GET /_matrix/client/v1/register/m.login.registration_token/validity` (Account registration).

use std::sync::Arc;

use bytes::Bytes;
use engram_http::json::{Json, RawBody, RawJson};
use engram_http::path::Query;
use engram_http::uia::{Flows, Passed, Purpose, Request, Stage};
use engram_http::{ApiError, ApiResult, ClientAddress, State};
use engram_users::HashedPassword;
use engram_users::writer::{RegisterRequest, Registered};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::App;
use crate::limits;

const OPEN: Flows = &[&[Stage::Dummy]];
const BY_TOKEN: Flows = &[&[Stage::RegistrationToken]];

#[derive(Deserialize)]
pub(crate) struct Kind {
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Wanted {
    #[serde(rename = "type")]
    login_type: Option<String>,
    username: Option<String>,
    password: Option<String>,
    device_id: Option<String>,
    initial_device_display_name: Option<String>,
    #[serde(default)]
    inhibit_login: bool,
    /// Of a guest who wants to keep their user ID with a full account.
    guest_access_token: Option<String>,
}

pub(crate) async fn register(
    State(app): State<Arc<App>>,
    address: ClientAddress,
    Query(Kind { kind }): Query<Kind>,
    RawBody(body): RawBody,
) -> ApiResult<RawJson<Bytes>> {
    let purpose = Purpose { name: "register".to_owned(), user_id: None };
    let request = app.uia.read::<Wanted>(purpose, &body)?;
    match kind.as_deref() {
        None | Some("user") => {}
        Some("guest") => return register_guest(&app, request.parameters, address).await,
        Some(_) => return Err(ApiError::invalid_param("`kind` is `user` or `guest`.")),
    }
    let mut upgraded_guest = None;
    if !request.is_answered() {
        upgraded_guest = guest_to_upgrade(&app, &request.parameters)?;
        refuse_early(&app, &request, upgraded_guest.is_some())?;
    }
    let flows = if app.config.registration_open { OPEN } else { BY_TOKEN };
    let register = async |wanted: Wanted, passed: Passed| {
        let password = match wanted.password {
            Some(password) => Some(hashed(&app, password).await?),
            None => None,
        };
        let registration = RegisterRequest {
            localpart: wanted.username,
            password,
            device_id: wanted.device_id,
            initial_device_display_name: wanted.initial_device_display_name,
            inhibit_login: wanted.inhibit_login,
            registration_token: passed.registration_token,
            upgraded_guest,
            ip: address.text(),
            ..RegisterRequest::default()
        };
        let registered = app.writers.confirmed(app.users.register(registration)).await??;
        Ok(rendered(&app, registered))
    };
    app.uia.perform(request, flows, register).await
}

/// A password in the form in which it is kept.
pub(crate) async fn hashed(app: &App, password: String) -> ApiResult<HashedPassword> {
    let users = Arc::clone(&app.users);
    app.writers().hash(move || users.hash_password(&password)).await
}

/// What cannot succeed is refused before anybody has to authenticate for it.
fn refuse_early(app: &App, request: &Request<Wanted>, keeps_user_id: bool) -> ApiResult<()> {
    let wanted = &request.parameters;
    if wanted.login_type.as_deref() == Some("m.login.application_service") {
        return Err(ApiError::forbidden("No application service may register accounts here."));
    }
    if wanted.password.as_ref().is_some_and(|password| password.len() > limits::PASSWORD_BYTES_MAX) {
        return Err(ApiError::invalid_param("The password is too long."));
    }
    if wanted.password.is_none() && request.attempts_a_stage() {
        return Err(ApiError::missing_param("`password` is missing."));
    }
    if let Some(username) = wanted.username.clone().filter(|_| !keeps_user_id) {
        app.users.check_available(&username)?;
    }
    Ok(())
}

/// The guest whose token comes with the request: it proves that the user name is theirs.
fn guest_to_upgrade(app: &App, wanted: &Wanted) -> ApiResult<Option<String>> {
    let Some(token) = &wanted.guest_access_token else { return Ok(None) };
    let session = app.users.session(token)?;
    if !session.guest {
        return Err(ApiError::forbidden("`guest_access_token` is not a guest's."));
    }
    let user_id = wanted.username.as_ref().map(|name| format!("@{name}:{}", app.config.server_name));
    match user_id {
        Some(user_id) if user_id != session.user_id => {
            Err(ApiError::forbidden("`guest_access_token` belongs to somebody else."))
        }
        _ => Ok(Some(session.user_id.clone())),
    }
}

async fn register_guest(app: &Arc<App>, wanted: Wanted, address: ClientAddress) -> ApiResult<RawJson<Bytes>> {
    if !app.config.guests {
        return Err(ApiError::forbidden("This server has no guests."));
    }
    let registration = RegisterRequest {
        guest: true,
        initial_device_display_name: wanted.initial_device_display_name,
        inhibit_login: wanted.inhibit_login,
        ip: address.text(),
        ..RegisterRequest::default()
    };
    let registered = app.writers.confirmed(app.users.register(registration)).await??;
    Ok(RawJson(rendered(app, registered).to_string().into()))
}

/// The response to a registration.
pub(crate) fn rendered(app: &App, registered: Registered) -> Value {
    let mut answer = json!({ "user_id": registered.user_id, "home_server": app.config.server_name });
    if let Some(session) = registered.session {
        answer["access_token"] = session.access_token.into();
        answer["device_id"] = session.device_id.into();
    }
    answer
}

#[derive(Deserialize)]
pub(crate) struct Username {
    username: String,
}

pub(crate) fn available(
    State(app): State<Arc<App>>,
    Query(Username { username }): Query<Username>,
) -> ApiResult<Json<Value>> {
    app.users.check_available(&username)?;
    Ok(Json(json!({ "available": true })))
}

#[derive(Deserialize)]
pub(crate) struct Token {
    token: String,
}

pub(crate) fn token_validity(
    State(app): State<Arc<App>>,
    Query(Token { token }): Query<Token>,
) -> ApiResult<Json<Value>> {
    let valid = app.users.check_registration_token(&token)?;
    Ok(Json(json!({ "valid": valid })))
}
