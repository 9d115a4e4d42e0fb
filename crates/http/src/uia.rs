//! User-interactive authentication: requests that need more than an access token (User-Interactive Authentication API).
//!
//! A request passes when all stages of one flow are shown, in one request or several of one session. What a session was
//! opened for is fixed with its first parameters: what somebody agreed to is not exchanged behind their back. Only who
//! registers may change their mind about name and password. What a completed session has done it does once: whoever
//! sends it again gets the first result again.

mod sessions;

use std::sync::Arc;

use axum::http::StatusCode;
use bytes::Bytes;
use engram_base::{Clock, Random};
use engram_users::Users;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tokio::sync::OnceCell;

use crate::error::{ApiError, ApiResult};
use crate::json::{self, RawJson};
use crate::writers::Writers;
use sessions::Sessions;

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

/// Whatever an account's owner must prove once more.
pub const BY_PASSWORD: Flows = &[&[Stage::Password]];

/// The flow of a request that needs no more than its access token this time.
pub const AT_ONCE: Flows = &[&[]];

/// What a session was opened for: it is good for nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purpose {
    /// The operation, with the object that it is about where that stands in the path.
    pub name: String,
    /// The account that asks; none while registering.
    pub user_id: Option<String>,
}

/// The `auth` object of a request.
#[derive(Debug, Default, Deserialize)]
struct Auth {
    /// The stage that is attempted; none to ask whether the session has been completed meanwhile.
    #[serde(rename = "type")]
    stage: Option<String>,
    /// The session that is continued; none in a first request.
    session: Option<String>,
    /// For `m.login.password`.
    password: Option<String>,
    /// For `m.login.password`: whose.
    identifier: Option<Identifier>,
    /// For `m.login.password`: the name of `identifier.user` in old clients.
    user: Option<String>,
    /// For `m.login.registration_token`.
    token: Option<String>,
}

/// The `identifier` of a login or an authentication by password.
#[derive(Debug, Default, Deserialize)]
pub struct Identifier {
    /// `m.id.user` is the only one that leads to an account.
    #[serde(rename = "type")]
    kind: String,
    /// A user ID or its localpart.
    user: Option<String>,
}

impl Identifier {
    /// The user that it names.
    pub fn user(self) -> ApiResult<String> {
        match self.kind.as_str() {
            "m.id.user" => self.user.ok_or_else(|| ApiError::missing_param("`identifier.user` is missing.")),
            // No account has a third-party identifier, so none can be found by it.
            "m.id.thirdparty" | "m.id.phone" => Err(ApiError::forbidden("Invalid user name or password.")),
            _ => Err(ApiError::unknown("This kind of identifier is not known.")),
        }
    }
}

/// What has been shown, once a request may go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// The registration token that was shown and has yet to be spent.
    pub registration_token: Option<String>,
}

/// The answer of a completed session, once there is one.
type Result = Arc<OnceCell<Bytes>>;

/// A request under user-interactive authentication: its parameters, with those of the session's first request where
/// it carries none itself, and its `auth`.
pub struct Request<T> {
    /// The parameters.
    pub parameters: T,
    purpose: Purpose,
    auth: Option<Auth>,
    fields: Map<String, Value>,
    answered: Option<Bytes>,
}

impl<T> Request<T> {
    /// Whether it attempts a stage, and does not merely ask which there are.
    pub fn attempts_a_stage(&self) -> bool {
        self.auth.as_ref().is_some_and(|auth| auth.stage.is_some())
    }

    /// Whether its session was completed before and has done what it was for: it will get the same answer.
    pub fn is_answered(&self) -> bool {
        self.answered.is_some()
    }

    fn session(&self) -> Option<&str> {
        self.auth.as_ref().and_then(|auth| auth.session.as_deref())
    }
}

/// User-interactive authentication of one server.
pub struct Uia {
    sessions: Sessions,
    users: Arc<Users>,
    writers: Arc<Writers>,
    server_name: String,
    clock: Clock,
    random: Random,
}

impl Uia {
    /// Authentication of the users of `server_name`.
    pub fn new(users: Arc<Users>, writers: Arc<Writers>, server_name: String, clock: Clock, random: Random) -> Self {
        Self { sessions: Sessions::default(), users, writers, server_name, clock, random }
    }

    /// Reads a request's body.
    pub fn read<T: DeserializeOwned>(&self, purpose: Purpose, bytes: &Bytes) -> ApiResult<Request<T>> {
        let mut fields: Map<String, Value> =
            if bytes.trim_ascii().is_empty() { Map::new() } else { json::parse(bytes)? };
        let auth: Option<Auth> = match fields.remove("auth") {
            None | Some(Value::Null) => None,
            Some(auth) => Some(json::parse(auth.to_string().as_bytes())?),
        };
        let mut answered = None;
        if let Some(id) = auth.as_ref().and_then(|auth| auth.session.as_deref()) {
            answered = self.sessions.resume(id, &purpose, &mut fields, (self.clock)())?;
        }
        let body = serde_json::to_vec(&fields).map_err(ApiError::internal)?;
        Ok(Request { parameters: json::parse(&body)?, purpose, auth, fields, answered })
    }

