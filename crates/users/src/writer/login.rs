//! Sessions: login, look-up of access tokens, logout.

use std::sync::Arc;

use engram_base::is_identifier;
use engram_log_format::v1::DeviceLoggedIn;
use engram_views::{Decision, Read, ViewError, WriteError};

use super::{Users, subjects};
use crate::limits::{DISPLAY_NAME_BYTES_MAX, PASSWORD_BYTES_MAX};
use crate::localpart::login_user_id;
use crate::query::{CrossSigningUsage, Session};
use crate::{query, token};

/// Somebody whose password was found to be right.
#[derive(Clone, Debug)]
pub struct Verified {
    user_id: String,
    /// What it was found to be right by.
    password_hash: Option<String>,
}

impl Verified {
    /// The full user ID.
    pub fn user_id(&self) -> &str {
        &self.user_id
    }
}

/// The device that a new session is for.
#[derive(Clone, Debug, Default)]
pub struct NewDevice {
    /// The device ID wanted; none for one chosen by the server. An existing device keeps its keys and loses its old
    /// token.
    pub device_id: Option<String>,
    /// The display name, for a new device.
    pub initial_device_display_name: Option<String>,
    /// The client's address.
    pub ip: Option<String>,
}

/// A new session. The access token exists nowhere else: the log knows only its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSession {
    /// The account.
    pub user_id: String,
    /// The device.
    pub device_id: String,
    /// The access token.
    pub access_token: String,
}

