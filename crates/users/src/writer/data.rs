//! Profiles, account data, filters.

use serde_json::value::RawValue;

use super::{Users, WriteError};

/// Why a profile field was not set.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// `M_NOT_FOUND`: no such account.
    #[error("unknown user")]
    UnknownUser,
    /// `M_KEY_TOO_LARGE`, or empty: `M_INVALID_PARAM`.
    #[error("the name of a profile field has 1 to 255 bytes")]
    KeyTooLarge,
    /// `M_PROFILE_TOO_LARGE`.
    #[error("the profile would exceed 64 KiB")]
    TooLarge,
    /// `M_INVALID_PARAM`: `displayname` and `avatar_url` are strings.
    #[error("{0}")]
    InvalidValue(&'static str),
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
    /// It could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl Users {
    /// Sets a profile field, or removes it with none.
    pub fn set_profile_field(
        &self,
        _user_id: &str,
        _key: &str,
        _value: Option<&RawValue>,
    ) -> Result<(), ProfileError> {
        todo!()
    }

    /// Sets account data on behalf of a client's `PUT …/account_data/…`: refuses the types that the server manages.
    pub fn put_account_data(
        &self,
        _user_id: &str,
        _room_id: Option<&str>,
        _event_type: &str,
        _content: &RawValue,
    ) -> Result<(), AccountDataError> {
        todo!()
    }

    /// Sets account data of any type: also `m.fully_read`, `m.push_rules`, `m.tag`.
    pub fn set_account_data(
        &self,
        _user_id: &str,
        _room_id: Option<&str>,
        _event_type: &str,
        _content: &RawValue,
    ) -> Result<(), AccountDataError> {
        todo!()
    }

    /// Reads account data, changes it and writes it back, with nobody in between: for tags and push rules.
    ///
    /// `change` gets the present content (for `m.push_rules` the defaults, if none is stored) and returns the new one, or an
    /// error of its own, upon which nothing is written.
    pub fn update_account_data<E>(
        &self,
        _user_id: &str,
        _room_id: Option<&str>,
        _event_type: &str,
        _change: impl FnOnce(Option<&RawValue>) -> Result<crate::RawJson, E>,
    ) -> Result<Result<(), E>, AccountDataError> {
        todo!()
    }

    /// Stores a filter; its ID. The same filter gets the same ID.
    pub fn create_filter(&self, _user_id: &str, _filter: &RawValue) -> Result<String, FilterError> {
        todo!()
    }
}
