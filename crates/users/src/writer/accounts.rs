//! Registration, passwords, deactivation, registration tokens.

use engram_base::Key;
use engram_log::Input;
use engram_log_format::v1::{
    AccountCreated, AccountDeactivated, DeviceLoggedIn, PasswordSet, ProfileFieldSet, RegistrationTokenCreated,
};
use engram_views::{Decision, Read, ViewError, WriteError};

use super::login::{LoginError, NewDevice, NewSession};
use super::{Users, subjects};
use crate::limits::{PASSWORD_BYTES_MAX, REGISTRATION_TOKEN_BYTES_MAX};
use crate::localpart::new_user_id;
use crate::password::HashedPassword;
use crate::query::Device;
use crate::{query, token};

const DISPLAY_NAME: &str = "displayname";

/// What somebody who registers asks for.
#[derive(Clone, Debug, Default)]
pub struct RegisterRequest {
    /// The localpart wanted (capitals are lowered); none for one chosen by the server.
    pub localpart: Option<String>,
    /// The password; none for an account without password login.
    pub password: Option<HashedPassword>,
    /// The device ID wanted for the first session.
    pub device_id: Option<String>,
    /// The name of that device.
    pub initial_device_display_name: Option<String>,
    /// The first display name; with none, a full account is called by its localpart.
    pub display_name: Option<String>,
    /// Create no session.
    pub inhibit_login: bool,
    /// Make the account an administrator. The first account that is no guest becomes one anyhow.
    pub admin: bool,
    /// Create a guest; the localpart is ignored, and a password is none of theirs.
    pub guest: bool,
    /// The guest, by full user ID, whose account becomes a full one and keeps its user ID.
    pub upgraded_guest: Option<String>,
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

impl From<ViewError> for RegisterError {
    fn from(error: ViewError) -> Self {
        Self::Write(error.into())
    }
}

impl From<LoginError> for RegisterError {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::Write(error) => Self::Write(error),
            LoginError::InvalidParam(what) => Self::InvalidParam(what),
            LoginError::Forbidden | LoginError::Deactivated => Self::InvalidParam("the device ID cannot be used"),
        }
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

impl Users {
    /// The form in which a password is kept. Takes a core for tens of milliseconds, and tens of MiB.
    pub fn hash_password(&self, password: &str) -> Result<HashedPassword, RegisterError> {
        if password.len() > PASSWORD_BYTES_MAX {
            return Err(RegisterError::InvalidParam("the password is too long"));
        }
        if password.is_empty() {
            return Err(RegisterError::InvalidParam("the password is empty"));
        }
        Ok(HashedPassword(self.passwords.hash(password, &self.random)))
    }

    /// Creates an account, and a session unless inhibited, in one append.
    pub async fn register(&self, request: RegisterRequest) -> Result<Registered, RegisterError> {
        let user_id = self.wanted_user_id(&request)?;
        let session = if request.inhibit_login { None } else { Some(self.first_session(&user_id, &request)?) };
        let subjects = self.registration_subjects(&user_id, &request)?;
        let registered = self.decider.decide(subjects, |snapshot, now| -> Result<_, RegisterError> {
            let guest_devices = match &request.upgraded_guest {
                Some(guest) => devices_of_guest(snapshot, guest)?,
                None => check_free(snapshot, &user_id).map(|()| Vec::new())?,
            };
            if let Some(token) = &request.registration_token
                && !query::registration_token_valid(snapshot, token, now)?
            {
                return Err(RegisterError::BadToken);
            }
            let first = !request.guest && !query::any_user(snapshot)?;
            let account = AccountCreated {
                user_id: user_id.clone(),
                password_hash: request.password.filter(|_| !request.guest).map(|hashed| hashed.0),
                admin: first || (request.admin && !request.guest),
                guest: request.guest,
                registration_token: request.registration_token,
                appservice_id: request.appservice_id,
            };
            // The guest's sessions say that they are a guest's: they end before the new one begins.
            let mut inputs = vec![Input::from(account)];
            inputs.extend(Self::removal(&user_id, &guest_devices));
            inputs.extend(first_display_name(snapshot, &user_id, request.guest, request.display_name)?);
            inputs.extend(session.as_ref().map(|(_, record)| Input::from(record.clone())));
            let session = session.map(|(session, _)| session);
            Ok(Decision::journal(inputs, (Registered { user_id, session }, guest_devices)))
        });
        let registered = registered.await?.then(|(registered, guest_devices), last| {
            self.end_sessions(&guest_devices, last);
            registered
        });
        Ok(registered.applied().await?)
    }

    /// Who else may be deciding whether this account comes to be.
    fn registration_subjects(&self, user_id: &str, request: &RegisterRequest) -> Result<Vec<Key>, ViewError> {
        let snapshot = self.decider.snapshot();
        let mut subjects = vec![subjects::account(user_id)];
        if let Some(token) = &request.registration_token {
            let row = query::registration_token_row(&*snapshot, token)?;
            // Of one that may be used without limit nothing is used up.
            let limited = row.is_some_and(|row| row.uses_allowed.is_some());
            subjects.extend(limited.then(|| subjects::registration_token(token)));
        }
        // As long as there is no account, registrations go one by one, so that there is one first.
        let may_be_first = !request.guest && !query::any_user(&*snapshot)?;
        subjects.extend(may_be_first.then(subjects::first_account));
        Ok(subjects)
    }

    /// Whether a localpart could be registered now; its user ID if so.
    pub fn check_available(&self, localpart: &str) -> Result<String, RegisterError> {
        let user_id = new_user_id(localpart, &self.server_name, false).map_err(RegisterError::InvalidUsername)?;
        check_free(&*self.decider.snapshot(), &user_id)?;
        Ok(user_id)
    }

