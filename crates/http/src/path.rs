//! Path segments and query parameters, percent-decoded exactly once, with Matrix errors.

use std::borrow::Cow;

use axum::extract::Query as AxumQuery;
use axum::http::Uri;
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;

use crate::error::{ApiError, ApiResult};
use crate::handler::{Call, Extract};

/// The segments of the path that the route leaves open, in order.
pub struct Path<T>(pub T);

impl<S, C> Extract<S, C> for Path<String> {
    fn extract(call: &mut Call<S, C>) -> ApiResult<Self> {
        segment(call, 0).map(Self)
    }
}

impl<S, C> Extract<S, C> for Path<(String, String)> {
    fn extract(call: &mut Call<S, C>) -> ApiResult<Self> {
        Ok(Self((segment(call, 0)?, segment(call, 1)?)))
    }
}

impl<S, C> Extract<S, C> for Path<(String, String, String)> {
    fn extract(call: &mut Call<S, C>) -> ApiResult<Self> {
        Ok(Self((segment(call, 0)?, segment(call, 1)?, segment(call, 2)?)))
    }
}

impl<S, C> Extract<S, C> for Path<(String, String, String, String)> {
    fn extract(call: &mut Call<S, C>) -> ApiResult<Self> {
        Ok(Self((segment(call, 0)?, segment(call, 1)?, segment(call, 2)?, segment(call, 3)?)))
    }
}

fn segment<S, C>(call: &Call<S, C>, index: usize) -> ApiResult<String> {
    let raw = call.segments.get(call.uri.path(), index);
    let raw =
        raw.ok_or_else(|| ApiError::internal("a handler asks for a segment that its path does not leave open"))?;
    percent_decode_str(raw)
        .decode_utf8()
        .map(Cow::into_owned)
        .map_err(|_| ApiError::invalid_param("The path cannot be read: its segments must be percent-encoded UTF-8."))
}

/// The query parameters.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S, C> Extract<S, C> for Query<T> {
    fn extract(call: &mut Call<S, C>) -> ApiResult<Self> {
        read_query(&call.uri).map(Self)
    }
}

fn read_query<T: DeserializeOwned>(uri: &Uri) -> ApiResult<T> {
    match AxumQuery::<T>::try_from_uri(uri) {
        Ok(AxumQuery(value)) => Ok(value),
        Err(rejection) => Err(wrong_query(&rejection.body_text())),
    }
}

fn wrong_query(message: &str) -> ApiError {
    let told = message.strip_prefix("Failed to deserialize query string: ").unwrap_or(message).to_owned();
    if told.contains("missing field") { ApiError::missing_param(told) } else { ApiError::invalid_param(told) }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its shape matters")]
    struct Wanted {
        from: String,
        limit: Option<u32>,
    }

    fn check(query: &str, expected: Option<&str>) {
        let uri: Uri = format!("/x?{query}").parse().expect("a URI");
        let outcome = read_query::<Wanted>(&uri);
        assert_eq!(outcome.err().map(|error| error.errcode), expected, "{query}");
    }

    #[test]
    fn bad_queries_have_their_codes() {
        check("from=a&limit=3", None);
        check("from=a", None);
        check("limit=3", Some("M_MISSING_PARAM"));
        check("from=a&limit=many", Some("M_INVALID_PARAM"));
    }
}
