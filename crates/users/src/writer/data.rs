//! Profiles, account data, filters.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use engram_base::limits::IDENTIFIER_BYTES_MAX;
use engram_log::Input;
use engram_log_format::v1::{AccountDataSet, FilterCreated, ProfileFieldSet};
use engram_views::{Decision, WriteError};
use serde_json::value::RawValue;

use super::{GuestForbidden, Users, is_identifier, refuse_guest, subjects};
use crate::json::{self, RawJson};
use crate::limits::{ACCOUNT_DATA_BYTES_MAX, PROFILE_BYTES_MAX};
use crate::query;
use crate::strict::{self, Numbers, Unsound};

/// A filter's ID is so much of its digest: enough that no two filters of a user meet.
const FILTER_ID_BYTES: usize = 12;

/// Why a profile field was not set.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// `M_NOT_FOUND`: no such account.
    #[error("unknown user")]
    UnknownUser,
    /// `M_KEY_TOO_LARGE`.
    #[error("the name of a profile field has at most 255 bytes")]
    KeyTooLarge,
    /// `M_INVALID_PARAM`: the name does not follow the grammar.
    #[error("a profile field is avatar_url, displayname, m.tz, or has a name like org.example.field")]
    InvalidKey,
    /// `M_PROFILE_TOO_LARGE`.
    #[error("the profile would exceed 64 KiB")]
    TooLarge,
    /// `M_INVALID_PARAM`: `displayname` and `avatar_url` are strings.
    #[error("{0}")]
    InvalidValue(&'static str),
    /// `M_BAD_JSON`: not everybody could read it.
    #[error(transparent)]
    Unsound(#[from] Unsound),
    /// `M_GUEST_ACCESS_FORBIDDEN`.
    #[error(transparent)]
    Guest(#[from] GuestForbidden),
    /// It could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Why account data was not set.
#[derive(Debug, thiserror::Error)]
pub enum AccountDataError {
    /// 405 `M_BAD_JSON`: the server manages this type.
    #[error("{0} cannot be set as account data")]
    Reserved(String),
    /// `M_BAD_JSON`: account data is an object.
    #[error("account data must be a JSON object")]
    NotAnObject,
    /// `M_INVALID_PARAM`: the event type is empty or too long.
    #[error("an event type has 1 to 255 bytes")]
    InvalidType,
    /// `M_TOO_LARGE`: the content is too large, or grew to be.
    #[error("account data has at most {ACCOUNT_DATA_BYTES_MAX} bytes")]
    TooLarge,
    /// `M_BAD_JSON`: not everybody could read it.
    #[error(transparent)]
    Unsound(#[from] Unsound),
    /// `M_GUEST_ACCESS_FORBIDDEN`.
    #[error(transparent)]
    Guest(#[from] GuestForbidden),
    /// It could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Why a filter was not stored.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// `M_BAD_JSON`: a filter is an object.
    #[error("a filter must be a JSON object")]
    NotAnObject,
    /// `M_BAD_JSON`: not everybody could read it.
    #[error(transparent)]
    Unsound(#[from] Unsound),
    /// `M_GUEST_ACCESS_FORBIDDEN`.
    #[error(transparent)]
    Guest(#[from] GuestForbidden),
    /// It could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl Users {
    /// Sets a profile field, or removes it with none. Guests may do so with their display name only.
    pub async fn set_profile_field(
        &self,
        user_id: &str,
        key: &str,
        value: Option<&RawValue>,
    ) -> Result<(), ProfileError> {
        check_profile_key(key)?;
        check_profile_value(key, value)?;
        let set = self.decider.decide([subjects::account(user_id)], |snapshot, _| {
            if query::account(snapshot, user_id).map_err(WriteError::from)?.is_none() {
                return Err(ProfileError::UnknownUser);
            }
            if key != "displayname" {
                refuse_guest::<ProfileError>(snapshot, user_id)?;
            }
            let profile = query::profile(snapshot, user_id).map_err(WriteError::from)?;
            if profile.get(key).map(|value| value.get()) == value.map(RawValue::get) {
                return Ok(Decision::nothing(()));
            }
            let others = profile.iter().filter(|(name, _)| *name != key);
            // As JSON each field takes four more characters: two quotes, colon, comma.
            let bytes: usize = others.map(|(name, value)| name.len() + value.get().len() + 4).sum();
            if value.is_some_and(|value| bytes + key.len() + value.get().len() + 4 >= PROFILE_BYTES_MAX) {
                return Err(ProfileError::TooLarge);
            }
            let set = ProfileFieldSet {
                user_id: user_id.to_owned(),
                key: key.to_owned(),
                value: value.map(|value| value.get().as_bytes().to_vec()),
            };
            Ok(Decision::journal([set.into()], ()))
        });
        Ok(set.await?.applied().await?)
    }

    /// Sets account data on behalf of a client's `PUT …/account_data/…`: refuses the types that the server manages.
    pub async fn put_account_data(
        &self,
        user_id: &str,
        room_id: Option<&str>,
        event_type: &str,
        content: &RawValue,
    ) -> Result<(), AccountDataError> {
        if matches!(event_type, "m.fully_read" | "m.push_rules") {
            return Err(AccountDataError::Reserved(event_type.to_owned()));
        }
        self.set_account_data(user_id, room_id, event_type, content).await
    }

    /// Sets account data of any type: also `m.fully_read`, `m.push_rules`, `m.tag`.
    pub async fn set_account_data(
        &self,
        user_id: &str,
        room_id: Option<&str>,
        event_type: &str,
        content: &RawValue,
    ) -> Result<(), AccountDataError> {
        let set = account_data(user_id, room_id, event_type, content)?;
        let set = self.decider.decide([subjects::account(user_id)], |snapshot, _| {
            refuse_guest::<AccountDataError>(snapshot, user_id)?;
            Ok::<_, AccountDataError>(Decision::journal([set], ()))
        });
        Ok(set.await?.applied().await?)
    }

    /// Reads account data, changes it and writes it back, with nobody in between: for tags and push rules.
    ///
    /// `change` gets the present content (for `m.push_rules` the defaults, if none is stored) and returns the new one,
    /// or an error of its own, upon which nothing is written.
    pub async fn update_account_data<E>(
        &self,
        user_id: &str,
        room_id: Option<&str>,
        event_type: &str,
        change: impl FnOnce(Option<&RawValue>) -> Result<RawJson, E>,
    ) -> Result<Result<(), E>, AccountDataError> {
        let updated = self.decider.decide([subjects::account(user_id)], |snapshot, _| {
            refuse_guest::<AccountDataError>(snapshot, user_id)?;
            let present = match (room_id, event_type) {
                (None, "m.push_rules") => query::push_rules(snapshot, user_id).map(Some),
                _ => query::account_data(snapshot, user_id, room_id, event_type),
            };
            match change(present.map_err(WriteError::from)?.as_deref()) {
                Ok(content) => {
                    let set = account_data(user_id, room_id, event_type, &content)?;
                    Ok::<_, AccountDataError>(Decision::journal([set], Ok(())))
                }
                Err(error) => Ok(Decision::nothing(Err(error))),
            }
        });
        Ok(updated.await?.applied().await?)
    }

    /// Stores a filter; its ID. The same filter gets the same ID.
    pub async fn create_filter(&self, user_id: &str, filter: &RawValue) -> Result<String, FilterError> {
        if !json::is_object(filter) {
            return Err(FilterError::NotAnObject);
        }
        strict::check(filter, Numbers::Any)?;
        let digest = blake3::hash(filter.get().as_bytes());
        let filter_id = URL_SAFE_NO_PAD.encode(&digest.as_bytes()[..FILTER_ID_BYTES]);
        let created = self.decider.decide([subjects::account(user_id)], |snapshot, _| -> Result<_, FilterError> {
            refuse_guest::<FilterError>(snapshot, user_id)?;
            if query::filter(snapshot, user_id, &filter_id).map_err(WriteError::from)?.is_some() {
                return Ok(Decision::nothing(filter_id));
            }
            let created = FilterCreated {
                user_id: user_id.to_owned(),
                filter_id: filter_id.clone(),
                filter: filter.get().as_bytes().to_vec(),
            };
            Ok(Decision::journal([created.into()], filter_id))
        });
        Ok(created.await?.applied().await?)
    }
}

/// The record that sets account data, if it may be stored.
fn account_data(
    user_id: &str,
    room_id: Option<&str>,
    event_type: &str,
    content: &RawValue,
) -> Result<Input, AccountDataError> {
    if !is_identifier(event_type) || !room_id.is_none_or(is_identifier) {
        return Err(AccountDataError::InvalidType);
    }
    if !json::is_object(content) {
        return Err(AccountDataError::NotAnObject);
    }
    if content.get().len() > ACCOUNT_DATA_BYTES_MAX {
        return Err(AccountDataError::TooLarge);
    }
    strict::check(content, Numbers::Any)?;
    let set = AccountDataSet {
        user_id: user_id.to_owned(),
        room_id: room_id.map(str::to_owned),
        event_type: event_type.to_owned(),
        content: content.get().as_bytes().to_vec(),
    };
    Ok(set.into())
}

/// `avatar_url`, `displayname`, `m.tz`, or a name of one's own by the common grammar of namespaced identifiers.
fn check_profile_key(key: &str) -> Result<(), ProfileError> {
    let word = |word: &str| {
        let rest = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        word.starts_with(|first: char| first.is_ascii_lowercase()) && word.bytes().all(rest)
    };
    let known = matches!(key, "avatar_url" | "displayname");
    if key.len() > IDENTIFIER_BYTES_MAX {
        Err(ProfileError::KeyTooLarge)
    } else if known || (key.contains('.') && key.split('.').all(word)) {
        Ok(())
    } else {
        Err(ProfileError::InvalidKey)
    }
}

fn check_profile_value(key: &str, value: Option<&RawValue>) -> Result<(), ProfileError> {
    let Some(value) = value else { return Ok(()) };
    strict::check(value, Numbers::Any)?;
    if matches!(key, "displayname" | "avatar_url") && !value.get().starts_with('"') && value.get() != "null" {
        return Err(ProfileError::InvalidValue("a display name or avatar URL must be a string"));
    }
    Ok(())
}