    fn wanted_user_id(&self, request: &RegisterRequest) -> Result<String, RegisterError> {
        if let Some(guest) = &request.upgraded_guest {
            return Ok(guest.clone());
        }
        match &request.localpart {
            _ if request.guest => Ok(format!("@{}:{}", token::guest_localpart(&self.random), self.server_name)),
            Some(localpart) => new_user_id(localpart, &self.server_name, request.appservice_id.is_some())
                .map_err(RegisterError::InvalidUsername),
            None => Ok(format!("@{}:{}", token::localpart(&self.random), self.server_name)),
        }
    }

    fn first_session(
        &self,
        user_id: &str,
        request: &RegisterRequest,
    ) -> Result<(NewSession, DeviceLoggedIn), RegisterError> {
        let device = NewDevice {
            device_id: request.device_id.clone(),
            initial_device_display_name: request.initial_device_display_name.clone(),
            ip: request.ip.clone(),
        };
        Ok(self.new_session(user_id, device)?)
    }

    /// Sets a new password, and ends sessions as asked.
    pub async fn change_password(
        &self,
        user_id: &str,
        password: HashedPassword,
        logout: LogoutOthers<'_>,
    ) -> Result<(), RegisterError> {
        let changed = self.decider.decide([subjects::account(user_id)], |snapshot, _| {
            if query::account(snapshot, user_id)?.is_none_or(|account| account.deactivated) {
                return Err(RegisterError::InvalidParam("there is no such account"));
            }
            let mut gone = match logout {
                LogoutOthers::No => Vec::new(),
                LogoutOthers::AllBut(_) | LogoutOthers::All => query::devices(snapshot, user_id)?,
            };
            gone.retain(|device| logout != LogoutOthers::AllBut(&device.device_id));
            let set = PasswordSet { user_id: user_id.to_owned(), password_hash: Some(password.0) };
            Ok(Self::with_removal(user_id, gone, Some(set.into())))
        });
        Ok(self.end_removed(changed.await?).await?)
    }

    /// Closes an account: no login any more, all devices and the password gone. Idempotent.
    pub async fn deactivate(&self, user_id: &str, erase: bool) -> Result<(), WriteError> {
        let closed = self.decider.decide([subjects::account(user_id)], |snapshot, _| -> Result<_, WriteError> {
            let Some(account) = query::account(snapshot, user_id)? else {
                return Ok(Decision::nothing(Vec::new()));
            };
            if account.deactivated && (account.erased || !erase) {
                return Ok(Decision::nothing(Vec::new()));
            }
            let devices = query::devices(snapshot, user_id)?;
            let closed = AccountDeactivated { user_id: user_id.to_owned(), erase };
            Ok(Self::with_removal(user_id, devices, Some(closed.into())))
        });
        self.end_removed(closed.await?).await
    }

    /// Creates a registration token; with none given, a random one. `BadToken` if it exists or is malformed.
    pub async fn create_registration_token(
        &self,
        token: Option<&str>,
        uses_allowed: Option<u64>,
        expires_ms: Option<u64>,
    ) -> Result<String, RegisterError> {
        let token = token.map_or_else(|| token::registration_token(&self.random), str::to_owned);
        let well_formed = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
        if token.is_empty() || token.len() > REGISTRATION_TOKEN_BYTES_MAX || !token.bytes().all(well_formed) {
            return Err(RegisterError::BadToken);
        }
        let created = self.decider.decide([subjects::registration_token(&token)], |snapshot, _| {
            if query::registration_token_row(snapshot, &token)?.is_some() {
                return Err(RegisterError::BadToken);
            }
            let created = RegistrationTokenCreated { token: token.clone(), uses_allowed, expires_ms };
            Ok(Decision::journal([created.into()], token))
        });
        Ok(created.await?.applied().await?)
    }

    /// Whether a registration token could be spent now.
    pub fn check_registration_token(&self, token: &str) -> Result<bool, WriteError> {
        Ok(query::registration_token_valid(&*self.decider.snapshot(), token, self.decider.now())?)
    }
}

/// Sets the display name of a new account, unless it has one from its time as a guest's. Guests are called by no name:
/// theirs says nothing.
fn first_display_name(
    reader: &dyn Read,
    user_id: &str,
    guest: bool,
    wanted: Option<String>,
) -> Result<Option<Input>, ViewError> {
    let named = query::profile_field(reader, user_id, DISPLAY_NAME)?.is_some();
    if guest || (wanted.is_none() && named) {
        return Ok(None);
    }
    let localpart =
        || user_id.strip_prefix('@').and_then(|rest| rest.split_once(':')).map(|(local, _)| local.to_owned());
    let Some(name) = wanted.or_else(localpart) else { return Ok(None) };
    let value = serde_json::Value::from(name).to_string().into_bytes();
    Ok(Some(ProfileFieldSet { user_id: user_id.to_owned(), key: DISPLAY_NAME.to_owned(), value: Some(value) }.into()))
}

fn check_free(reader: &dyn Read, user_id: &str) -> Result<(), RegisterError> {
    match query::account(reader, user_id)? {
        Some(_) => Err(RegisterError::InUse),
        None => Ok(()),
    }
}

/// The devices of a guest who becomes a full user.
fn devices_of_guest(reader: &dyn Read, user_id: &str) -> Result<Vec<Device>, RegisterError> {
    match query::account(reader, user_id)? {
        Some(account) if account.guest && !account.deactivated => Ok(query::devices(reader, user_id)?),
        _ => Err(RegisterError::InUse),
    }
}
