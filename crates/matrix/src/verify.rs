//! Checking what other servers send: content hash and signatures.
//!
//! Works on ruma's implementation, which knows no numbers outside canonical JSON: events of room versions 1 to 5 that hold
//! floats or larger integers cannot be verified.

use ruma::{
    CanonicalJsonObject,
    room_version_rules::RoomVersionRules,
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
        self.0.entry(server_name.to_owned()).or_default().insert(key_id.to_owned(), key);
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
pub fn verify_event(version: &RoomVersion, json: &[u8], keys: &PublicKeys) -> Result<Verified, VerifyError> {
    let object: CanonicalJsonObject = serde_json::from_slice(json)?;
    match signatures::verify_event(&keys.0, &object, &rules_for(version, &object))? {
        signatures::Verified::All => Ok(Verified::Whole),
        signatures::Verified::Signatures => Ok(Verified::RedactedOnly),
    }
}

/// The servers whose signatures the room version requires of the event.
pub fn required_signers(version: &RoomVersion, json: &[u8]) -> Result<Vec<String>, VerifyError> {
    let object: CanonicalJsonObject = serde_json::from_slice(json)?;
    let rules = rules_for(version, &object).signatures;
    let servers = signatures::required_server_signatures_to_verify_event(&object, &rules)?;
    Ok(servers.into_iter().map(|server| server.to_string()).collect())
}

/// Only member events are authorised by another server; ruma asks for that server's signature wherever the content has
/// the key, so that anyone could make events that servers disagree about.
fn rules_for(version: &RoomVersion, object: &CanonicalJsonObject) -> RoomVersionRules {
    let mut rules = version.rules().clone();
    let is_member = object.get("type").and_then(|value| value.as_str()) == Some("m.room.member");
    rules.signatures.check_join_authorised_via_users_server &= is_member;
    rules
}

/// Verifies that every entity of `keys` has signed a JSON object.
pub fn verify_json(json: &[u8], keys: &PublicKeys) -> Result<(), VerifyError> {
    let object: CanonicalJsonObject = serde_json::from_slice(json)?;
    Ok(signatures::verify_json(&keys.0, &object)?)
}

#[cfg(test)]
mod tests {
    use super::{PublicKeys, Verified, required_signers, verify_event, verify_json};
    use crate::{
        build::Draft,
        testing::{ALICE, SERVER, TestRoom, key, public_keys},
    };

    fn built(event_type: &str, state_key: Option<&str>, content: &str) -> Vec<u8> {
        let draft = Draft { sender: ALICE, event_type, state_key, content, redacts: None };
        TestRoom::new("11").build(&draft).json
    }

    #[test]
    fn changed_content_leaves_the_redacted_form_and_changed_routing_nothing() {
        let version = crate::testing::version("11");
        let text = String::from_utf8(built("m.room.message", None, r#"{"body":"hi"}"#)).expect("UTF-8");
        let verify = |text: &str, keys: &PublicKeys| verify_event(version, text.as_bytes(), keys);
        assert_eq!(verify(&text, &public_keys()).expect("good"), Verified::Whole);
        let content = text.replace("\"hi\"", "\"ho\"");
        assert_eq!(verify(&content, &public_keys()).expect("signed"), Verified::RedactedOnly);
        assert!(!super::content_hash_matches(content.as_bytes()).expect("an event"));
        verify(&text.replace("@alice", "@alicf"), &public_keys()).expect_err("another sender");
        verify(&text, &PublicKeys::new()).expect_err("no keys");
        let mut wrong = PublicKeys::new();
        assert!(wrong.insert(SERVER, "ed25519:a_test", crate::keys::tests::spec_key().public_base64()));
        verify(&text, &wrong).expect_err("another key");
    }

    #[test]
    fn only_member_events_need_the_authorising_server() {
        let version = crate::testing::version("11");
        let content = r#"{"membership":"join","join_authorised_via_users_server":"@bob:other.org"}"#;
        let signers = |event_type, state_key| {
            required_signers(version, &built(event_type, state_key, content)).expect("well-formed")
        };
        assert_eq!(signers("m.room.member", Some(ALICE)), ["other.org", "x.org"]);
        assert_eq!(signers("m.room.message", None), ["x.org"]);
    }

    #[test]
    fn signed_json_verifies() {
        let mut value = serde_json::json!({"a": [1, null], "unsigned": {"x": 1}});
        key().sign_json(SERVER, &mut value).expect("signs");
        verify_json(value.to_string().as_bytes(), &public_keys()).expect("verifies");
        value["a"] = 2.into();
        verify_json(value.to_string().as_bytes(), &public_keys()).expect_err("changed");
    }
}
