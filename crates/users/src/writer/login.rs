//! Sessions: login, look-up of access tokens, logout.

use std::sync::Arc;

use super::{Users, WriteError};
use crate::query::Session;

/// A password login.
#[derive(Clone, Debug, Default)]
pub struct LoginRequest {
    /// A localpart or a full user ID.
    pub user: String,
    /// The password.
    pub password: String,
    /// The device that the session is for.
    pub device: NewDevice,
}

/// The device that a new session is for.
#[derive(Clone, Debug, Default)]
pub struct NewDevice {
    /// The device ID wanted; none for one chosen by the server. An existing device keeps its keys and loses its old token.
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
    View(#[from] engram_views::ViewError),
}

impl Users {
    /// The session of an access token: from memory if it was used before, else from the view. Quick: may be called on
    /// an async thread (a miss reads one or two rows).
    pub fn session(&self, _access_token: &str) -> Result<Arc<Session>, SessionError> {
        todo!()
    }

    /// Checks a password and creates a session.
    pub fn login(&self, _request: LoginRequest) -> Result<NewSession, LoginError> {
        todo!()
    }

    /// Checks a password, as for user-interactive authentication; the full user ID if it is right.
    ///
    /// Takes as long for users that do not exist.
    pub fn verify_password(&self, _user: &str, _password: &str) -> Result<String, LoginError> {
        todo!()
    }

    /// Creates a session for an account without asking for a password.
    pub fn create_session(
        &self,
        _user_id: &str,
        _device: NewDevice,
    ) -> Result<NewSession, LoginError> {
        todo!()
    }

    /// Ends a session: its device is removed.
    pub fn logout(&self, _session: &Session) -> Result<(), WriteError> {
        todo!()
    }

    /// Ends all sessions of a user.
    pub fn logout_all(&self, _user_id: &str) -> Result<(), WriteError> {
        todo!()
    }
}
