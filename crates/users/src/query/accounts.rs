//! Accounts, sessions, devices, profiles.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use engram_base::{Key, Parts};
use engram_log::TimestampMs;
use engram_views::{Read, ReadExt, ViewError};

use super::{malformed, row};
use crate::json::{self, RawJson};
use crate::row::{AccountRow, DeviceRow, RegistrationTokenRow};
use crate::tables::{self, ACCOUNTS, DEVICES, PROFILES, REGISTRATION_TOKENS, TOKENS};
use crate::token::TokenDigest;

/// An account of this server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about an account, not a state")]
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

impl Device {
    fn new(device_id: &str, row: DeviceRow) -> Self {
        Self {
            device_id: device_id.to_owned(),
            display_name: row.display_name,
            last_seen: TimestampMs(row.last_login_ms),
            last_seen_ip: row.ip,
            expires: row.expires_ms.map(TimestampMs),
            token_digest: row.token_digest,
        }
    }
}

pub(crate) fn account_row(reader: &dyn Read, user_id: &str) -> Result<Option<AccountRow>, ViewError> {
    row(reader, &ACCOUNTS, &tables::of_user(user_id), AccountRow::decode)
}

/// An account by its user ID.
pub fn account(reader: &dyn Read, user_id: &str) -> Result<Option<Account>, ViewError> {
    Ok(account_row(reader, user_id)?.map(|row| Account {
        admin: row.admin,
        guest: row.guest,
        deactivated: row.deactivated,
        erased: row.erased,
        created: TimestampMs(row.created_ms),
        password_hash: row.password_hash,
        appservice_id: row.appservice_id,
    }))
}

/// Whether the owner of an account has closed it and asked for erasure.
pub fn is_erased(reader: &dyn Read, user_id: &str) -> Result<bool, ViewError> {
    Ok(account_row(reader, user_id)?.is_some_and(|row| row.erased))
}

/// Whether any account that is no guest exists.
pub fn any_user(reader: &dyn Read) -> Result<bool, ViewError> {
    let mut found = false;
    reader.scan(&ACCOUNTS, Bound::Unbounded, Bound::Unbounded, false, &mut |_, value| {
        found = AccountRow::decode(value).is_some_and(|row| !row.guest);
        if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(found)
}

/// All guests. Looks at every account: to be asked once, not per request.
pub fn guests(reader: &dyn Read) -> Result<Vec<String>, ViewError> {
    with(reader, |row| row.guest)
}

/// All closed accounts. Looks at every account: to be asked once, not per request.
pub fn closed(reader: &dyn Read) -> Result<Vec<String>, ViewError> {
    with(reader, |row| row.deactivated)
}

fn with(reader: &dyn Read, wanted: impl Fn(&AccountRow) -> bool) -> Result<Vec<String>, ViewError> {
    let mut found = Vec::new();
    reader.scan(&ACCOUNTS, Bound::Unbounded, Bound::Unbounded, false, &mut |key, value| {
        if AccountRow::decode(value).is_some_and(|row| wanted(&row)) {
            found.extend(Parts(key).text().map(str::to_owned));
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// The session of an access token. Does not look at the clock: the caller compares [`Session::expires`].
pub fn session(reader: &dyn Read, digest: &TokenDigest) -> Result<Option<Session>, ViewError> {
    let Some(owner) = reader.get(&TOKENS, digest)? else {
        return Ok(None);
    };
    let mut parts = Parts(&owner);
    let (Some(user_id), Some(device_id)) = (parts.text(), parts.text()) else {
        return Err(malformed(&TOKENS));
    };
    let (Some(account), Some(device)) = (account_row(reader, user_id)?, device_row(reader, user_id, device_id)?) else {
        return Err(ViewError::Row { table: TOKENS.name, what: "its account or device is missing" });
    };
    Ok(Some(Session {
        user_id: user_id.to_owned(),
        device_id: device_id.to_owned(),
        guest: account.guest,
        admin: account.admin,
        expires: device.expires_ms.map(TimestampMs),
    }))
}

/// All devices of a user, in a stable order.
pub fn devices(reader: &dyn Read, user_id: &str) -> Result<Vec<Device>, ViewError> {
    let prefix = tables::of_user(user_id);
    let mut devices = Some(Vec::new());
    reader.scan_prefix(&DEVICES, &prefix, &mut |key, value| {
        let device_id = Parts(&key[prefix.len()..]).text();
        match (devices.as_mut(), device_id, DeviceRow::decode(value)) {
            (Some(devices), Some(device_id), Some(row)) => devices.push(Device::new(device_id, row)),
            _ => devices = None,
        }
        ControlFlow::Continue(())
    })?;
    devices.ok_or_else(|| malformed(&DEVICES))
}

pub(crate) fn device_row(reader: &dyn Read, user_id: &str, device_id: &str) -> Result<Option<DeviceRow>, ViewError> {
    row(reader, &DEVICES, &tables::of_device(user_id, device_id), DeviceRow::decode)
}

/// One device of a user.
pub fn device(reader: &dyn Read, user_id: &str, device_id: &str) -> Result<Option<Device>, ViewError> {
    Ok(device_row(reader, user_id, device_id)?.map(|row| Device::new(device_id, row)))
}

/// Every field of a user's profile; empty also if there is no such account.
pub fn profile(reader: &dyn Read, user_id: &str) -> Result<BTreeMap<String, RawJson>, ViewError> {
    let prefix = tables::of_user(user_id);
    let mut fields = Some(BTreeMap::new());
    reader.scan_prefix(&PROFILES, &prefix, &mut |key, value| {
        match (fields.as_mut(), Parts(&key[prefix.len()..]).text(), json::from_bytes(value)) {
            (Some(fields), Some(field), Some(value)) => {
                fields.insert(field.to_owned(), value);
            }
            _ => fields = None,
        }
        ControlFlow::Continue(())
    })?;
    fields.ok_or_else(|| malformed(&PROFILES))
}

/// One field of a user's profile.
pub fn profile_field(reader: &dyn Read, user_id: &str, field: &str) -> Result<Option<RawJson>, ViewError> {
    row(reader, &PROFILES, &tables::of_user(user_id).text(field), json::from_bytes)
}

pub(crate) fn registration_token_row(
    reader: &dyn Read,
    token: &str,
) -> Result<Option<RegistrationTokenRow>, ViewError> {
    row(reader, &REGISTRATION_TOKENS, &Key::new().text(token), RegistrationTokenRow::decode)
}

/// Whether a registration token exists, is not spent and not expired.
pub fn registration_token_valid(reader: &dyn Read, token: &str, now: TimestampMs) -> Result<bool, ViewError> {
    Ok(registration_token_row(reader, token)?.is_some_and(|row| {
        row.uses_allowed.is_none_or(|allowed| row.used < allowed) && row.expires_ms.is_none_or(|at| now.0 < at)
    }))
}
