//! Accounts, sessions, devices, profiles.

use std::collections::BTreeMap;

use engram_log::TimestampMs;
use engram_views::{Read, ViewError};

use crate::json::RawJson;
use crate::token::TokenDigest;

/// An account of this server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Whether it administers the server.
    pub admin: bool,
    /// Whether it is a guest.
    pub guest: bool,
    /// Whether it was closed.
    pub deactivated: bool,
    /// Whether its owner asked for erasure when closing it.
    pub erased: bool,
    /// When it was created.
    pub created: TimestampMs,
    /// PHC string; none: no password login.
    pub password_hash: Option<String>,
    /// The application service that owns it.
    pub appservice_id: Option<String>,
}

/// Who makes a request: what an access token stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The account.
    pub user_id: String,
    /// The device.
    pub device_id: String,
    /// Whether the account is a guest.
    pub guest: bool,
    /// Whether the account administers the server.
    pub admin: bool,
    /// From when on the token is void.
    pub expires: Option<TimestampMs>,
}

/// A device of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its ID.
    pub device_id: String,
    /// Its name, if it has one.
    pub display_name: Option<String>,
    /// The time of the last login.
    pub last_seen: TimestampMs,
    /// The address of the last login.
    pub last_seen_ip: Option<String>,
    /// From when on its token is void.
    pub expires: Option<TimestampMs>,
    /// The digest of its current access token.
    pub token_digest: TokenDigest,
}

/// An account by its user ID.
pub fn account(_reader: &dyn Read, _user_id: &str) -> Result<Option<Account>, ViewError> {
    todo!()
}

/// Whether any account that is no guest exists.
pub fn any_user(_reader: &dyn Read) -> Result<bool, ViewError> {
    todo!()
}

/// The session of an access token. Does not look at the clock: the caller compares [`Session::expires`].
pub fn session(_reader: &dyn Read, _digest: &TokenDigest) -> Result<Option<Session>, ViewError> {
    todo!()
}

/// All devices of a user, in a stable order.
pub fn devices(_reader: &dyn Read, _user_id: &str) -> Result<Vec<Device>, ViewError> {
    todo!()
}

/// One device of a user.
pub fn device(
    _reader: &dyn Read,
    _user_id: &str,
    _device_id: &str,
) -> Result<Option<Device>, ViewError> {
    todo!()
}

/// Every field of a user's profile; empty also if there is no such account.
pub fn profile(_reader: &dyn Read, _user_id: &str) -> Result<BTreeMap<String, RawJson>, ViewError> {
    todo!()
}

/// One field of a user's profile.
pub fn profile_field(
    _reader: &dyn Read,
    _user_id: &str,
    _field: &str,
) -> Result<Option<RawJson>, ViewError> {
    todo!()
}

/// Whether a registration token exists, is not spent and not expired.
pub fn registration_token_valid(
    _reader: &dyn Read,
    _token: &str,
    _now: TimestampMs,
) -> Result<bool, ViewError> {
    todo!()
}
