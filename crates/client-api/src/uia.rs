//! User-interactive authentication: requests that need more than an access token (User-Interactive Authentication API).
//!
//! Sessions live in memory, bounded in number, size and age: a restart only means that a client begins again.
//! The parameters of the first request are remembered, so that later ones need to carry nothing but `auth`.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use axum::body::Bytes;
use axum::http::StatusCode;
use engram_log_format::TimestampMs;
use parking_lot::Mutex;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::blocking::blocking;
use crate::error::{ApiError, ApiResult};
use crate::json;
use crate::limits;

/// One step of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// `m.login.dummy`: nothing to show.
    Dummy,
    /// `m.login.registration_token`: a token that the operator handed out.
    RegistrationToken,
    /// `m.login.password`: the password of the account.
    Password,
}

impl Stage {
    /// Its name in the protocol.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dummy => "m.login.dummy",
            Self::RegistrationToken => "m.login.registration_token",
            Self::Password => "m.login.password",
        }
    }
}

/// The ways to pass: any one of them, all stages of it.
pub type Flows = &'static [&'static [Stage]];

/// What a session was opened for: it is good for nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The endpoint, with the object that it is about where that matters.
    pub name: String,
    /// The account that asks; none while registering.
    pub user_id: Option<String>,
}

/// The `auth` object of a request.
#[derive(Debug, Default, Deserialize)]
pub struct Auth {
    /// The stage that is attempted; none to ask whether the session has been completed meanwhile.
    #[serde(rename = "type")]
    pub stage: Option<String>,
    /// The session that is continued; none in a first request.
    pub session: Option<String>,
    /// For `m.login.password`.
    pub password: Option<String>,
    /// For `m.login.password`: whose.
    pub identifier: Option<Identifier>,
    /// For `m.login.password`: the name of `identifier.user` in old clients.
    pub user: Option<String>,
    /// For `m.login.registration_token`.
    pub token: Option<String>,
}

/// The `identifier` of a login or an authentication by password.
#[derive(Debug, Default, Deserialize)]
pub struct Identifier {
    /// `m.id.user` is the only one known.
    #[serde(rename = "type")]
    pub kind: String,
    /// A user ID or its localpart.
    pub user: Option<String>,
}

/// What has been shown, once a request may go on.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// The registration token that was shown and has yet to be spent.
    pub registration_token: Option<String>,
}

/// A request under user-interactive authentication: its parameters, with those of the session's first request where
/// it carries none itself, and its `auth`.
pub struct Request<T> {
    /// The parameters.
    pub parameters: T,
    auth: Option<Auth>,
    body: Vec<u8>,
}

impl<T: DeserializeOwned> Request<T> {
    /// Reads a request's body for an operation.
    pub fn read(sessions: &Sessions, operation: &Operation, bytes: &Bytes, now: TimestampMs) -> ApiResult<Self> {
        let mut fields: Map<String, Value> =
            if bytes.trim_ascii().is_empty() { Map::new() } else { json::parse(bytes)? };
        let auth: Option<Auth> = match fields.remove("auth") {
            None | Some(Value::Null) => None,
            Some(auth) => Some(json::parse(auth.to_string().as_bytes())?),
        };
        if let Some(session) = auth.as_ref().and_then(|auth| auth.session.as_deref()) {
            for (key, value) in sessions.remembered(session, operation, now) {
                fields.entry(key).or_insert(value);
            }
        }
        let body = Value::Object(fields).to_string().into_bytes();
        Ok(Self { parameters: json::parse(&body)?, auth, body })
    }

    /// Whether it attempts a stage, and does not merely ask which there are.
    pub fn attempts_a_stage(&self) -> bool {
        self.auth.as_ref().is_some_and(|auth| auth.stage.is_some())
    }
}

struct Session {
    operation: Operation,
    body: Vec<u8>,
    completed: Vec<Stage>,
    passed: Passed,
    attempts: u32,
    opened: TimestampMs,
}

