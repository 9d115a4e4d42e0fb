//! The one error of all surfaces: (status, errcode, message) and the extra keys that a code defines.
//!
//! Domain errors are converted here and nowhere else. What goes wrong inside is logged once, and the client
//! learns no more than that it did.

use std::borrow::Cow;
use std::fmt::Display;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

use crate::limits;

/// What an endpoint returns.
pub type ApiResult<T> = Result<T, ApiError>;

/// A refusal, as the client sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiError {
    /// The HTTP status.
    pub status: StatusCode,
    /// `M_…`.
    pub errcode: &'static str,
    /// For people. Says nothing about the inside of the server.
    pub message: Cow<'static, str>,
    /// The keys that the code defines beside `errcode` and `error`.
    pub extra: Option<Box<Map<String, Value>>>,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $status:ident $errcode:literal;)*) => {
        impl ApiError {
            $($(#[$doc])*
            #[cold]
            pub fn $name(message: impl Into<Cow<'static, str>>) -> Self {
                Self::new(StatusCode::$status, $errcode, message)
            })*
        }
    };
}

codes! {
    /// Not allowed: the right is missing.
    forbidden = FORBIDDEN "M_FORBIDDEN";
    /// The body is no JSON at all.
    not_json = BAD_REQUEST "M_NOT_JSON";
    /// The body is JSON of the wrong shape.
    bad_json = BAD_REQUEST "M_BAD_JSON";
    /// A parameter is absent.
    missing_param = BAD_REQUEST "M_MISSING_PARAM";
    /// A parameter has a value that it cannot have.
    invalid_param = BAD_REQUEST "M_INVALID_PARAM";
    /// No such thing, or none that the user may know of.
    not_found = NOT_FOUND "M_NOT_FOUND";
    /// No such endpoint.
    unrecognized = NOT_FOUND "M_UNRECOGNIZED";
    /// Something else is wrong with the request.
    unknown = BAD_REQUEST "M_UNKNOWN";
    /// The request is too large.
    too_large = PAYLOAD_TOO_LARGE "M_TOO_LARGE";
    /// The user ID is taken.
    user_in_use = BAD_REQUEST "M_USER_IN_USE";
    /// The user ID cannot be one.
    invalid_username = BAD_REQUEST "M_INVALID_USERNAME";
    /// The user ID belongs to an application service, or the alias does.
    exclusive = BAD_REQUEST "M_EXCLUSIVE";
    /// The password does not do.
    weak_password = BAD_REQUEST "M_WEAK_PASSWORD";
    /// The account is closed.
    user_deactivated = FORBIDDEN "M_USER_DEACTIVATED";
    /// Guests cannot do this.
    guest_access_forbidden = FORBIDDEN "M_GUEST_ACCESS_FORBIDDEN";
    /// The alias is taken.
    room_in_use = BAD_REQUEST "M_ROOM_IN_USE";
    /// The initial state of a room does not pass the room's own rules.
    invalid_room_state = BAD_REQUEST "M_INVALID_ROOM_STATE";
    /// The server does not know that room version.
    unsupported_room_version = BAD_REQUEST "M_UNSUPPORTED_ROOM_VERSION";
    /// An alias does not point where it should.
    bad_alias = BAD_REQUEST "M_BAD_ALIAS";
    /// A state event is not what it must be.
    bad_state = BAD_REQUEST "M_BAD_STATE";
    /// A signature does not verify.
    invalid_signature = BAD_REQUEST "M_INVALID_SIGNATURE";
    /// One cannot leave the server notices room.
    cannot_leave_server_notice_room = FORBIDDEN "M_CANNOT_LEAVE_SERVER_NOTICE_ROOM";
    /// A position (`pos`, `since`) that the server does not know.
    unknown_pos = BAD_REQUEST "M_UNKNOWN_POS";
    /// The key of the profile is too large.
    key_too_large = BAD_REQUEST "M_KEY_TOO_LARGE";
    /// The profile as a whole is too large.
    profile_too_large = BAD_REQUEST "M_PROFILE_TOO_LARGE";
    /// The server does not do this.
    unavailable = SERVICE_UNAVAILABLE "M_UNKNOWN";
}

