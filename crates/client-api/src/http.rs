//! The service in front of the router: OPTIONS, old path prefixes, CORS.
//!
//! It is one function and not a stack of layers, because it runs for every request.

use std::any::Any;
use std::borrow::Cow;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use axum::Router;
use axum::body::Body;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use axum::response::{IntoResponse, Response};
use engram_failpoints::{Point, reached};
use tower::Service;

use crate::app::App;
use crate::error::ApiError;
use crate::json::Empty;
use crate::routes;

const ANY_ORIGIN: HeaderValue = HeaderValue::from_static("*");
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, DELETE, OPTIONS");
const HEADERS: HeaderValue = HeaderValue::from_static("X-Requested-With, Content-Type, Authorization");
const EXPOSED: HeaderValue = HeaderValue::from_static("Retry-After");
const CORS: [(HeaderName, HeaderValue); 4] = [
    (header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY_ORIGIN),
    (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
    (header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS),
    (header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED),
];

/// The whole client API: hand it a request, get a response. Cheap to clone.
#[derive(Clone)]
pub struct ClientApi {
    router: Router,
    /// Requests whose handler panicked.
    panics: Arc<AtomicU64>,
}

impl ClientApi {
    /// Builds the routes over the application.
    pub fn new(app: Arc<App>) -> Self {
        Self { router: routes::router().with_state(app), panics: Arc::default() }
    }

    /// Answers one request.
    pub async fn respond(mut self, mut request: Request<Body>) -> Response {
        if request.method() == Method::OPTIONS {
            return with_cors(Empty.into_response());
        }
        if let Cow::Owned(path) = current_path(request.uri()) {
            replace_path(request.uri_mut(), path);
        }
        let answered = caught(async {
            let outcome: Result<Response, Infallible> = self.router.call(request).await;
            reached(Point::ResponseReady);
            match outcome {
                Ok(response) => response,
                Err(never) => match never {},
            }
        });
        with_cors(answered.await.unwrap_or_else(|panic| self.panicked(&*panic)))
    }

    /// A bug that one request has met is no reason to take the answer from those that share its connection.
    #[cold]
    fn panicked(&self, panic: &(dyn Any + Send)) -> Response {
        let panics = self.panics.fetch_add(1, Ordering::Relaxed) + 1;
        let message = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        let message = message.unwrap_or("no message");
        ApiError::internal(format_args!("a handler panicked, for the {panics}. time: {message}")).into_response()
    }
}

/// Runs a future to its end or its panic. What it worked on is dropped with it; locks of the server are not poisoned, and
/// guard what is whole between any two steps.
async fn caught<T>(future: impl Future<Output = T>) -> Result<T, Box<dyn Any + Send>> {
    let mut future = pin!(future);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

fn with_cors(mut response: Response) -> Response {
    let headers: &mut HeaderMap = response.headers_mut();
    headers.reserve(CORS.len());
    for (name, value) in CORS {
        headers.insert(name, value);
    }
    response
}

const R0: &str = "/_matrix/client/r0/";
const UNSTABLE: &str = "/_matrix/client/unstable/";
/// Families that old clients still ask for under `unstable` though they became stable under the same names.
const UNSTABLE_FAMILIES: [&str; 3] = ["keys/", "room_keys/", "login/"];

/// The path and query under which the endpoint is routed today.
fn current_path(uri: &Uri) -> Cow<'_, str> {
    let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    if let Some(rest) = path.strip_prefix(R0) {
        return Cow::Owned(format!("/_matrix/client/v3/{rest}"));
    }
    match path.strip_prefix(UNSTABLE) {
        Some(rest) if UNSTABLE_FAMILIES.iter().any(|family| rest.starts_with(family)) => {
            Cow::Owned(format!("/_matrix/client/v3/{rest}"))
        }
        _ => Cow::Borrowed(path),
    }
}

fn replace_path(uri: &mut Uri, path: String) {
    let mut parts = std::mem::take(uri).into_parts();
    parts.path_and_query =
        Some(PathAndQuery::try_from(path).expect("a known prefix before a valid path is a valid path"));
    *uri = Uri::from_parts(parts).expect("only the path was replaced");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_prefixes_lead_to_the_current_ones() {
        for (asked, routed) in [
            ("/_matrix/client/v3/sync?since=1", "/_matrix/client/v3/sync?since=1"),
            ("/_matrix/client/r0/sync?since=1", "/_matrix/client/v3/sync?since=1"),
            ("/_matrix/client/r0/rooms/%21a%2Fb/state", "/_matrix/client/v3/rooms/%21a%2Fb/state"),
            ("/_matrix/client/unstable/keys/signatures/upload", "/_matrix/client/v3/keys/signatures/upload"),
            ("/_matrix/client/unstable/org.matrix.msc3814/x", "/_matrix/client/unstable/org.matrix.msc3814/x"),
            ("/_matrix/client/r0", "/_matrix/client/r0"),
        ] {
            let mut uri: Uri = asked.parse().expect("a URI");
            if let Cow::Owned(path) = current_path(&uri.clone()) {
                replace_path(&mut uri, path);
            }
            assert_eq!(uri, routed, "{asked}");
        }
    }
}