/// All sessions under way.
#[derive(Default)]
pub struct Sessions {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    sessions: HashMap<String, Session>,
    /// In the order in which they were opened, closed ones included until they come to the front.
    order: VecDeque<String>,
}

impl Sessions {
    /// The parameters of the session's first request.
    fn remembered(&self, id: &str, operation: &Operation, now: TimestampMs) -> Map<String, Value> {
        let inner = self.inner.lock();
        let session = inner.sessions.get(id).filter(|session| session.is_for(operation, now));
        session.and_then(|session| serde_json::from_slice(&session.body).ok()).unwrap_or_default()
    }

    /// Continues a session, or opens one if it is unknown or over. One that was opened for something else is refused: what
    /// somebody agreed to must not be exchanged behind their back.
    fn enter(
        &self,
        id: Option<&str>,
        operation: &Operation,
        body: &[u8],
        fresh: String,
        now: TimestampMs,
    ) -> ApiResult<String> {
        let mut inner = self.inner.lock();
        if let Some(id) = id
            && let Some(session) = inner.sessions.get(id).filter(|session| !session.is_over(now))
        {
            if session.operation != *operation {
                return Err(ApiError::forbidden("This session was opened for something else."));
            }
            return Ok(id.to_owned());
        }
        inner.make_room(now);
        let body = if body.len() <= limits::UIA_BODY_BYTES_MAX { body.to_vec() } else { Vec::new() };
        let operation = operation.clone();
        let session =
            Session { operation, body, completed: Vec::new(), passed: Passed::default(), attempts: 0, opened: now };
        inner.sessions.insert(fresh.clone(), session);
        inner.order.push_back(fresh.clone());
        Ok(fresh)
    }

    /// Counts an attempt; false if there were too many, which ends the session.
    fn attempt(&self, id: &str) -> bool {
        let mut inner = self.inner.lock();
        let Some(session) = inner.sessions.get_mut(id) else { return false };
        session.attempts += 1;
        let allowed = session.attempts <= limits::UIA_ATTEMPTS_MAX;
        if !allowed {
            inner.sessions.remove(id);
        }
        allowed
    }

    fn complete(&self, id: &str, stage: Stage, shown: Passed) {
        if let Some(session) = self.inner.lock().sessions.get_mut(id) {
            if !session.completed.contains(&stage) {
                session.completed.push(stage);
            }
            session.passed.registration_token = shown.registration_token.or(session.passed.registration_token.take());
        }
    }

    /// Closes the session if one of the flows is complete.
    fn finish(&self, id: &str, flows: Flows) -> Option<Passed> {
        let mut inner = self.inner.lock();
        let completed = &inner.sessions.get(id)?.completed;
        let done = flows.iter().any(|stages| stages.iter().all(|stage| completed.contains(stage)));
        if done { inner.sessions.remove(id).map(|session| session.passed) } else { None }
    }

    fn completed(&self, id: &str) -> Vec<&'static str> {
        let inner = self.inner.lock();
        let session = inner.sessions.get(id);
        session.map_or_else(Vec::new, |session| session.completed.iter().map(|stage| stage.name()).collect())
    }
}

impl Session {
    fn is_for(&self, operation: &Operation, now: TimestampMs) -> bool {
        !self.is_over(now) && self.operation == *operation
    }

    fn is_over(&self, now: TimestampMs) -> bool {
        u128::from(now.0.saturating_sub(self.opened.0)) > limits::UIA_SESSION_AGE_MAX.as_millis()
    }
}

impl Inner {
    fn make_room(&mut self, now: TimestampMs) {
        while let Some(oldest) = self.order.front() {
            let keep = self.sessions.get(oldest).is_some_and(|session| !session.is_over(now));
            if keep && self.order.len() < limits::UIA_SESSIONS_MAX {
                break;
            }
            self.sessions.remove(oldest);
            self.order.pop_front();
        }
    }
}