    /// Does what a request asks for once it may pass; else answers 401 with what is still to be shown. What succeeds is
    /// done once a session; what fails may be tried again in it.
    pub async fn perform<T, F>(
        &self,
        request: Request<T>,
        flows: Flows,
        action: impl FnOnce(T, Passed) -> F,
    ) -> ApiResult<RawJson<Bytes>>
    where
        F: Future<Output = ApiResult<Value>>,
    {
        if let Some(answer) = request.answered {
            return Ok(RawJson(answer));
        }
        let (passed, result) = self.authenticate(&request, flows).await?;
        let parameters = request.parameters;
        let answer = result.get_or_try_init(async || Ok(Bytes::from(action(parameters, passed).await?.to_string())));
        answer.await.cloned().map(RawJson)
    }

    /// Lets a request pass, or answers 401 with what is still to be shown.
    async fn authenticate<T>(&self, request: &Request<T>, flows: Flows) -> ApiResult<(Passed, Result)> {
        if flows.contains(&[].as_slice()) {
            return Ok((Passed::default(), Result::default()));
        }
        let (purpose, now) = (&request.purpose, (self.clock)());
        let id = self.sessions.enter(request.session(), purpose, &request.fields, || self.fresh_id(), now)?;
        if let Some(auth) = &request.auth
            && let Some(name) = auth.stage.as_deref()
            && !self.sessions.has_completed(&id, name)
        {
            if name == Stage::Password.name() && !self.names_owner(purpose, auth)? {
                return Err(ApiError::forbidden("This is somebody else's password."));
            }
            if !self.sessions.attempt(&id) {
                return Err(ApiError::forbidden("Too many attempts: begin again."));
            }
            match self.attempt(purpose, auth, name, flows).await {
                Ok((stage, shown)) => self.sessions.complete(&id, stage, shown),
                Err(refused) if refused.errcode == "M_FORBIDDEN" => return Err(self.ask(&id, flows, Some(refused))),
                Err(error) => return Err(error),
            }
        }
        self.sessions.finished(&id, flows).ok_or_else(|| self.ask(&id, flows, None))
    }

    async fn attempt(&self, purpose: &Purpose, auth: &Auth, name: &str, flows: Flows) -> ApiResult<(Stage, Passed)> {
        let stage = flows.iter().copied().flatten().find(|stage| stage.name() == name);
        let stage = *stage.ok_or_else(|| ApiError::forbidden("This kind of authentication is not asked for."))?;
        let mut shown = Passed::default();
        match stage {
            Stage::Dummy => {}
            Stage::RegistrationToken => shown.registration_token = Some(self.check_token(auth)?),
            Stage::Password => self.check_password(purpose, auth).await?,
        }
        Ok((stage, shown))
    }

    fn check_token(&self, auth: &Auth) -> ApiResult<String> {
        let token = auth.token.clone().ok_or_else(|| ApiError::missing_param("`token` is missing."))?;
        if self.users.check_registration_token(&token)? {
            Ok(token)
        } else {
            Err(ApiError::forbidden("The registration token is unknown, spent or expired."))
        }
    }

    async fn check_password(&self, purpose: &Purpose, auth: &Auth) -> ApiResult<()> {
        let password = auth.password.clone().ok_or_else(|| ApiError::missing_param("`password` is missing."))?;
        let owner = purpose.user_id.as_deref().ok_or_else(|| ApiError::forbidden("There is no account yet."))?;
        let user = named(auth).unwrap_or(owner).to_owned();
        let users = Arc::clone(&self.users);
        let proven = Arc::clone(&self.writers).hash(move || users.verify_password(&user, &password)).await?;
        if proven.user_id() == owner { Ok(()) } else { Err(ApiError::forbidden("This is somebody else's password.")) }
    }

    fn names_owner(&self, purpose: &Purpose, auth: &Auth) -> ApiResult<bool> {
        if let Some(identifier) = &auth.identifier
            && identifier.kind != "m.id.user"
        {
            return Err(ApiError::unknown("This kind of identifier leads to no account."));
        }
        let user_id = named(auth).map(|user| engram_users::localpart::login_user_id(user, &self.server_name));
        Ok(user_id.is_none_or(|user_id| purpose.user_id.as_ref().is_none_or(|owner| *owner == user_id)))
    }

    fn ask(&self, session: &str, flows: Flows, refused: Option<ApiError>) -> ApiError {
        let mut error = refused.unwrap_or_else(|| ApiError::new(StatusCode::UNAUTHORIZED, "", ""));
        error.status = StatusCode::UNAUTHORIZED;
        let flows: Vec<Value> = flows
            .iter()
            .map(|stages| json!({ "stages": stages.iter().map(|stage| stage.name()).collect::<Vec<_>>() }))
            .collect();
        let completed = self.sessions.completed(session);
        error.with("session", session).with("flows", flows).with("params", json!({})).with("completed", completed)
    }

    fn fresh_id(&self) -> String {
        let mut bytes = [0; 24];
        (self.random)(&mut bytes);
        bytes.iter().map(|byte| char::from(b'A' + byte % 26)).collect()
    }
}

/// Whose password is shown. An old client may leave it out: the access token says who it is.
fn named(auth: &Auth) -> Option<&str> {
    auth.identifier.as_ref().and_then(|identifier| identifier.user.as_deref()).or(auth.user.as_deref())
}