impl ApiError {
    /// Any code.
    #[cold]
    pub fn new(status: StatusCode, errcode: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, errcode, message: message.into(), extra: None }
    }

    /// The same with another status.
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// The same with a further key.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.extra.get_or_insert_default().insert(key.to_owned(), value.into());
        self
    }

    /// No access token where one is needed.
    #[cold]
    pub fn missing_token() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "M_MISSING_TOKEN", "Missing access token.")
    }

    /// An access token that is not good, or no longer. After a soft logout the client keeps its data and logs in again.
    #[cold]
    pub fn unknown_token(soft_logout: bool) -> Self {
        let error = Self::new(StatusCode::UNAUTHORIZED, "M_UNKNOWN_TOKEN", "Unknown or expired access token.");
        if soft_logout { error.with("soft_logout", true) } else { error }
    }

    /// A known path with a method that it does not have.
    #[cold]
    pub fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "M_UNRECOGNIZED", "This path does not have that method.")
    }

    /// The body of the request did not come in time.
    #[cold]
    pub fn too_slow() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "M_UNKNOWN", "The body of the request did not arrive in time.")
    }

    /// Too many requests.
    #[cold]
    pub fn limit_exceeded(retry_after_ms: u64) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "M_LIMIT_EXCEEDED", "Too many requests.")
            .with("retry_after_ms", retry_after_ms)
    }

    /// Something went wrong inside: logged here, once, and not told to the client.
    #[cold]
    pub fn internal(cause: impl Display) -> Self {
        tracing::error!(code = "E-API-INTERNAL", %cause, "a request failed inside the server");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "M_UNKNOWN", "Internal server error.")
    }

    /// The log does not take anything right now: the client is to try again.
    #[cold]
    pub fn busy() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "M_UNKNOWN", "The server is busy, or stopping: try again later.")
            .with("retry_after_ms", limits::WRITERS_RETRY_MS)
    }

    /// What was asked for is on its way, and nobody knows when it will be done. To repeat it with the same transaction
    /// does it once.
    #[cold]
    pub fn unconfirmed(message: &'static str) -> Self {
        Self::unavailable(message).with("retry_after_ms", limits::WRITERS_RETRY_MS)
    }

    fn retry_after_seconds(&self) -> Option<u64> {
        let milliseconds = self.extra.as_ref()?.get("retry_after_ms")?.as_u64()?;
        Some(milliseconds.div_ceil(1000))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let retry_after = self.retry_after_seconds();
        let mut body = self.extra.map(|extra| *extra).unwrap_or_default();
        // A first 401 of user-interactive authentication is a question and not an error: it has no code.
        if !self.errcode.is_empty() {
            body.insert("errcode".to_owned(), self.errcode.into());
            body.insert("error".to_owned(), self.message.into());
        }
        let mut response = crate::json::Json(Value::Object(body)).into_response();
        *response.status_mut() = self.status;
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<engram_log::AppendError> for ApiError {
    fn from(error: engram_log::AppendError) -> Self {
        use engram_log::AppendError as E;
        match error {
            E::TooLarge { .. } => Self::too_large("This is more than one record of the server can hold."),
            E::DiskFull => Self::unavailable("The server's disk is full: nothing can be written at the moment.")
                .with("retry_after_ms", limits::DISK_FULL_RETRY_MS),
            // A server that has stopped says why itself, once.
            E::Busy | E::Stopped(_) => Self::busy(),
        }
    }
}

impl From<engram_views::Stopped> for ApiError {
    fn from(_: engram_views::Stopped) -> Self {
        Self::busy()
    }
}

impl From<engram_views::ViewError> for ApiError {
    fn from(error: engram_views::ViewError) -> Self {
        Self::internal(error)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn check(error: ApiError, status: u16, expected: Value) {
        let response = error.into_response();
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
        let body = response.into_body().collect().await.expect("a full body").to_bytes();
        assert_eq!(serde_json::from_slice::<Value>(&body).expect("JSON"), expected);
    }

    #[tokio::test]
    async fn an_error_is_an_object_with_code_text_and_extra_keys() {
        use serde_json::json;
        let forbidden = ApiError::forbidden("No.");
        check(forbidden, 403, json!({"errcode": "M_FORBIDDEN", "error": "No."})).await;
        let soft =
            json!({"errcode": "M_UNKNOWN_TOKEN", "error": "Unknown or expired access token.", "soft_logout": true});
        check(ApiError::unknown_token(true), 401, soft).await;
        let internal = json!({"errcode": "M_UNKNOWN", "error": "Internal server error."});
        check(ApiError::internal("password is hunter2"), 500, internal).await;
    }

    #[test]
    fn a_rate_limit_carries_the_header_in_whole_seconds() {
        let response = ApiError::limit_exceeded(1001).into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
    }
}
