//! Cross-signing keys and signatures.

use std::collections::BTreeMap;

use super::{Users, WriteError};
use crate::json::RawJson;

/// The keys in the body of `POST /keys/device_signing/upload`.
#[derive(Clone, Debug, Default, serde::Deserialize)]
pub struct CrossSigningUpload {
    /// The master key.
    #[serde(default)]
    pub master_key: Option<RawJson>,
    /// The self-signing key.
    #[serde(default)]
    pub self_signing_key: Option<RawJson>,
    /// The user-signing key.
    #[serde(default)]
    pub user_signing_key: Option<RawJson>,
}

/// Why cross-signing keys were refused; nothing of the upload was taken.
#[derive(Debug, thiserror::Error)]
pub enum CrossSigningError {
    /// 400 `M_MISSING_PARAM`: there is no master key, neither in the upload nor before.
    #[error("a master key is needed first")]
    MissingMasterKey,
    /// 400 `M_INVALID_SIGNATURE`.
    #[error("{0}")]
    InvalidSignature(String),
    /// 400 `M_INVALID_PARAM`: a key is malformed, of another user, of the wrong usage, or named like a device.
    #[error("{0}")]
    Invalid(String),
    /// It could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Why one signed object was refused.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct SignatureFailure {
    /// The error code.
    pub errcode: &'static str,
    /// What is wrong, for people.
    pub error: String,
}

/// user → key ID → why it was refused: the `failures` of the response.
pub type SignatureFailures = BTreeMap<String, BTreeMap<String, SignatureFailure>>;

impl Users {
    /// Whether an upload needs user-interactive authentication: not if there is no master key yet, or nothing would change.
    pub fn cross_signing_needs_auth(
        &self,
        _user_id: &str,
        _upload: &CrossSigningUpload,
    ) -> Result<bool, WriteError> {
        todo!()
    }

    /// Stores cross-signing keys.
    pub fn upload_cross_signing(
        &self,
        _user_id: &str,
        _upload: CrossSigningUpload,
    ) -> Result<(), CrossSigningError> {
        todo!()
    }

    /// Stores signatures (user → device ID or public key → signed object) as far as they are good; the failures.
    pub fn upload_signatures(
        &self,
        _user_id: &str,
        _signed: BTreeMap<String, BTreeMap<String, RawJson>>,
    ) -> Result<SignatureFailures, WriteError> {
        todo!()
    }
}
