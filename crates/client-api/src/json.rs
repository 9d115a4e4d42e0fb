//! JSON in and out: request bodies with the specification's error codes, and responses.
//!
//! A request's content type is ignored. Bodies are bounded in size and depth before anything is built from them.

use std::time::Duration;

use axum::body::{Body as HttpBody, Bytes, HttpBody as _};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_json::value::RawValue;
use tokio::time::timeout;

use crate::error::{ApiError, ApiResult};
use crate::limits;

const APPLICATION_JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A JSON body of a request, at most `MAX` bytes long.
pub struct Body<T, const MAX: usize = { limits::BODY_BYTES_MAX }>(pub T);

impl<T: DeserializeOwned, S: Send + Sync, const MAX: usize> FromRequest<S> for Body<T, MAX> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> ApiResult<Self> {
        parse(&read(request, MAX).await?).map(Self)
    }
}

/// A JSON body that may be absent: an empty one counts as `{}`.
pub struct OptionalBody<T, const MAX: usize = { limits::BODY_BYTES_MAX }>(pub T);

impl<T: DeserializeOwned, S: Send + Sync, const MAX: usize> FromRequest<S> for OptionalBody<T, MAX> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> ApiResult<Self> {
        let bytes = read(request, MAX).await?;
        let bytes = if bytes.trim_ascii().is_empty() { Bytes::from_static(b"{}") } else { bytes };
        parse(&bytes).map(Self)
    }
}

/// A JSON object, kept as the text that the client sent, and known to be well-formed throughout.
pub struct ObjectBody<const MAX: usize = { limits::BODY_BYTES_MAX }>(pub Box<RawValue>);

impl<S: Send + Sync, const MAX: usize> FromRequest<S> for ObjectBody<MAX> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> ApiResult<Self> {
        let bytes = read(request, MAX).await?;
        // A raw value alone would let half characters and absurd numbers through.
        parse::<serde_json::Map<String, serde_json::Value>>(&bytes)?;
        parse(&bytes).map(Self)
    }
}

/// The bytes of a body, bounded and not looked at: for user-interactive authentication, which takes them apart.
pub struct RawBody<const MAX: usize = { limits::BODY_BYTES_MAX }>(pub Bytes);

impl<S: Send + Sync, const MAX: usize> FromRequest<S> for RawBody<MAX> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> ApiResult<Self> {
        read(request, MAX).await.map(Self)
    }
}

async fn read(request: Request, bytes_max: usize) -> ApiResult<Bytes> {
    read_within(limits::BODY_TIMEOUT, request, bytes_max).await
}

async fn read_within(patience: Duration, request: Request, bytes_max: usize) -> ApiResult<Bytes> {
    let too_large = || ApiError::too_large(format!("The body has more than {bytes_max} bytes."));
    let body: HttpBody = request.into_body();
    // A body that says it is too long is refused before any of it is read.
    if body.size_hint().lower() > bytes_max as u64 {
        // A client that is not done by then has to do without the answer.
        let _ = timeout(patience, discard(body)).await;
        return Err(too_large());
    }
    let collected = timeout(patience, Limited::new(body, bytes_max).collect()).await;
    match collected.map_err(|_| ApiError::too_slow())? {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(_) => Err(ApiError::unknown("The body ended before it was complete.")),
    }
}

/// Reads on for a while and keeps nothing: many clients look at an answer only once they have sent everything.
async fn discard(mut body: HttpBody) {
    let mut left = limits::BODY_BYTES_DISCARDED;
    while let Some(Ok(frame)) = body.frame().await {
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(bytes) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

/// Parses bytes as JSON of a shape, with the error codes that the specification asks for.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> ApiResult<T> {
    if !depth_is_bounded(bytes) {
        return Err(ApiError::bad_json("The JSON is nested too deeply."));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        // Whether it is JSON at all is not what the first error says: that depends on the shape which was expected.
        match serde_json::from_slice::<serde_json::Value>(bytes) {
            Ok(_) => wrong_shape(&error),
            Err(_) => ApiError::not_json("The body is not valid JSON."),
        }
    })
}

