//! Registration, passwords, deactivation, registration tokens.

use super::login::NewSession;
use super::{Users, WriteError};

/// What somebody who registers asks for.
#[derive(Clone, Debug, Default)]
pub struct RegisterRequest {
    /// The localpart wanted (capitals are lowered); none for one chosen by the server.
    pub localpart: Option<String>,
    /// The password; none for an account without password login.
    pub password: Option<String>,
    /// The device ID wanted for the first session.
    pub device_id: Option<String>,
    /// The name of that device.
    pub initial_device_display_name: Option<String>,
    /// Create no session.
    pub inhibit_login: bool,
    /// Make the account an administrator. The first account that is no guest becomes one anyhow.
    pub admin: bool,
    /// Create a guest; localpart and password are ignored.
    pub guest: bool,
    /// The registration token to be spent.
    pub registration_token: Option<String>,
    /// The application service that registers the account: frees it from the rule against numeric localparts.
    pub appservice_id: Option<String>,
    /// The client's address.
    pub ip: Option<String>,
}

/// A new account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// Its full user ID.
    pub user_id: String,
    /// Its first session, unless inhibited.
    pub session: Option<NewSession>,
}

/// Why an account was not created.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// `M_USER_IN_USE`.
    #[error("the user ID is taken")]
    InUse,
    /// `M_INVALID_USERNAME`.
    #[error("{0}")]
    InvalidUsername(&'static str),
    /// `M_EXCLUSIVE`: reserved by an application service.
    #[error("the user ID is reserved by an application service")]
    Exclusive,
    /// The registration token is unknown, spent or expired.
    #[error("the registration token is unknown, spent or expired")]
    BadToken,
    /// `M_INVALID_PARAM`: the device ID, its name or the password is too long or empty.
    #[error("{0}")]
    InvalidParam(&'static str),
    /// It could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl Users {
    /// Creates an account, and a session unless inhibited, in one append.
    pub fn register(&self, _request: RegisterRequest) -> Result<Registered, RegisterError> {
        todo!()
    }

    /// Whether a localpart could be registered now; its user ID if so.
    pub fn check_available(&self, _localpart: &str) -> Result<String, RegisterError> {
        todo!()
    }

    /// Sets a new password, and ends sessions as asked.
    pub fn change_password(
        &self,
        _user_id: &str,
        _password: &str,
        _logout: LogoutOthers<'_>,
    ) -> Result<(), RegisterError> {
        todo!()
    }

    /// Closes an account: no login any more, all devices and the password gone. Idempotent.
    pub fn deactivate(&self, _user_id: &str, _erase: bool) -> Result<(), WriteError> {
        todo!()
    }

    /// Creates a registration token; with none given, a random one. `BadToken` if it exists or is malformed.
    pub fn create_registration_token(
        &self,
        _token: Option<&str>,
        _uses_allowed: Option<u64>,
        _expires_ms: Option<u64>,
    ) -> Result<String, RegisterError> {
        todo!()
    }

    /// Whether a registration token could be spent now.
    pub fn check_registration_token(&self, _token: &str) -> Result<bool, WriteError> {
        todo!()
    }
}

/// Which sessions a change of password ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogoutOthers<'a> {
    /// None.
    No,
    /// All but this device's.
    AllBut(&'a str),
    /// All.
    All,
}
