//! `GET` and `POST /_synapse/admin/v1/register`: registration by whoever knows the shared secret.
//!
//! Not part of the specification: the ecosystem's tools expect it. The proof is an HMAC-SHA1 over a nonce, which is
//! good once and for a short time, and the parameters.

use std::sync::Arc;

use engram_http::json::{Body, Json};
use engram_http::{ApiError, ApiResult, ClientAddress, State};
use engram_users::writer::RegisterRequest;
use hmac::{Hmac, Mac};
use serde::Deserialize;
use serde_json::{Value, json};
use sha1::Sha1;

use crate::app::App;
use crate::register::{hashed, rendered};

pub(crate) fn nonce(State(app): State<Arc<App>>) -> ApiResult<Json<Value>> {
    shared_secret(&app)?;
    let nonce = app.random_string(43);
    app.register_nonces.add(nonce.clone(), app.now());
    Ok(Json(json!({ "nonce": nonce })))
}

#[derive(Deserialize)]
pub(crate) struct Wanted {
    nonce: String,
    username: String,
    password: String,
    displayname: Option<String>,
    #[serde(default)]
    admin: bool,
    user_type: Option<String>,
    mac: String,
    #[serde(default)]
    inhibit_login: bool,
}

pub(crate) async fn register(
    State(app): State<Arc<App>>,
    address: ClientAddress,
    Body(wanted): Body<Wanted>,
) -> ApiResult<Json<Value>> {
    let secret = shared_secret(&app)?;
    refuse_malformed(&wanted)?;
    if !app.register_nonces.take(&wanted.nonce, app.now()) {
        return Err(ApiError::unknown("The nonce is unknown, used or too old."));
    }
    if !proven(secret.as_bytes(), &wanted) {
        return Err(ApiError::forbidden("The MAC does not verify."));
    }
    let password = hashed(&app, wanted.password).await?;
    let registration = RegisterRequest {
        localpart: Some(wanted.username),
        password: Some(password),
        display_name: wanted.displayname,
        admin: wanted.admin,
        inhibit_login: wanted.inhibit_login,
        ip: address.text(),
        ..RegisterRequest::default()
    };
    let registered = app.writers.confirmed(app.users.register(registration)).await??;
    Ok(Json(rendered(&app, registered)))
}

fn shared_secret(app: &App) -> ApiResult<&str> {
    let secret = app.config.registration_shared_secret.as_deref();
    secret.ok_or_else(|| ApiError::unknown("Registration by shared secret is not enabled."))
}

fn refuse_malformed(wanted: &Wanted) -> ApiResult<()> {
    // The separator of the MAC's input must not be part of any field.
    let fields = [Some(&wanted.username), Some(&wanted.password), wanted.user_type.as_ref()];
    if fields.into_iter().flatten().any(|field| field.is_empty() || field.contains('\0')) {
        return Err(ApiError::invalid_param("A field is empty or contains a NUL character."));
    }
    match wanted.user_type.as_deref() {
        None | Some("support" | "bot") => Ok(()),
        Some(_) => Err(ApiError::invalid_param("`user_type` is `support`, `bot`, or absent.")),
    }
}

/// Whether the MAC verifies, compared in constant time.
fn proven(secret: &[u8], wanted: &Wanted) -> bool {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret).expect("HMAC takes a key of any length");
    mac.update(wanted.nonce.as_bytes());
    let admin = if wanted.admin { "admin" } else { "notadmin" };
    let rest =
        [wanted.username.as_str(), wanted.password.as_str(), admin].into_iter().chain(wanted.user_type.as_deref());
    for field in rest {
        mac.update(b"\0");
        mac.update(field.as_bytes());
    }
    decode_hex(&wanted.mac).is_some_and(|claimed| mac.verify_slice(&claimed).is_ok())
}

fn decode_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    Some(digits?.chunks_exact(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(mac: &str, admin: bool) -> Wanted {
        let value = json!({ "nonce": "n", "username": "u", "password": "p", "admin": admin, "mac": mac });
        serde_json::from_value(value).expect("the shape")
    }

    #[test]
    fn the_mac_covers_nonce_name_password_and_rank() {
        // printf 'n\0u\0p\0notadmin' | openssl dgst -sha1 -hmac secret
        let mac = "0f2b4751fa14a68d6a6878c313b752580706c394";
        assert!(proven(b"secret", &wanted(mac, false)));
        assert!(!proven(b"secret", &wanted(mac, true)));
        assert!(!proven(b"Secret", &wanted(mac, false)));
        assert!(!proven(b"secret", &wanted("zz", false)));
        assert!(!proven(b"secret", &wanted("", false)));
    }
}
