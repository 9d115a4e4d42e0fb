//! The registry: a line per operation, which says everything that is decided before its handler runs.
//!
//! ```ignore
//! get("getRoomState", "/_matrix/client/v3/rooms/{roomId}/state").user().guests().read(state::all),
//! put("sendMessage", "/_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}")
//!     .user().guests().body(EVENT_BODY_BYTES_MAX).rate(Rate::Message).write(send::put),
//! ```
//!
//! Who may call it has to be said before where it runs, or the line does not compile. From these lines come the router,
//! `405` and `Allow`, the labels of metrics, the table in `docs/endpoints.md`, and the test of access, which fails for
//! an operation without a row.

use std::marker::PhantomData;
use std::sync::Arc;

use axum::http::Method;
use axum::response::{IntoResponse, Response};
use tokio::runtime::Handle;

use crate::auth::{Administrator, Anybody, Caller, Maybe, Origin, User};
use crate::handler::{AsyncHandler, RawCall, SyncHandler};
use crate::panics::caught;
use crate::threads::Reply;

/// Everything about an operation but its handler.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Its name in the specification, and in metrics.
    pub id: &'static str,
    /// Its method. HEAD is answered like GET, OPTIONS by the front.
    pub method: Method,
    /// Where it is found: the specification's path of today, then other spellings that clients use.
    pub paths: Vec<&'static str>,
    /// Older prefixes under which the same is found.
    pub old: Vec<Prefix>,
    /// Who may call it.
    pub access: Access,
    /// Largest body, in bytes; none for operations that read none.
    pub body_bytes_max: Option<usize>,
    /// How it counts for those who limit rates.
    pub rate: Rate,
    /// Where its handler runs.
    pub place: Place,
    /// Whether the specification has it. What it does not have is there for tools and old clients.
    pub specified: bool,
}

impl Spec {
    /// Every path under which it is found, with the older prefixes.
    pub fn all_paths(&self) -> Vec<String> {
        let mut paths: Vec<String> = self.paths.iter().map(|path| (*path).to_owned()).collect();
        let old = self.old.iter().flat_map(|prefix| self.paths.iter().filter_map(|path| prefix.applied(path)));
        paths.extend(old);
        paths
    }
}

/// Who may call an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody; a token is not looked at.
    Anybody,
    /// Everybody; a token that is shown has to be good, and tells who asks.
    AnybodyOrUser,
    /// Whoever has an access token, as far as these rules go.
    User(Rules),
    /// Administrators of the server.
    Administrator,
    /// Other servers, by their signature over the request.
    Server,
}

/// What users have to be for an operation. The default is the strictest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Whether guests may (Guest Access).
    pub guests: bool,
    /// Whether users may whose account is locked (Account locking): logging out, and nothing else.
    pub locked: bool,
    /// Whether users may whose account is suspended (Account suspension).
    pub suspended: bool,
    /// As whom an application service may.
    pub masquerade: Masquerade,
}

/// As whom an application service may call an operation of users (`user_id` in the query).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Masquerade {
    /// As its own user, and as any user of its namespaces.
    #[default]
    ItsUsers,
    /// As nobody: what is asked for needs the person, or a device of theirs.
    Nobody,
}

/// Prefixes of former versions of the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefix {
    /// `/_matrix/client/r0`, `/_matrix/media/r0`: every operation of `v3` (API-16).
    R0,
    /// `/_matrix/media/v1`, `/_matrix/client/api/v1`.
    V1,
    /// `/_matrix/client/unstable`: what became stable under the same name and is still asked for.
    Unstable,
}

impl Prefix {
    /// A path of today under this prefix.
    pub(crate) fn applied(self, path: &str) -> Option<String> {
        let old = match self {
            Self::R0 => "/r0/",
            Self::V1 => "/v1/",
            Self::Unstable => "/unstable/",
        };
        path.contains("/v3/").then(|| path.replacen("/v3/", old, 1))
    }

    /// As the documentation names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::R0 => "r0",
            Self::V1 => "v1",
            Self::Unstable => "unstable",
        }
    }
}

/// How calls count for those who limit rates. Each class has a budget of its own for each user or address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// Answered from memory, or a long poll: not limited by itself.
    Free,
    /// Reads a little.
    Read,
    /// Reads much: states, member lists, directories, first syncs.
    Heavy,
    /// Changes something of one's own.
    Change,
    /// Sends an event or a message.
    Message,
    /// Brings somebody into a room, or makes one: what spam is made of.
    Join,
    /// Tries a password, a token or a name without being logged in. By address, strictly.
    Credentials,
}