/// serde names a missing field and an unknown variant only in its message; the wording is part of serde's interface
/// (`de::Error::missing_field`, `unknown_variant`, `invalid_value`), and a test below holds it fast.
fn wrong_shape(error: &serde_json::Error) -> ApiError {
    let message = error.to_string();
    if error.classify() != Category::Data {
        return ApiError::bad_json("The JSON does not have the shape that is expected here.");
    }
    // Without the position: it is of no use to a client, and the rest names only the request's own fields.
    let told = message.rsplit_once(" at line ").map_or(message.as_str(), |(told, _)| told).to_owned();
    if told.starts_with("missing field") {
        ApiError::missing_param(told)
    } else if told.starts_with("unknown variant") || told.starts_with("invalid value") {
        ApiError::invalid_param(told)
    } else {
        ApiError::bad_json(told)
    }
}

/// One pass over the bytes before any tree is built: no recursion on what a client sends.
fn depth_is_bounded(bytes: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for &byte in bytes {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > limits::JSON_DEPTH_MAX {
            return false;
        }
    }
    true
}

/// A response with a value as its JSON body.
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => RawJson(body).into_response(),
            Err(error) => ApiError::internal(error).into_response(),
        }
    }
}

/// A response whose body is JSON already.
pub struct RawJson<B>(pub B);

impl<B: Into<HttpBody>> IntoResponse for RawJson<B> {
    fn into_response(self) -> Response {
        let mut response = Response::new(self.0.into());
        response.headers_mut().insert(header::CONTENT_TYPE, APPLICATION_JSON);
        response
    }
}

/// The response `{}`.
pub struct Empty;

impl IntoResponse for Empty {
    fn into_response(self) -> Response {
        RawJson(Bytes::from_static(b"{}")).into_response()
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its shape matters")]
    struct Shape {
        name: String,
        #[serde(default)]
        kind: Option<Kind>,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        Public,
    }

    #[test]
    fn each_kind_of_bad_body_has_its_code() {
        let deep = "[".repeat(limits::JSON_DEPTH_MAX + 1);
        for (body, expected) in [
            ("", "M_NOT_JSON"),
            ("{", "M_NOT_JSON"),
            ("not json", "M_NOT_JSON"),
            (r#"{"name":NaN}"#, "M_NOT_JSON"),
            ("[]", "M_BAD_JSON"),
            ("17", "M_BAD_JSON"),
            (r#"{"name":17}"#, "M_BAD_JSON"),
            (r#"{"name":"a","kind":17}"#, "M_BAD_JSON"),
            ("{}", "M_MISSING_PARAM"),
            (r#"{"name":"a","kind":"secret"}"#, "M_INVALID_PARAM"),
            (deep.as_str(), "M_BAD_JSON"),
        ] {
            let error = parse::<Shape>(body.as_bytes()).err();
            assert_eq!(error.map(|error| error.errcode), Some(expected), "{body}");
        }
        assert!(parse::<Shape>(br#"{"name":"a","kind":"public"}"#).is_ok());
    }

    #[test]
    fn brackets_inside_strings_are_not_depth() {
        let text = format!(r#""\"{}""#, "[".repeat(1000));
        assert!(depth_is_bounded(text.as_bytes()));
        let nested = format!("{}1{}", "[".repeat(limits::JSON_DEPTH_MAX), "]".repeat(limits::JSON_DEPTH_MAX));
        assert!(depth_is_bounded(nested.as_bytes()));
        assert!(!depth_is_bounded(format!("[{nested}]").as_bytes()));
    }

    async fn object(body: impl Into<HttpBody>) -> ApiResult<String> {
        let object = ObjectBody::<32>::from_request(Request::new(body.into()), &()).await;
        object.map(|ObjectBody(object)| object.get().to_owned())
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let trailers = std::future::pending::<Option<Result<axum::http::HeaderMap, std::convert::Infallible>>>();
        let body = HttpBody::new(http_body_util::Empty::<Bytes>::new().with_trailers(trailers));
        let patience = Duration::from_millis(1);
        let error = read_within(patience, Request::new(body), 32).await.expect_err("too slow");
        assert_eq!((error.status.as_u16(), error.errcode), (408, "M_UNKNOWN"));
    }

    #[tokio::test]
    async fn an_object_is_kept_as_sent_and_bounded() {
        assert_eq!(object(" {\"b\": 1, \"a\":2}\n").await.expect("an object"), "{\"b\": 1, \"a\":2}");
        let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(40));
        assert_eq!(object(long).await.expect_err("too long").errcode, "M_TOO_LARGE");
        assert_eq!(object("[1]").await.expect_err("an array").errcode, "M_BAD_JSON");
        let surrogate = r#"{"a":"\ud800"}"#;
        assert_eq!(object(surrogate).await.expect_err("half a character").errcode, "M_NOT_JSON");
    }
}