/// Lets a request pass, or answers 401 with what is still to be shown.
pub async fn authenticate<T>(
    app: &Arc<App>,
    operation: &Operation,
    request: &Request<T>,
    flows: Flows,
) -> ApiResult<Passed> {
    let asked = request.auth.as_ref();
    let session = asked.and_then(|auth| auth.session.as_deref());
    let id = app.uia.enter(session, operation, &request.body, app.random_string(24), app.now())?;
    if let Some(auth) = asked
        && let Some(name) = auth.stage.as_deref()
    {
        if name == Stage::Password.name() && !names_owner(app, operation, auth) {
            return Err(ApiError::forbidden("This is somebody else's password."));
        }
        if !app.uia.attempt(&id) {
            return Err(ApiError::forbidden("Too many attempts: begin again."));
        }
        match attempt(app, operation, auth, name, flows).await {
            Ok((stage, shown)) => app.uia.complete(&id, stage, shown),
            Err(refused) if refused.errcode == "M_FORBIDDEN" => return Err(ask(app, &id, flows, Some(refused))),
            Err(error) => return Err(error),
        }
    }
    app.uia.finish(&id, flows).ok_or_else(|| ask(app, &id, flows, None))
}

async fn attempt(
    app: &Arc<App>,
    operation: &Operation,
    auth: &Auth,
    name: &str,
    flows: Flows,
) -> ApiResult<(Stage, Passed)> {
    let stage = flows.iter().copied().flatten().find(|stage| stage.name() == name);
    let stage = *stage.ok_or_else(|| ApiError::forbidden("This kind of authentication is not asked for."))?;
    let mut shown = Passed::default();
    match stage {
        Stage::Dummy => {}
        Stage::RegistrationToken => shown.registration_token = Some(check_token(app, auth).await?),
        Stage::Password => check_password(app, operation, auth).await?,
    }
    Ok((stage, shown))
}

async fn check_token(app: &Arc<App>, auth: &Auth) -> ApiResult<String> {
    let token = auth.token.clone().ok_or_else(|| ApiError::missing_param("`token` is missing."))?;
    let (users, asked) = (Arc::clone(&app.users), token.clone());
    if blocking(move || users.check_registration_token(&asked)).await? {
        Ok(token)
    } else {
        Err(ApiError::forbidden("The registration token is unknown, spent or expired."))
    }
}

async fn check_password(app: &Arc<App>, operation: &Operation, auth: &Auth) -> ApiResult<()> {
    let password = auth.password.clone().ok_or_else(|| ApiError::missing_param("`password` is missing."))?;
    let owner = operation.user_id.as_deref().ok_or_else(|| ApiError::forbidden("There is no account yet."))?;
    let user = named(auth).unwrap_or(owner).to_owned();
    let users = Arc::clone(&app.users);
    let proven = app.writers().hash(move || users.verify_password(&user, &password)).await?;
    if proven.user_id() == owner { Ok(()) } else { Err(ApiError::forbidden("This is somebody else's password.")) }
}

/// Whose password is shown. An old client may leave it out: the access token says who it is.
fn named(auth: &Auth) -> Option<&str> {
    auth.identifier.as_ref().and_then(|identifier| identifier.user.as_deref()).or(auth.user.as_deref())
}

fn names_owner(app: &App, operation: &Operation, auth: &Auth) -> bool {
    let user_id = named(auth).map(|user| engram_users::localpart::login_user_id(user, &app.config.server_name));
    user_id.is_none_or(|user_id| operation.user_id.as_ref().is_none_or(|owner| *owner == user_id))
}

