//! The way of every request, the same for all operations.
//!
//! ```text
//!     match ─▶ method ─▶ OPTIONS ─▶ who calls ─▶ rates ─▶ body ─▶ the handler, in its place ─▶ CORS
//!      404      405        200      401, 403      429    408, 413
//! ```
//!
//! It is one function and not a stack of layers, because it runs for every request. An answer that is given before the
//! body was read drops what is left of it first, or says that the connection ends ([`crate::body`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::BoxError;
use axum::body::HttpBody;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Version, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use engram_failpoints::{Point, reached};
use engram_users::{Session, Users};

use crate::admission::Admission;
use crate::auth::{AccessToken, ClientAddress, Known, admitted};
use crate::body::Incoming;
use crate::error::{ApiError, ApiResult};
use crate::handler::RawCall;
use crate::json::Empty;
use crate::limits::PREFLIGHT_SECONDS;
use crate::panics::{self, Panic, caught};
use crate::registry::{Access, Operation, Run, Spec};
use crate::routes::{Number, Routes};
use crate::threads::Threads;

const ANY_ORIGIN: HeaderValue = HeaderValue::from_static("*");
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, DELETE, OPTIONS");
const HEADERS: HeaderValue = HeaderValue::from_static("X-Requested-With, Content-Type, Authorization");
const EXPOSED: HeaderValue = HeaderValue::from_static("Retry-After");
const CLOSE: HeaderValue = HeaderValue::from_static("close");
const MAX_AGE: HeaderValue = HeaderValue::from_static(PREFLIGHT_SECONDS);
const CORS: [(HeaderName, HeaderValue); 4] = [
    (header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY_ORIGIN),
    (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
    (header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS),
    (header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED),
];

/// Says which server has signed a request. Part of the surface for other servers.
pub trait Servers: Send + Sync + 'static {
    /// The name of the server, or a refusal.
    fn verified<'a>(
        &'a self,
        parts: &'a Parts,
        body: &'a Bytes,
    ) -> std::pin::Pin<Box<dyn Future<Output = ApiResult<String>> + Send + 'a>>;
}

/// Learns of every request that a user makes, once it is admitted. Here, because here no handler can forget it.
pub trait Witness: Send + Sync + 'static {
    /// A session calls an operation. Runs on a thread of the runtime.
    fn called(&self, spec: &Spec, session: &Session);
}

/// What the front needs of the server.
pub struct FrontParts {
    /// Who knows the access tokens.
    pub users: Arc<Users>,
    /// Where handlers run.
    pub threads: Arc<Threads>,
    /// Who limits rates.
    pub admission: Box<dyn Admission>,
    /// Who knows other servers, if they are spoken to.
    pub servers: Option<Box<dyn Servers>>,
    /// Who is told of what users do.
    pub witness: Box<dyn Witness>,
}

/// All operations of all surfaces, bound to their applications.
#[derive(Default)]
pub struct Operations {
    specs: Vec<Spec>,
    runs: Vec<Run>,
}

impl Operations {
    /// Adds the operations of a surface.
    pub fn add<S>(&mut self, operations: Vec<Operation<S>>, state: &Arc<S>) {
        for operation in operations {
            let (spec, run) = operation.bind(state);
            self.specs.push(spec);
            self.runs.push(run);
        }
    }
}

/// Everything that HTTP is served with: hand it a request, get a response. Cheap to clone.
#[derive(Clone)]
pub struct Front(Arc<Inner>);

struct Inner {
    routes: Routes,
    operations: Operations,
    parts: FrontParts,
    /// Requests whose handler panicked.
    panics: AtomicU64,
}

/// A response, and which operation gave it, for metrics and logs.
pub struct Answer {
    /// [`Spec::id`]; none for what led nowhere.
    pub operation: Option<&'static str>,
    /// The response.
    pub response: Response,
}

impl Front {
    /// A front for these operations. Panics if two of them are in conflict, which no operation list may be released
    /// with.
    pub fn new(operations: Operations, parts: FrontParts) -> Self {
        let needs_servers = operations.specs.iter().any(|spec| spec.access == Access::Server);
        assert!(!needs_servers || parts.servers.is_some(), "nobody can tell which server has signed a request");
        let routes = Routes::new(operations.specs.iter());
        Self(Arc::new(Inner { routes, operations, parts, panics: AtomicU64::new(0) }))
    }

    /// Every operation that is served.
    pub fn specs(&self) -> &[Spec] {
        &self.0.operations.specs
    }

