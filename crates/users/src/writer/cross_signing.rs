//! Cross-signing keys.

use engram_log_format::v1::CrossSigningKeysUploaded;
use engram_views::{Decision, Read, ViewError, WriteError};
use serde_json::Value;

use super::signatures::verifies;
use super::{GuestForbidden, Users, is_identifier, refuse_guest, subjects};
use crate::json::{self, RawJson};
use crate::query::{self, CrossSigningUsage};
use crate::strict::{self, Numbers, Unsound};

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

impl From<ViewError> for CrossSigningError {
    fn from(error: ViewError) -> Self {
        Self::Write(error.into())
    }
}

impl CrossSigningUpload {
    fn key(&self, usage: CrossSigningUsage) -> Option<&RawJson> {
        match usage {
            CrossSigningUsage::Master => self.master_key.as_ref(),
            CrossSigningUsage::SelfSigning => self.self_signing_key.as_ref(),
            CrossSigningUsage::UserSigning => self.user_signing_key.as_ref(),
        }
    }
}

impl Users {
    /// Whether an upload needs user-interactive authentication: not if there is no master key yet, or nothing would
    /// change.
    pub fn cross_signing_needs_auth(&self, user_id: &str, upload: &CrossSigningUpload) -> Result<bool, WriteError> {
        let snapshot = self.decider.snapshot();
        if query::cross_signing_row(&*snapshot, user_id, CrossSigningUsage::Master)?.is_none() {
            return Ok(false);
        }
        for usage in CrossSigningUsage::ALL {
            if is_new(&*snapshot, user_id, usage, upload.key(usage))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Stores cross-signing keys. Keys that are there already are not written again.
    pub async fn upload_cross_signing(
        &self,
        user_id: &str,
        upload: CrossSigningUpload,
    ) -> Result<(), CrossSigningError> {
        let uploaded = self.decider.decide([subjects::account(user_id)], |snapshot, _| {
            refuse_guest::<CrossSigningError>(snapshot, user_id)?;
            check(snapshot, user_id, &upload)?;
            let mut new = [None, None, None];
            for (slot, usage) in new.iter_mut().zip(CrossSigningUsage::ALL) {
                let key = upload.key(usage);
                if is_new(snapshot, user_id, usage, key)? {
                    *slot = key.map(|json| json.get().as_bytes().to_vec());
                }
            }
            if new.iter().all(Option::is_none) {
                return Ok(Decision::nothing(()));
            }
            let [master_key, self_signing_key, user_signing_key] = new;
            let user_id = user_id.to_owned();
            let record = CrossSigningKeysUploaded { user_id, master_key, self_signing_key, user_signing_key };
            Ok::<_, CrossSigningError>(Decision::journal([record.into()], ()))
        });
        Ok(uploaded.await?.applied().await?)
    }
}

/// Whether a key is given and differs from the one that is there.
fn is_new(
    reader: &dyn Read,
    user_id: &str,
    usage: CrossSigningUsage,
    key: Option<&RawJson>,
) -> Result<bool, ViewError> {
    let Some(key) = key else { return Ok(false) };
    let before = query::cross_signing_key(reader, user_id, usage)?;
    // The same key, signed by another master key than before, counts from then on.
    let own = |key: &RawJson| json::signatures_by(key.get().as_bytes(), user_id);
    let same = |before: &RawJson| {
        let signed_alike = usage == CrossSigningUsage::Master || own(before) == own(key);
        signed_alike && json::same_unsigned(before.get(), key.get())
    };
    Ok(before.is_none_or(|before| !same(&before)))
}

/// Checks the keys' form, that none is named like a device, and that the master key has signed the other two.
fn check(reader: &dyn Read, user_id: &str, upload: &CrossSigningUpload) -> Result<(), CrossSigningError> {
    for usage in CrossSigningUsage::ALL {
        let Some(key) = upload.key(usage) else {
            continue;
        };
        let public_key = checked_key(user_id, usage, key)?;
        if query::device(reader, user_id, &public_key)?.is_some() {
            return Err(CrossSigningError::Invalid("a cross-signing key is named like a device".to_owned()));
        }
    }
    let master = match &upload.master_key {
        Some(key) => json::single_key(key.get().as_bytes()).map(|(_, public_key)| public_key),
        None => query::cross_signing_row(reader, user_id, CrossSigningUsage::Master)?.map(|row| row.public_key),
    };
    let master = master.ok_or(CrossSigningError::MissingMasterKey)?;
    for usage in [CrossSigningUsage::SelfSigning, CrossSigningUsage::UserSigning] {
        if let Some(key) = upload.key(usage)
            && !signed_by(key, user_id, &master)
        {
            let name = usage.name();
            return Err(CrossSigningError::InvalidSignature(format!("the {name} key is not signed by the master key")));
        }
    }
    Ok(())
}

fn signed_by(key: &RawJson, user_id: &str, master: &str) -> bool {
    let signatures = json::signatures_by(key.get().as_bytes(), user_id);
    signatures.get(&format!("ed25519:{master}")).is_some_and(|signature| verifies(key.get(), master, signature))
}

/// The public key of a well-formed cross-signing key.
fn checked_key(user_id: &str, usage: CrossSigningUsage, key: &RawJson) -> Result<String, CrossSigningError> {
    let invalid = |what: &str| CrossSigningError::Invalid(format!("{} key: {what}", usage.name()));
    strict::check(key, Numbers::Canonical)?;
    let bytes = key.get().as_bytes();
    let object = json::object(bytes).ok_or_else(|| invalid("it must be an object"))?;
    if object.get("user_id").and_then(Value::as_str) != Some(user_id) {
        return Err(invalid("it belongs to another user"));
    }
    let usages = object.get("usage").and_then(Value::as_array);
    if !usages.is_some_and(|usages| usages.iter().any(|name| name == usage.name())) {
        return Err(invalid("its usage does not say so"));
    }
    let (key_id, public_key) = json::single_key(bytes).ok_or_else(|| invalid("it must have exactly one key"))?;
    if key_id.strip_prefix("ed25519:") != Some(&public_key) || !is_identifier(&public_key) {
        return Err(invalid("its key ID must be ed25519: and the public key"));
    }
    Ok(public_key)
}