/// Where a handler runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Where the request arrived: microseconds, from memory alone.
    Memory,
    /// On a reader's thread: may read views for as long as it takes.
    Read,
    /// On the writers' runtime: may read views, decides, appends, and awaits that it is applied. Never waits for a disk
    /// with a thread in hand.
    Write,
    /// As [`Place::Write`], and may hash a password, for which there are few slots.
    Hash,
    /// On the main runtime: sleeps until something happens. Uses memory, and readers for its parts.
    Poll,
}

/// An operation with its handler: a line of the registry.
pub struct Operation<S> {
    /// What is known about it.
    pub spec: Spec,
    bind: Box<dyn FnOnce(Arc<S>) -> Run>,
}

impl<S> Operation<S> {
    pub(crate) fn bind(self, state: &Arc<S>) -> (Spec, Run) {
        (self.spec, (self.bind)(Arc::clone(state)))
    }
}

type Now = Box<dyn Fn(RawCall) -> Response + Send + Sync>;
type Shared = Arc<dyn Fn(RawCall) -> Response + Send + Sync>;
type Spawned = Box<dyn Fn(RawCall, &Handle, Reply<Response>) + Send + Sync>;
type Polled = Box<dyn Fn(RawCall) -> std::pin::Pin<Box<dyn Future<Output = Response> + Send>> + Send + Sync>;

/// A handler with its application, for its place.
pub(crate) enum Run {
    Memory(Now),
    Read(Shared),
    Write(Spawned),
    Poll(Polled),
}

/// A line that does not say yet who may call it.
pub struct Unsaid;

/// A line that is not complete.
pub struct Draft<C> {
    spec: Spec,
    caller: PhantomData<C>,
}

/// A line for `GET`.
pub fn get(id: &'static str, path: &'static str) -> Draft<Unsaid> {
    draft(Method::GET, id, path)
}

/// A line for `PUT`.
pub fn put(id: &'static str, path: &'static str) -> Draft<Unsaid> {
    draft(Method::PUT, id, path)
}

/// A line for `POST`.
pub fn post(id: &'static str, path: &'static str) -> Draft<Unsaid> {
    draft(Method::POST, id, path)
}

/// A line for `DELETE`.
pub fn delete(id: &'static str, path: &'static str) -> Draft<Unsaid> {
    draft(Method::DELETE, id, path)
}

fn draft(method: Method, id: &'static str, path: &'static str) -> Draft<Unsaid> {
    let old = if Prefix::R0.applied(path).is_some() { vec![Prefix::R0] } else { Vec::new() };
    let rate = if method == Method::GET { Rate::Read } else { Rate::Change };
    let spec = Spec {
        id,
        method,
        paths: vec![path],
        old,
        access: Access::Administrator,
        body_bytes_max: None,
        rate,
        place: Place::Read,
        specified: true,
    };
    Draft { spec, caller: PhantomData }
}

impl Draft<Unsaid> {
    #[cfg(test)]
    pub(crate) fn into_spec(self) -> Spec {
        self.spec
    }

    /// Nobody has to log in for it.
    pub fn anybody(self) -> Draft<Anybody> {
        self.by(Access::Anybody)
    }

    /// Nobody has to log in for it, and who has is told apart.
    pub fn anybody_or_user(self) -> Draft<Maybe> {
        self.by(Access::AnybodyOrUser)
    }

    /// Users, but no guests, nor locked accounts. Suspended ones may only look (Account suspension).
    pub fn user(self) -> Draft<User> {
        let suspended = self.spec.method == Method::GET;
        self.by(Access::User(Rules { suspended, ..Rules::default() }))
    }

    /// Administrators of the server.
    pub fn administrator(self) -> Draft<Administrator> {
        self.by(Access::Administrator)
    }

    /// Other servers.
    pub fn server(self) -> Draft<Origin> {
        self.by(Access::Server)
    }

    fn by<C>(mut self, access: Access) -> Draft<C> {
        self.spec.access = access;
        Draft { spec: self.spec, caller: PhantomData }
    }
}

impl Draft<User> {
    /// Guests as well.
    #[must_use]
    pub fn guests(self) -> Self {
        self.with(|rules| rules.guests = true)
    }

    /// Suspended accounts as well.
    #[must_use]
    pub fn suspended(self) -> Self {
        self.with(|rules| rules.suspended = true)
    }

