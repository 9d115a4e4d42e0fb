//! Signatures that users add to keys: their own devices', their own master key, other users' master keys.

use std::collections::BTreeMap;

use base64::Engine;
use engram_log_format::v1::{KeySignaturesUploaded, SignedKey};
use engram_matrix::keys::BASE64;
use engram_views::{Decision, Read, ViewError, WriteError};
use ruma::SigningKeyAlgorithm;
use ruma::signatures::verify_canonical_json_bytes;
use serde_json::Value;

use super::{Users, is_identifier, subjects};
use crate::json::{self, RawJson};
use crate::query::{self, CrossSigningUsage};

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

/// A key that may be signed by the uploader, and what may sign it.
struct Target {
    /// The key as it is stored.
    stored: RawJson,
    /// Signing key ID → public key.
    signing_keys: BTreeMap<String, String>,
}

impl Users {
    /// Stores signatures (user → device ID or public key → signed object) as far as they are good; the failures.
    pub async fn upload_signatures(
        &self,
        user_id: &str,
        signed: BTreeMap<String, BTreeMap<String, RawJson>>,
    ) -> Result<SignatureFailures, WriteError> {
        let uploaded = self.decider.decide([subjects::account(user_id)], |snapshot, _| -> Result<_, WriteError> {
            let mut good = Vec::new();
            let mut failures = SignatureFailures::new();
            for (owner, objects) in signed {
                for (key_id, object) in objects {
                    match check(snapshot, user_id, &owner, &key_id, &object)? {
                        Ok(json) => good.push(SignedKey { user_id: owner.clone(), key_id, json }),
                        Err(failure) => {
                            failures.entry(owner.clone()).or_default().insert(key_id, failure);
                        }
                    }
                }
            }
            let record = KeySignaturesUploaded { user_id: user_id.to_owned(), signed: good };
            let new = !record.signed.is_empty();
            Ok(Decision::journal(new.then(|| record.into()), failures))
        });
        uploaded.await?.applied().await
    }
}

/// The object with no other signatures than the good ones of the uploader.
fn check(
    reader: &dyn Read,
    signer: &str,
    owner: &str,
    key_id: &str,
    object: &RawJson,
) -> Result<Result<Vec<u8>, SignatureFailure>, ViewError> {
    let Some(target) = target(reader, signer, owner, key_id)? else {
        return Ok(failure("M_NOT_FOUND", "there is no such key that you could sign"));
    };
    if !json::same_unsigned(target.stored.get(), object.get()) {
        return Ok(failure("M_INVALID_PARAM", "the signed object differs from the key that is stored"));
    }
    let mut signatures = json::signatures_by(object.get().as_bytes(), signer);
    signatures.retain(|signing_key, _| target.signing_keys.contains_key(signing_key));
    if signatures.is_empty() {
        return Ok(failure("M_INVALID_SIGNATURE", "there is no signature by a key that may sign it"));
    }
    let all_good = signatures
        .iter()
        .all(|(signing_key, signature)| verifies(object.get(), &target.signing_keys[signing_key], signature));
    if !all_good {
        return Ok(failure("M_INVALID_SIGNATURE", "a signature does not verify"));
    }
    let mut kept = json::object(object.get().as_bytes()).unwrap_or_default();
    kept.insert("signatures".to_owned(), serde_json::json!({ signer: signatures }));
    Ok(Ok(json::to_raw(&kept).get().as_bytes().to_vec()))
}

fn failure<T>(errcode: &'static str, error: &str) -> Result<T, SignatureFailure> {
    Err(SignatureFailure { errcode, error: error.to_owned() })
}

fn target(reader: &dyn Read, signer: &str, owner: &str, key_id: &str) -> Result<Option<Target>, ViewError> {
    if !is_identifier(key_id) {
        return Ok(None);
    }
    let master = query::cross_signing_row(reader, owner, CrossSigningUsage::Master)?;
    if master.is_some_and(|master| master.public_key == key_id) {
        let signing_keys = if owner == signer {
            device_signing_keys(reader, signer)?
        } else {
            cross_signing_key_of(reader, signer, CrossSigningUsage::UserSigning)?
        };
        let stored = query::cross_signing_key(reader, owner, CrossSigningUsage::Master)?;
        return Ok(stored.map(|stored| Target { stored, signing_keys }));
    }
    if owner != signer {
        return Ok(None);
    }
    let Some(stored) = query::device_keys(reader, owner, key_id)? else {
        return Ok(None);
    };
    let signing_keys = cross_signing_key_of(reader, signer, CrossSigningUsage::SelfSigning)?;
    Ok(Some(Target { stored, signing_keys }))
}

fn cross_signing_key_of(
    reader: &dyn Read,
    user_id: &str,
    usage: CrossSigningUsage,
) -> Result<BTreeMap<String, String>, ViewError> {
    let row = query::current_cross_signing_row(reader, user_id, usage)?;
    Ok(row.into_iter().map(|row| (format!("ed25519:{}", row.public_key), row.public_key)).collect())
}

fn device_signing_keys(reader: &dyn Read, user_id: &str) -> Result<BTreeMap<String, String>, ViewError> {
    let mut keys = BTreeMap::new();
    for device in query::devices(reader, user_id)? {
        let Some(device_keys) = query::device_keys(reader, user_id, &device.device_id)? else {
            continue;
        };
        let key_id = format!("ed25519:{}", device.device_id);
        let object = json::object(device_keys.get().as_bytes()).unwrap_or_default();
        let key = object.get("keys").and_then(|keys| keys.get(&key_id)).and_then(Value::as_str);
        if let Some(key) = key {
            keys.insert(key_id, key.to_owned());
        }
    }
    Ok(keys)
}

/// Whether an Ed25519 signature over a JSON object is good.
pub(super) fn verifies(object: &str, public_key: &str, signature: &str) -> bool {
    let canonical = serde_json::from_str(object)
        .ok()
        .map(json::without_signatures)
        .and_then(|signed| engram_matrix::canonical::to_canonical(&signed).ok());
    let (Some(canonical), Ok(public_key), Ok(signature)) =
        (canonical, BASE64.decode(public_key), BASE64.decode(signature))
    else {
        return false;
    };
    verify_canonical_json_bytes(&SigningKeyAlgorithm::Ed25519, &public_key, &signature, &canonical).is_ok()
}
