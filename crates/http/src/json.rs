//! JSON in and out: request bodies with the specification's error codes, and responses.
//!
//! A request's content type is ignored. The front bounds bodies in size; here they are bounded in depth, before
//! anything is built from them.

use axum::body::Body as HttpBody;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::error::{ApiError, ApiResult};
use crate::handler::{Call, Extract};
use crate::limits;

const APPLICATION_JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The JSON body of a request.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S, C> Extract<S, C> for Body<T> {
    fn extract(call: &mut Call<S, C>) -> ApiResult<Self> {
        parse(&call.body).map(Self)
    }
}

/// A JSON body that may be absent: an empty one counts as `{}`.
pub struct OptionalBody<T>(pub T);

impl<T: DeserializeOwned, S, C> Extract<S, C> for OptionalBody<T> {
    fn extract(call: &mut Call<S, C>) -> ApiResult<Self> {
        parse(if call.body.trim_ascii().is_empty() { b"{}" } else { &call.body }).map(Self)
    }
}

/// A JSON object, kept as the text that the client sent, and known to be well-formed throughout.
pub struct ObjectBody(pub Box<RawValue>);

impl<S, C> Extract<S, C> for ObjectBody {
    fn extract(call: &mut Call<S, C>) -> ApiResult<Self> {
        object(&call.body).map(Self)
    }
}

fn object(bytes: &[u8]) -> ApiResult<Box<RawValue>> {
    // A raw value alone would let half characters and absurd numbers through.
    parse::<serde_json::Map<String, serde_json::Value>>(bytes)?;
    parse(bytes)
}

/// The bytes of a body, not looked at: for user-interactive authentication, which takes them apart.
pub struct RawBody(pub Bytes);

impl<S, C> Extract<S, C> for RawBody {
    fn extract(call: &mut Call<S, C>) -> ApiResult<Self> {
        Ok(Self(call.body.clone()))
    }
}

/// Parses bytes as JSON of a shape, with the error codes that the specification asks for.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> ApiResult<T> {
    // What is passed over would else not be looked at.
    let text = std::str::from_utf8(bytes).map_err(|_| ApiError::not_json("The body is not UTF-8."))?;
    if !depth_is_bounded(bytes) {
        return Err(ApiError::bad_json("The JSON is nested too deeply."));
    }
    if text.trim_ascii_start().starts_with('[') && serde_json::from_str::<IgnoredAny>(text).is_ok() {
        // An array of as many elements as a structure has fields would pass for one.
        return Err(ApiError::bad_json("The body has to be a JSON object."));
    }
    serde_json::from_str(text).map_err(|error| {
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
            (r#"["name","public"]"#, "M_BAD_JSON"),
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

    #[test]
    fn an_object_is_kept_as_sent() {
        let code = |body: &str| object(body.as_bytes()).expect_err("refused").errcode;
        let kept = object(b" {\"b\": 1, \"a\":2}\n").expect("an object");
        assert_eq!(kept.get(), "{\"b\": 1, \"a\":2}");
        assert_eq!(code("[1]"), "M_BAD_JSON");
        assert_eq!(code(r#"{"a":"\ud800"}"#), "M_NOT_JSON", "half a character");
    }
}
