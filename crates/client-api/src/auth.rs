//! Who asks: the access token of a request, and the device that it belongs to.

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use engram_users::Session;
use percent_encoding::percent_decode_str;

use crate::activity::is_activity;
use crate::app::App;
use crate::error::{ApiError, ApiResult};

/// A request with a good access token. Extracting it refuses all others.
#[derive(Clone, Debug)]
pub struct Authed(pub Arc<Session>);

impl Deref for Authed {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.0
    }
}

impl Authed {
    /// Refuses guests.
    pub fn no_guest(&self) -> ApiResult<()> {
        if self.guest { Err(ApiError::guest_access_forbidden("Guests cannot do this.")) } else { Ok(()) }
    }

    /// Refuses whoever is not the user that the path names.
    pub fn must_be(&self, user_id: &str) -> ApiResult<()> {
        if self.user_id == user_id { Ok(()) } else { Err(ApiError::forbidden("This is somebody else's.")) }
    }
}

/// The access token of a request, unchecked: for whoever answers so late that it has to be looked up once more.
pub struct AccessToken(String);

impl AccessToken {
    /// Refuses the request if the token is no longer good.
    pub fn still_good(&self, app: &App) -> ApiResult<()> {
        app.users.session(&self.0)?;
        Ok(())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for AccessToken {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> ApiResult<Self> {
        token(parts).map(Self)
    }
}

impl FromRequestParts<Arc<App>> for Authed {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> ApiResult<Self> {
        let session = app.users.session(&token(parts)?)?;
        // Here, where every request of a user is seen, so that no handler can forget it.
        if is_activity(&parts.method, parts.uri.path()) {
            app.live.act(&session.user_id, &session.device_id, app.now());
        }
        Ok(Self(session))
    }
}

/// The address that a request came from, as the listener noted it in the request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct ClientAddress(pub Option<IpAddr>);

impl ClientAddress {
    /// As it is recorded.
    pub fn text(self) -> Option<String> {
        self.0.map(|address| address.to_string())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get::<Self>().copied().unwrap_or(Self(None)))
    }
}

/// The token of a request: from its header, or from the query as old clients send it.
fn token(parts: &Parts) -> ApiResult<String> {
    if let Some(value) = parts.headers.get(header::AUTHORIZATION) {
        let value = value.to_str().map_err(|_| ApiError::missing_token())?;
        return bearer(value).map(str::to_owned).ok_or_else(ApiError::missing_token);
    }
    let query = parts.uri.query().unwrap_or_default();
    let raw = query.split('&').find_map(|pair| pair.strip_prefix("access_token="));
    let raw = raw.filter(|raw| !raw.is_empty()).ok_or_else(ApiError::missing_token)?;
    let decoded = percent_decode_str(raw).decode_utf8();
    decoded.map(std::borrow::Cow::into_owned).map_err(|_| ApiError::unknown_token(false))
}

/// The credentials of a `Bearer` header, whose scheme is case-insensitive.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    #[test]
    fn a_token_comes_in_the_header_or_the_query() {
        for (header, path, expected) in [
            (Some("Bearer abc"), "/x", Ok("abc")),
            (Some("bearer abc"), "/x", Ok("abc")),
            (Some("Bearer abc"), "/x?access_token=def", Ok("abc")),
            (None, "/x?a=1&access_token=d%2Bf", Ok("d+f")),
            (Some("Basic abc"), "/x?access_token=def", Err("M_MISSING_TOKEN")),
            (Some("Bearer "), "/x", Err("M_MISSING_TOKEN")),
            (None, "/x?access_token=", Err("M_MISSING_TOKEN")),
            (None, "/x?other_access_token=a", Err("M_MISSING_TOKEN")),
            (None, "/x", Err("M_MISSING_TOKEN")),
        ] {
            let mut request = Request::get(path);
            if let Some(value) = header {
                request = request.header(header::AUTHORIZATION, value);
            }
            let (parts, ()) = request.body(()).expect("a request").into_parts();
            let found = token(&parts);
            assert_eq!(found.as_deref().map_err(|error| error.errcode), expected, "{header:?} {path}");
        }
    }
}