    /// Locked and suspended accounts as well: for what ends a session.
    #[must_use]
    pub fn locked(self) -> Self {
        self.with(|rules| (rules.locked, rules.suspended) = (true, true))
    }

    /// No application service on a user's behalf.
    #[must_use]
    pub fn in_person(self) -> Self {
        self.with(|rules| rules.masquerade = Masquerade::Nobody)
    }

    fn with(mut self, change: impl FnOnce(&mut Rules)) -> Self {
        if let Access::User(rules) = &mut self.spec.access {
            change(rules);
        }
        self
    }
}

impl<C> Draft<C> {
    /// The same under another spelling of its path.
    #[must_use]
    pub fn and(mut self, path: &'static str) -> Self {
        self.spec.paths.push(path);
        self
    }

    /// The same under an older prefix.
    #[must_use]
    pub fn old(mut self, prefix: Prefix) -> Self {
        self.spec.old.push(prefix);
        self
    }

    /// It takes a body of so many bytes.
    #[must_use]
    pub fn body(mut self, bytes_max: usize) -> Self {
        self.spec.body_bytes_max = Some(bytes_max);
        self
    }

    /// It counts as this.
    #[must_use]
    pub fn rate(mut self, rate: Rate) -> Self {
        self.spec.rate = rate;
        self
    }

    /// The specification does not have it.
    #[must_use]
    pub fn unspecified(mut self) -> Self {
        self.spec.specified = false;
        self
    }

    fn at<S>(mut self, place: Place, bind: impl FnOnce(Arc<S>) -> Run + 'static) -> Operation<S> {
        self.spec.place = place;
        Operation { spec: self.spec, bind: Box::new(bind) }
    }
}

impl<C: Caller> Draft<C> {
    /// Answered at once, from memory.
    pub fn memory<S, P, H>(self, handler: H) -> Operation<S>
    where
        S: Send + Sync + 'static,
        P: 'static,
        H: SyncHandler<S, C, P>,
    {
        self.at(Place::Memory, |state| Run::Memory(Box::new(answering(state, handler))))
    }

    /// Answered by a reader.
    pub fn read<S, P, H>(self, handler: H) -> Operation<S>
    where
        S: Send + Sync + 'static,
        P: 'static,
        H: SyncHandler<S, C, P>,
    {
        self.at(Place::Read, |state| Run::Read(Arc::new(answering(state, handler))))
    }

    /// Answered by a writer.
    pub fn write<S, P, H>(self, handler: H) -> Operation<S>
    where
        S: Send + Sync + 'static,
        H: AsyncHandler<S, C, P>,
    {
        self.at(Place::Write, |state| Run::Write(spawning(state, handler)))
    }

    /// Answered by a writer that may hash a password.
    pub fn hash<S, P, H>(self, handler: H) -> Operation<S>
    where
        S: Send + Sync + 'static,
        H: AsyncHandler<S, C, P>,
    {
        self.at(Place::Hash, |state| Run::Write(spawning(state, handler)))
    }

    /// Answered when something happens.
    pub fn poll<S, P, H>(self, handler: H) -> Operation<S>
    where
        S: Send + Sync + 'static,
        H: AsyncHandler<S, C, P>,
    {
        self.at(Place::Poll, |state| {
            Run::Poll(Box::new(move |call| match call.promised(Arc::clone(&state)) {
                Ok(call) => Box::pin(handler.answer(call)),
                Err(refused) => Box::pin(std::future::ready(refused.into_response())),
            }))
        })
    }
}

fn answering<S, C: Caller, P>(
    state: Arc<S>,
    handler: impl SyncHandler<S, C, P>,
) -> impl Fn(RawCall) -> Response + Send + Sync
where
    S: Send + Sync + 'static,
{
    move |call| match call.promised(Arc::clone(&state)) {
        Ok(call) => handler.answer(call),
        Err(refused) => refused.into_response(),
    }
}

fn spawning<S, C: Caller, P>(state: Arc<S>, handler: impl AsyncHandler<S, C, P>) -> Spawned
where
    S: Send + Sync + 'static,
{
    Box::new(move |call, writers, reply| {
        let (state, handler) = (Arc::clone(&state), handler.clone());
        writers.spawn(async move {
            if reply.is_unwanted() {
                return;
            }
            let outcome = match call.promised(state) {
                Ok(call) => caught(handler.answer(call)).await,
                Err(refused) => Ok(refused.into_response()),
            };
            reply.send(outcome);
        });
    })
}