/// Why a login was refused.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// `M_FORBIDDEN`: no such user, no password login, or a wrong password: which, is not told.
    #[error("invalid user name or password")]
    Forbidden,
    /// `M_USER_DEACTIVATED`: the account was closed.
    #[error("the account has been deactivated")]
    Deactivated,
    /// `M_INVALID_PARAM`: the device ID or its name is empty or too long, or the device ID is the public key of a
    /// cross-signing key.
    #[error("{0}")]
    InvalidParam(&'static str),
    /// It could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Why an access token gives no session.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// `M_UNKNOWN_TOKEN`.
    #[error("unknown access token")]
    Unknown,
    /// `M_UNKNOWN_TOKEN` with `soft_logout: true`: the device is still there.
    #[error("the access token has expired")]
    Expired,
    /// The views could not be read.
    #[error(transparent)]
    View(#[from] ViewError),
}

impl From<ViewError> for LoginError {
    fn from(error: ViewError) -> Self {
        Self::Write(error.into())
    }
}

impl Users {
    /// The session of an access token if it is in memory; none says nothing. May be called where nothing may be read.
    pub fn session_in_memory(&self, access_token: &str) -> Option<Result<Arc<Session>, SessionError>> {
        let session = self.sessions.in_memory(&token::digest(access_token))?;
        Some(self.unexpired(session))
    }

    /// The session of an access token: from memory if it was used before, else from the view (three rows).
    pub fn session(&self, access_token: &str) -> Result<Arc<Session>, SessionError> {
        let digest = token::digest(access_token);
        let session = self.sessions.get(&digest, || query::session(&*self.decider.snapshot(), &digest))?;
        self.unexpired(session.ok_or(SessionError::Unknown)?)
    }

    fn unexpired(&self, session: Arc<Session>) -> Result<Arc<Session>, SessionError> {
        match session.expires {
            Some(at) if at <= self.decider.now() => Err(SessionError::Expired),
            _ => Ok(session),
        }
    }

    /// Checks a password, to log in or as a stage of user-interactive authentication. Takes a core for tens of
    /// milliseconds, and as long for users that do not exist.
    pub fn verify_password(&self, user: &str, password: &str) -> Result<Verified, LoginError> {
        let user_id = login_user_id(user, &self.server_name);
        let account = query::account(&*self.decider.snapshot(), &user_id)?;
        let hash = account.as_ref().and_then(|account| account.password_hash.as_deref());
        let too_long = password.len() > PASSWORD_BYTES_MAX;
        let right = self.passwords.verify(if too_long { "" } else { password }, hash) && !too_long;
        match account {
            Some(account) if account.deactivated => Err(LoginError::Deactivated),
            Some(account) if right => Ok(Verified { user_id, password_hash: account.password_hash }),
            _ => Err(LoginError::Forbidden),
        }
    }

    /// Creates a session for somebody whose password was right, if it still is: one that was changed while the old one
    /// was being verified ends in no session.
    pub async fn login(&self, verified: Verified, device: NewDevice) -> Result<NewSession, LoginError> {
        let Verified { user_id, password_hash } = verified;
        self.create_session_if(&user_id, device, |account| account.password_hash == password_hash).await
    }

    /// Creates a session for an account without asking for a password.
    pub async fn create_session(&self, user_id: &str, device: NewDevice) -> Result<NewSession, LoginError> {
        self.create_session_if(user_id, device, |_| true).await
    }

    async fn create_session_if(
        &self,
        user_id: &str,
        device: NewDevice,
        still: impl FnOnce(&query::Account) -> bool,
    ) -> Result<NewSession, LoginError> {
        let (session, record) = self.new_session(user_id, device)?;
        let created = self.decider.decide([subjects::account(user_id)], |snapshot, _| {
            match query::account(snapshot, user_id)? {
                None => return Err(LoginError::Forbidden),
                Some(account) if account.deactivated => return Err(LoginError::Deactivated),
                Some(account) if !still(&account) => return Err(LoginError::Forbidden),
                Some(_) => {}
            }
            refuse_name_of_key(snapshot, user_id, &session.device_id)?;
            // An old session of the device ends with this one.
            let before = query::device(snapshot, user_id, &session.device_id)?;
            Ok(Decision::journal([record.into()], (session, before)))
        });
        let created = created.await?.then(|(session, before), last| {
            self.end_sessions(before.as_slice(), last);
            session
        });
        Ok(created.applied().await?)
    }

    /// A session and its record, not yet appended.
    pub(super) fn new_session(
        &self,
        user_id: &str,
        device: NewDevice,
    ) -> Result<(NewSession, DeviceLoggedIn), LoginError> {
        let device_id = device.device_id.unwrap_or_else(|| token::device_id(&self.random));
        if !is_identifier(&device_id) {
            return Err(LoginError::InvalidParam("a device ID has 1 to 255 bytes"));
        }
        let display_name = device.initial_device_display_name;
        if display_name.as_ref().is_some_and(|name| name.len() > DISPLAY_NAME_BYTES_MAX) {
            return Err(LoginError::InvalidParam("the device's display name is too long"));
        }
        let access_token = token::access_token(&self.random);
        let record = DeviceLoggedIn {
            user_id: user_id.to_owned(),
            device_id: device_id.clone(),
            access_token_digest: token::digest(&access_token),
            display_name,
            expires_ms: None,
            ip: device.ip,
        };
        Ok((NewSession { user_id: user_id.to_owned(), device_id, access_token }, record))
    }

    /// Ends a session: its device is removed.
    pub async fn logout(&self, session: &Session) -> Result<(), WriteError> {
        self.delete_devices(&session.user_id, std::slice::from_ref(&session.device_id)).await
    }

    /// Ends all sessions of a user.
    pub async fn logout_all(&self, user_id: &str) -> Result<(), WriteError> {
        let removed = self.decider.decide([subjects::account(user_id)], |snapshot, _| -> Result<_, WriteError> {
            Ok(Self::with_removal(user_id, query::devices(snapshot, user_id)?, None))
        });
        self.end_removed(removed.await?).await
    }
}

/// A device named like a cross-signing key could not be told from it in signatures.
fn refuse_name_of_key(reader: &dyn Read, user_id: &str, device_id: &str) -> Result<(), LoginError> {
    for usage in CrossSigningUsage::ALL {
        let key = query::cross_signing_row(reader, user_id, usage)?;
        if key.is_some_and(|key| key.public_key == device_id) {
            return Err(LoginError::Forbidden);
        }
    }
    Ok(())
}
