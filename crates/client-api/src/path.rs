//! Path segments and query parameters, percent-decoded exactly once, with Matrix errors.

use axum::extract::{FromRequestParts, Path as AxumPath, Query as AxumQuery};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::error::{ApiError, ApiResult};

/// The segments of the path that the route leaves open, in order.
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> ApiResult<Self> {
        match AxumPath::<T>::from_request_parts(parts, state).await {
            Ok(AxumPath(value)) => Ok(Self(value)),
            Err(_) => {
                Err(ApiError::invalid_param("The path cannot be read: its segments must be percent-encoded UTF-8."))
            }
        }
    }
}

/// The query parameters.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> ApiResult<Self> {
        match AxumQuery::<T>::try_from_uri(&parts.uri) {
            Ok(AxumQuery(value)) => Ok(Self(value)),
            Err(rejection) => Err(wrong_query(&rejection.body_text())),
        }
    }
}

fn wrong_query(message: &str) -> ApiError {
    let told = message.strip_prefix("Failed to deserialize query string: ").unwrap_or(message).to_owned();
    if told.contains("missing field") { ApiError::missing_param(told) } else { ApiError::invalid_param(told) }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its shape matters")]
    struct Wanted {
        from: String,
        limit: Option<u32>,
    }

    async fn check(query: &str, expected: Option<&str>) {
        let request = Request::get(format!("/x?{query}")).body(()).expect("a request");
        let (mut parts, ()) = request.into_parts();
        let outcome = Query::<Wanted>::from_request_parts(&mut parts, &()).await;
        assert_eq!(outcome.err().map(|error| error.errcode), expected, "{query}");
    }

    #[tokio::test]
    async fn bad_queries_have_their_codes() {
        check("from=a&limit=3", None).await;
        check("from=a", None).await;
        check("limit=3", Some("M_MISSING_PARAM")).await;
        check("from=a&limit=many", Some("M_INVALID_PARAM")).await;
    }
}
