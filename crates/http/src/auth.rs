//! Who calls: the access token of a request and the device that it belongs to, or another server.
//!
//! The front authenticates by the registry's line; what a handler can ask for afterwards is bounded by the type of
//! caller that the line promises.

use std::borrow::Cow;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use engram_users::{Session, Users};
use percent_encoding::percent_decode_str;

use crate::error::{ApiError, ApiResult};
use crate::handler::{Call, Extract};
use crate::registry::Rules;

/// Whom the front has found to be calling.
#[derive(Clone, Debug)]
pub(crate) enum Known {
    Anybody,
    User(Arc<Session>, AccessToken),
    Server(String),
}

/// A kind of caller that a line of the registry can promise.
pub trait Caller: Sized + Send + Sync + 'static {
    /// The promise kept.
    #[doc(hidden)]
    fn promised(known: Authenticated) -> ApiResult<Self>;
}

/// What the front has found out, handed from it to [`Caller`].
pub struct Authenticated(pub(crate) Known);

/// Everybody: nothing is known.
pub struct Anybody;

/// Everybody; a session if a token was shown.
pub struct Maybe(Option<Arc<Session>>);

/// A user, as far as the operation's rules go.
pub struct User {
    session: Arc<Session>,
    token: AccessToken,
}

/// An administrator of the server.
pub struct Administrator(Arc<Session>);

/// Another server.
pub struct Origin(pub String);

impl Caller for Anybody {
    fn promised(_: Authenticated) -> ApiResult<Self> {
        Ok(Self)
    }
}

impl Caller for Maybe {
    fn promised(Authenticated(known): Authenticated) -> ApiResult<Self> {
        match known {
            Known::User(session, _) => Ok(Self(Some(session))),
            _ => Ok(Self(None)),
        }
    }
}

impl Caller for User {
    fn promised(Authenticated(known): Authenticated) -> ApiResult<Self> {
        match known {
            Known::User(session, token) => Ok(Self { session, token }),
            _ => Err(broken_promise()),
        }
    }
}

impl Caller for Administrator {
    fn promised(Authenticated(known): Authenticated) -> ApiResult<Self> {
        match known {
            Known::User(session, _) if session.admin => Ok(Self(session)),
            _ => Err(broken_promise()),
        }
    }
}

impl Caller for Origin {
    fn promised(Authenticated(known): Authenticated) -> ApiResult<Self> {
        match known {
            Known::Server(name) => Ok(Self(name)),
            _ => Err(broken_promise()),
        }
    }
}

/// The front authenticates by the same line that the handler's type comes from.
fn broken_promise() -> ApiError {
    ApiError::internal("a caller is not of the kind that its operation promises")
}

/// The session of a user who calls.
#[derive(Clone, Debug)]
pub struct Authed(pub Arc<Session>);

impl Deref for Authed {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.0
    }
}

impl Authed {
    /// Refuses whoever is not the user that the path names.
    pub fn must_be(&self, user_id: &str) -> ApiResult<()> {
        if self.user_id == user_id { Ok(()) } else { Err(ApiError::forbidden("This is somebody else's.")) }
    }
}

impl<S> Extract<S, User> for Authed {
    fn extract(call: &mut Call<S, User>) -> ApiResult<Self> {
        Ok(Self(Arc::clone(&call.caller.session)))
    }
}

impl<S> Extract<S, Administrator> for Authed {
    fn extract(call: &mut Call<S, Administrator>) -> ApiResult<Self> {
        Ok(Self(Arc::clone(&call.caller.0)))
    }
}

/// The session of whoever calls, if they have shown one.
impl<S> Extract<S, Maybe> for Option<Authed> {
    fn extract(call: &mut Call<S, Maybe>) -> ApiResult<Self> {
        Ok(call.caller.0.clone().map(Authed))
    }
}

impl<S> Extract<S, Origin> for Origin {
    fn extract(call: &mut Call<S, Origin>) -> ApiResult<Self> {
        Ok(Self(call.caller.0.clone()))
    }
}

/// The access token of a request: for whoever answers so late that it has to be looked up once more.
#[derive(Clone, Debug)]
pub struct AccessToken(Shown);

#[derive(Clone)]
enum Shown {
    /// The whole header: cheap to keep.
    Header(HeaderValue),
    Query(String),
}

impl std::fmt::Debug for Shown {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A secret, and this may end in a log.
        formatter.write_str("…")
    }
}

impl AccessToken {
    /// The token of a request: from its header, or from the query as old clients send it.
    pub(crate) fn of(parts: &Parts) -> ApiResult<Self> {
        if let Some(value) = parts.headers.get(header::AUTHORIZATION) {
            bearer(value).ok_or_else(ApiError::missing_token)?;
            return Ok(Self(Shown::Header(value.clone())));
        }
        let query = parts.uri.query().unwrap_or_default();
        let raw = query.split('&').find_map(|pair| pair.strip_prefix("access_token="));
        let raw = raw.filter(|raw| !raw.is_empty()).ok_or_else(ApiError::missing_token)?;
        let decoded = percent_decode_str(raw).decode_utf8();
        let decoded = decoded.map(Cow::into_owned).map_err(|_| ApiError::unknown_token(false))?;
        Ok(Self(Shown::Query(decoded)))
    }

    pub(crate) fn text(&self) -> &str {
        match &self.0 {
            Shown::Header(value) => bearer(value).expect("it was read when the request came"),
            Shown::Query(token) => token,
        }
    }

    /// Refuses the request if the token is no longer good. From memory unless the session has ended meanwhile.
    pub fn still_good(&self, users: &Users) -> ApiResult<()> {
        users.session(self.text())?;
        Ok(())
    }
}

impl<S> Extract<S, User> for AccessToken {
    fn extract(call: &mut Call<S, User>) -> ApiResult<Self> {
        Ok(call.caller.token.clone())
    }
}

/// The credentials of a `Bearer` header, whose scheme is case-insensitive.
fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Refuses users whom an operation's rules leave out. Accounts cannot be locked or suspended yet; the rules wait for
/// them.
pub(crate) fn admitted(session: &Session, rules: Rules) -> ApiResult<()> {
    if session.guest && !rules.guests {
        return Err(ApiError::guest_access_forbidden("Guests cannot do this."));
    }
    Ok(())
}

/// The address that a request came from, as the listener knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub Option<IpAddr>);

impl ClientAddress {
    /// As it is recorded.
    pub fn text(self) -> Option<String> {
        self.0.map(|address| address.to_string())
    }
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
            let found = AccessToken::of(&parts);
            let found = found.as_ref().map(AccessToken::text);
            assert_eq!(found.map_err(|error| error.errcode), expected, "{header:?} {path}");
        }
    }
}