fn ask(app: &App, session: &str, flows: Flows, refused: Option<ApiError>) -> ApiError {
    let mut error = refused.unwrap_or_else(|| ApiError::new(StatusCode::UNAUTHORIZED, "", ""));
    error.status = StatusCode::UNAUTHORIZED;
    let flows: Vec<Value> = flows
        .iter()
        .map(|stages| json!({ "stages": stages.iter().map(|stage| stage.name()).collect::<Vec<_>>() }))
        .collect();
    let completed = app.uia.completed(session);
    let error = error.with("session", session).with("flows", flows).with("params", json!({}));
    if completed.is_empty() { error } else { error.with("completed", completed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOWS: Flows = &[&[Stage::RegistrationToken, Stage::Dummy], &[Stage::Password]];

    fn operation(name: &str) -> Operation {
        Operation { name: name.to_owned(), user_id: None }
    }

    fn enter(sessions: &Sessions, id: Option<&str>, name: &str, fresh: &str, now: u64) -> String {
        let entered = sessions.enter(id, &operation(name), br#"{"a":1}"#, fresh.to_owned(), TimestampMs(now));
        entered.unwrap_or_else(|refused| refused.errcode.to_owned())
    }

    #[test]
    fn a_session_is_good_for_its_own_operation_until_it_is_over() {
        let over = limits::UIA_SESSION_AGE_MAX.as_millis() as u64 + 1;
        for (id, name, now, expected) in [
            (Some("one"), "register", 5, "one"),
            (Some("one"), "delete", 5, "M_FORBIDDEN"),
            (Some("one"), "delete", over, "two"),
            (Some("none"), "register", 5, "two"),
            (Some("one"), "register", over, "two"),
            (None, "register", 5, "two"),
        ] {
            let sessions = Sessions::default();
            enter(&sessions, None, "register", "one", 0);
            assert_eq!(enter(&sessions, id, name, "two", now), expected, "{id:?} {name} {now}");
        }
    }

    #[test]
    fn a_flow_is_complete_when_all_of_its_stages_are_and_only_once() {
        let sessions = Sessions::default();
        let id = enter(&sessions, None, "register", "one", 0);
        sessions.complete(&id, Stage::Dummy, Passed::default());
        assert_eq!(sessions.finish(&id, FLOWS), None);
        let passed = Passed { registration_token: Some("t".to_owned()) };
        sessions.complete(&id, Stage::RegistrationToken, passed);
        assert_eq!(sessions.completed(&id), ["m.login.dummy", "m.login.registration_token"]);
        let passed = sessions.finish(&id, FLOWS).expect("complete");
        assert_eq!(passed.registration_token.as_deref(), Some("t"));
        assert_eq!(sessions.finish(&id, FLOWS), None);
    }

    #[test]
    fn sessions_are_bounded_in_number_and_attempts() {
        let sessions = Sessions::default();
        for number in 0..=limits::UIA_SESSIONS_MAX {
            enter(&sessions, None, "register", &number.to_string(), 0);
        }
        assert_eq!(sessions.inner.lock().sessions.len(), limits::UIA_SESSIONS_MAX);
        assert!(sessions.completed("0").is_empty() && !sessions.attempt("0"), "the oldest was forgotten");
        for _ in 0..limits::UIA_ATTEMPTS_MAX {
            assert!(sessions.attempt("1"));
        }
        assert!(!sessions.attempt("1"));
        assert!(!sessions.inner.lock().sessions.contains_key("1"));
    }

    #[test]
    fn the_first_request_s_parameters_are_remembered() {
        let sessions = Sessions::default();
        let id = enter(&sessions, None, "register", "one", 0);
        let body = Bytes::from(json!({ "auth": { "session": id }, "b": 2 }).to_string());
        let read = |name: &str| {
            let request = Request::<Map<String, Value>>::read(&sessions, &operation(name), &body, TimestampMs(1));
            Value::Object(request.expect("readable").parameters)
        };
        assert_eq!(read("register"), json!({ "a": 1, "b": 2 }));
        assert_eq!(read("delete"), json!({ "b": 2 }));
    }
}
