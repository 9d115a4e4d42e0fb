//! The two hashes of an event: over its content as sent, and over its redacted form, which names it.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ruma::room_version_rules::EventIdFormatVersion;
use sha2::{Digest, Sha256};

use crate::{
    RoomVersion,
    canonical::{CanonicalError, Object, Tree},
    keys::BASE64,
    redact,
};

/// The content hash of an event in unpadded base64, over everything but `unsigned`, `signatures` and `hashes`.
pub fn content_hash(version: &RoomVersion, json: &[u8]) -> Result<String, CanonicalError> {
    parse_event(version, json).map(|event| content_hash_of(&event))
}

/// The content hash of a parsed event.
pub(crate) fn content_hash_of(event: &Object<'_>) -> String {
    let mut text = String::with_capacity(1024);
    event.write_without(&mut text, &["hashes", "signatures", "unsigned"]);
    BASE64.encode(Sha256::digest(text))
}

/// The reference hash of an event, in the base64 alphabet of the version's event IDs.
pub fn reference_hash(version: &RoomVersion, json: &[u8]) -> Result<String, CanonicalError> {
    let mut event = parse_event(version, json)?;
    redact::redact_object(version, &mut event);
    let mut text = String::with_capacity(json.len());
    event.write_without(&mut text, &["signatures", "unsigned"]);
    Ok(encode_reference_hash(version, &Sha256::digest(text).into()))
}

/// A reference hash in text: standard base64 to room version 3, the URL-safe alphabet from version 4 on.
pub(crate) fn encode_reference_hash(version: &RoomVersion, hash: &[u8; 32]) -> String {
    match version.rules().event_id_format {
        EventIdFormatVersion::V1 | EventIdFormatVersion::V2 => BASE64.encode(hash),
        _ => URL_SAFE_NO_PAD.encode(hash),
    }
}

/// An event with the numbers that its room version allows.
pub(crate) fn parse_event<'a>(version: &RoomVersion, json: &'a [u8]) -> Result<Object<'a>, CanonicalError> {
    let tree = if version.tolerates_any_number() { Tree::parse_tolerant(json)? } else { serde_json::from_slice(json)? };
    match tree {
        Tree::Object(object) => Ok(object),
        _ => Err(CanonicalError::NotObject),
    }
}
