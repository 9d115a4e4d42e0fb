//! Checking what other servers send: content hash and signatures.
//!
//! Works on ruma's implementation, which knows no numbers outside canonical JSON: events of room versions 1 to 5 that hold
//! floats or larger integers cannot be verified.

use std::collections::BTreeMap;

use ruma::{
    CanonicalJsonObject,
    serde::Base64,
    signatures::{self, PublicKeyMap, VerificationError},
};

use crate::{RoomVersion, hash};

/// Public keys by server name and key ID.
#[derive(Debug, Clone, Default)]
pub struct PublicKeys(PublicKeyMap);

impl PublicKeys {
    /// No keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a key in base64, padded or not; `false` if it is not base64.
    pub fn insert(&mut self, server_name: &str, key_id: &str, public_base64: &str) -> bool {
        let Ok(key) = Base64::parse(public_base64) else {
            return false;
        };
        self.0
            .entry(server_name.to_owned())
            .or_insert_with(BTreeMap::new)
            .insert(key_id.to_owned(), key);
        true
    }
}

/// What verification found. Both are good signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verified {
    /// Signatures and content hash are right.
    Whole,
    /// The signatures are right but the content is not what was hashed: keep the event in its redacted form.
    RedactedOnly,
}

/// Why an event or object is not to be believed.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Not an object of canonical JSON.
    #[error("not canonical JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A required signature is missing or wrong.
    #[error(transparent)]
    Signature(#[from] VerificationError),
}

/// Whether the event's content hash is right.
pub fn content_hash_matches(json: &[u8]) -> Result<bool, crate::canonical::CanonicalError> {
    let event = hash::parse_event(json)?;
    let claimed = event
        .get("hashes")
        .and_then(|hashes| hashes.as_object()?.get("sha256")?.as_str())
        .map(|hash| hash.trim_end_matches('='));
    Ok(claimed == Some(&*hash::content_hash(json)?))
}

/// Verifies the signatures that the room version requires of the event, and its content hash.
pub fn verify_event(
    version: &RoomVersion,
    json: &[u8],
    keys: &PublicKeys,
) -> Result<Verified, VerifyError> {
    let object: CanonicalJsonObject = serde_json::from_slice(json)?;
    match signatures::verify_event(&keys.0, &object, version.rules())? {
        signatures::Verified::All => Ok(Verified::Whole),
        signatures::Verified::Signatures => Ok(Verified::RedactedOnly),
    }
}

/// The servers whose signatures the room version requires of the event.
pub fn required_signers(version: &RoomVersion, json: &[u8]) -> Result<Vec<String>, VerifyError> {
    let object: CanonicalJsonObject = serde_json::from_slice(json)?;
    let servers = signatures::required_server_signatures_to_verify_event(
        &object,
        &version.rules().signatures,
    )?;
    Ok(servers
        .into_iter()
        .map(|server| server.to_string())
        .collect())
}

/// Verifies that every entity of `keys` has signed a JSON object.
pub fn verify_json(json: &[u8], keys: &PublicKeys) -> Result<(), VerifyError> {
    let object: CanonicalJsonObject = serde_json::from_slice(json)?;
    Ok(signatures::verify_json(&keys.0, &object)?)
}
