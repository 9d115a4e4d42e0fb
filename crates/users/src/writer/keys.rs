//! Device keys, one-time keys, fallback keys.

use std::collections::BTreeMap;

use super::{Users, WriteError};
use crate::json::RawJson;

/// The body of `POST /keys/upload`.
#[derive(Clone, Debug, Default, serde::Deserialize)]
pub struct KeysUpload {
    /// The device's identity keys.
    #[serde(default)]
    pub device_keys: Option<RawJson>,
    /// `algorithm:id` → key.
    #[serde(default)]
    pub one_time_keys: BTreeMap<String, RawJson>,
    /// `algorithm:id` → key.
    #[serde(default)]
    pub fallback_keys: BTreeMap<String, RawJson>,
}

/// Keys that were handed out: user → device → `algorithm:id` → key.
pub type ClaimedKeys = BTreeMap<String, BTreeMap<String, BTreeMap<String, RawJson>>>;

/// Why keys were refused; nothing of the upload was taken.
#[derive(Debug, thiserror::Error)]
pub enum UploadKeysError {
    /// 400 `M_INVALID_PARAM`: the device keys do not fit the session, or a key ID or key is malformed.
    #[error("{0}")]
    Invalid(String),
    /// 400 `M_INVALID_PARAM`: another key is already there under this ID.
    #[error("one-time key {0} already exists with a different value")]
    Conflict(String),
    /// 404 `M_NOT_FOUND`: the device is gone.
    #[error("unknown device")]
    UnknownDevice,
    /// It could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl Users {
    /// Stores keys of a device; the number of its one-time keys by algorithm afterwards.
    pub fn upload_keys(
        &self,
        _user_id: &str,
        _device_id: &str,
        _upload: KeysUpload,
    ) -> Result<BTreeMap<String, u64>, UploadKeysError> {
        todo!()
    }

    /// Hands out one key for each device that is asked for and has one: user → device → algorithm. Users of other
    /// servers are passed over.
    pub fn claim_keys(
        &self,
        _wanted: &BTreeMap<String, BTreeMap<String, String>>,
    ) -> Result<ClaimedKeys, WriteError> {
        todo!()
    }
}