    /// Answers one request.
    pub async fn respond<B>(&self, request: Request<B>, address: ClientAddress) -> Answer
    where
        B: HttpBody<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        let (parts, body) = request.into_parts();
        let (method_is_options, version) = (parts.method == Method::OPTIONS, parts.version);
        let mut body = Incoming::new(body);
        let mut operation = None;
        let answering = async {
            let answered = self.0.answer(parts, &mut body, address, &mut operation).await;
            reached(Point::ResponseReady);
            answered
        };
        let answered = caught(answering).await;
        let mut response = match answered {
            Ok(Ok(response)) => response,
            Ok(Err(refused)) => refused.into_response(),
            Err(panic) => self.0.panicked(&panic).into_response(),
        };
        let headers = response.headers_mut();
        // HTTP/2 gives up the stream alone, and has no such header.
        if !body.drop_rest().await && version <= Version::HTTP_11 {
            headers.insert(header::CONNECTION, CLOSE);
        }
        allow_any_origin(headers);
        if method_is_options {
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        }
        Answer { operation: operation.map(|number: Number| self.0.operations.specs[number].id), response }
    }
}

impl Inner {
    async fn answer<B>(
        &self,
        parts: Parts,
        body: &mut Incoming<B>,
        address: ClientAddress,
        operation: &mut Option<Number>,
    ) -> ApiResult<Response>
    where
        B: HttpBody<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        if parts.method == Method::OPTIONS {
            return Ok(Empty.into_response());
        }
        let found = self.routes.find(parts.uri.path());
        let (methods, segments) = found.ok_or_else(|| ApiError::unrecognized("There is no such endpoint."))?;
        let Some(number) = methods.get(&parts.method) else {
            let mut refused = ApiError::method_not_allowed().into_response();
            refused.headers_mut().insert(header::ALLOW, methods.allow.clone());
            return Ok(refused);
        };
        *operation = Some(number);
        let spec = &self.operations.specs[number];
        let (known, body) = self.received(spec, &parts, body, address).await?;
        let call = RawCall { known, segments, uri: parts.uri, body, address };
        self.run(number, call).await
    }

    /// Who calls, and with which body. Nothing is read for those who may not call.
    async fn received<B>(
        &self,
        spec: &Spec,
        parts: &Parts,
        body: &mut Incoming<B>,
        address: ClientAddress,
    ) -> ApiResult<(Known, Bytes)>
    where
        B: HttpBody<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        let known = match spec.access {
            Access::Anybody | Access::Server => Known::Anybody,
            Access::AnybodyOrUser => match AccessToken::of(parts) {
                Ok(token) => self.session(token).await?,
                Err(refused) if refused.errcode == "M_MISSING_TOKEN" => Known::Anybody,
                Err(refused) => return Err(refused),
            },
            Access::User(_) | Access::Administrator => self.session(AccessToken::of(parts)?).await?,
        };
        let user_id = match (&known, spec.access) {
            (Known::User(session, _), Access::User(rules)) => {
                admitted(session, rules)?;
                Some(session.user_id.as_str())
            }
            (Known::User(session, _), Access::Administrator) if !session.admin => {
                return Err(ApiError::forbidden("Administrators can do this."));
            }
            (Known::User(session, _), _) => Some(session.user_id.as_str()),
            _ => None,
        };
        self.parts.admission.admit(spec, user_id, address)?;
        if let Known::User(session, _) = &known {
            self.parts.witness.called(spec, session);
        }
        let body = match spec.body_bytes_max {
            Some(bytes_max) => body.read(bytes_max).await?,
            None => Bytes::new(),
        };
        match (&self.parts.servers, spec.access) {
            (Some(servers), Access::Server) => Ok((Known::Server(servers.verified(parts, &body).await?), body)),
            _ => Ok((known, body)),
        }
    }

    /// The session of a token: from memory, or by a reader.
    async fn session(&self, token: AccessToken) -> ApiResult<Known> {
        let users = &self.parts.users;
        let session = if let Some(session) = users.session_in_memory(token.text()) {
            session?
        } else {
            let (users, shown) = (Arc::clone(users), token.clone());
            self.parts.threads.readers().read(move || users.session(shown.text())).await??
        };
        Ok(Known::User(session, token))
    }

    async fn run(&self, number: Number, call: RawCall) -> ApiResult<Response> {
        match &self.operations.runs[number] {
            Run::Memory(run) => Ok(run(call)),
            Run::Poll(run) => Ok(run(call).await),
            Run::Read(run) => {
                let run = Arc::clone(run);
                self.parts.threads.readers().read(move || run(call)).await
            }
            Run::Write(run) => {
                let (reply, awaited) = self.parts.threads.writer()?;
                run(call, self.parts.threads.writers(), reply);
                awaited.outcome().await
            }
        }
    }

    /// A bug that one request has met is no reason to take the answer from those that share its connection.
    #[cold]
    fn panicked(&self, panic: &Panic) -> ApiError {
        let panics = self.panics.fetch_add(1, Ordering::Relaxed) + 1;
        let message = panics::message(panic);
        ApiError::internal(format_args!("a handler panicked, for the {panics}. time: {message}"))
    }
}

fn allow_any_origin(headers: &mut HeaderMap) {
    headers.reserve(CORS.len());
    for (name, value) in CORS {
        headers.insert(name, value);
    }
}
