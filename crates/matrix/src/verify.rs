//! Checking what other servers send: content hash and signatures.
//!
//! Events of room versions 1 to 5 may hold any numbers (SIG-02). They are hashed in the form that their servers gave
//! them; only of integers beyond 64 bits that form is lost, so that such an event verifies no better than one whose
//! content was changed.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use ruma::{
    CanonicalJsonObject, EventId, SigningKeyAlgorithm, UserId,
    serde::Base64,
    signatures::{self, PublicKeyMap, VerificationError},
};

use crate::{
    RoomVersion,
    canonical::{CanonicalError, Object, Tree},
    hash,
    keys::BASE64,
    redact,
};

/// How far into the future a server's word on the validity of its keys counts, in milliseconds: seven days (SIG-13).
pub const KEY_VALIDITY_MS_MAX: u64 = 7 * 24 * 60 * 60 * 1000;

/// The key with which policy servers sign: it vouches for no event (SIG-12).
const POLICY_SERVER_KEY: &str = "ed25519:policy_server";

/// Which events a key vouches for, by their `origin_server_ts` in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyValidity {
    /// All: this server's own key, or one whose validity is not known.
    Always,
    /// From room version 5 on those up to this time; in versions before, all.
    Until(u64),
    /// The server has stopped to use it: those up to this time, in every version.
    Expired(u64),
}

impl KeyValidity {
    /// Of a key in use, by `valid_until_ts` in the server's answer, which was received at `now_ms` (SIG-13).
    pub fn until(valid_until_ts: u64, now_ms: u64) -> Self {
        Self::Until(valid_until_ts.min(now_ms.saturating_add(KEY_VALIDITY_MS_MAX)))
    }

    /// Whether a key of this validity vouches for an event.
    pub fn covers(self, version: &RoomVersion, origin_server_ts: u64) -> bool {
        match self {
            Self::Always => true,
            Self::Until(_) if !version.rules().enforce_key_validity => true,
            Self::Until(last) | Self::Expired(last) => origin_server_ts <= last,
        }
    }
}

/// Public keys by server name and key ID.
#[derive(Debug, Clone, Default)]
pub struct PublicKeys {
    keys: PublicKeyMap,
    /// Where it is not [`KeyValidity::Always`].
    validity: BTreeMap<(String, String), KeyValidity>,
}

impl PublicKeys {
    /// No keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a key in base64, padded or not; `false` if it is not base64.
    pub fn insert(&mut self, server_name: &str, key_id: &str, public_base64: &str) -> bool {
        self.insert_valid(server_name, key_id, public_base64, KeyValidity::Always)
    }

    /// Adds a key that vouches for some events only.
    pub fn insert_valid(
        &mut self,
        server_name: &str,
        key_id: &str,
        public_base64: &str,
        validity: KeyValidity,
    ) -> bool {
        let Ok(key) = Base64::parse(public_base64) else {
            return false;
        };
        self.keys.entry(server_name.to_owned()).or_default().insert(key_id.to_owned(), key);
        self.validity.insert((server_name.to_owned(), key_id.to_owned()), validity);
        true
    }

    fn covers(&self, server_name: &str, key_id: &str, version: &RoomVersion, origin_server_ts: u64) -> bool {
        let validity = self.validity.get(&(server_name.to_owned(), key_id.to_owned()));
        key_id != POLICY_SERVER_KEY && validity.is_none_or(|validity| validity.covers(version, origin_server_ts))
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
    /// An event that has no form to be hashed in.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
    /// A field that says who signs or with what is missing or malformed.
    #[error("`{0}` is missing or malformed")]
    Field(&'static str),
    /// No signature of a server can be checked: it has none, or none by a known key.
    #[error("no signature of {0} by a known key")]
    Unsigned(String),
    /// A required signature is missing or wrong.
    #[error(transparent)]
    Signature(#[from] VerificationError),
}

/// Whether the event's content hash is right.
pub fn content_hash_matches(version: &RoomVersion, json: &[u8]) -> Result<bool, CanonicalError> {
    hash::parse_event(version, json).map(|event| hash_matches(&event))
}

fn hash_matches(event: &Object<'_>) -> bool {
    let claimed = event.get("hashes").and_then(|hashes| string(hashes.as_object()?, "sha256"));
    claimed.map(|hash| hash.trim_end_matches('=')) == Some(&*hash::content_hash_of(event))
}

/// Verifies the signatures that the room version requires of the event, and its content hash.
pub fn verify_event(version: &RoomVersion, json: &[u8], keys: &PublicKeys) -> Result<Verified, VerifyError> {
    verify_event_by(version, json, keys).map(|(verified, _)| verified)
}

/// [`verify_event`], with the keys that vouched, as `server ed25519:id`.
pub fn verify_event_by(
    version: &RoomVersion,
    json: &[u8],
    keys: &PublicKeys,
) -> Result<(Verified, Vec<String>), VerifyError> {
    let event = hash::parse_event(version, json)?;
    let mut redacted = event.clone();
    redact::redact_object(version, &mut redacted);
    let mut signed = String::with_capacity(json.len());
    redacted.write_without(&mut signed, &["signatures", "unsigned"]);
    let mut vouched = Vec::new();
    for server in signers(version, &event)? {
        verify_signatures(version, &event, &server, signed.as_bytes(), keys, &mut vouched)?;
    }
    Ok((if hash_matches(&event) { Verified::Whole } else { Verified::RedactedOnly }, vouched))
}

/// The servers whose signatures the room version requires of the event.
pub fn required_signers(version: &RoomVersion, json: &[u8]) -> Result<Vec<String>, VerifyError> {
    let event = hash::parse_event(version, json)?;
    Ok(signers(version, &event)?.into_iter().collect())
}

const AUTHORISER: &str = "join_authorised_via_users_server";

/// The sender's server, except of an invite that follows from a third party's; in versions 1 and 2 the server that the
/// event's ID names; and for a join into a restricted room the server of the user who authorises it. Only member events
/// are authorised so: asking for that signature wherever the content has the key would let anyone make events that
/// servers disagree about.
fn signers(version: &RoomVersion, event: &Object<'_>) -> Result<BTreeSet<String>, VerifyError> {
    let mut servers = BTreeSet::new();
    let content = event.get("content").and_then(Tree::as_object).ok_or(VerifyError::Field("content"))?;
    let is_member = string(event, "type").ok_or(VerifyError::Field("type"))? == "m.room.member";
    let is_by_third_party =
        is_member && string(content, "membership") == Some("invite") && content.get("third_party_invite").is_some();
    let server_of = |field, user_id: Option<&str>| {
        let user = user_id.and_then(|id| <&UserId>::try_from(id).ok()).ok_or(VerifyError::Field(field))?;
        Ok::<_, VerifyError>(user.server_name().to_string())
    };
    if !is_by_third_party {
        servers.insert(server_of("sender", string(event, "sender"))?);
    }
    if version.event_id_in_event() {
        let id = string(event, "event_id").and_then(|id| <&EventId>::try_from(id).ok());
        let server = id.and_then(EventId::server_name).ok_or(VerifyError::Field("event_id"))?;
        servers.insert(server.to_string());
    }
    let is_restricted = version.rules().signatures.check_join_authorised_via_users_server;
    if is_restricted && is_member && content.get(AUTHORISER).is_some() {
        servers.insert(server_of(AUTHORISER, string(content, AUTHORISER))?);
    }
    Ok(servers)
}

/// Every signature of a server by a known key that covers the event has to be right, and there has to be one.
fn verify_signatures(
    version: &RoomVersion,
    event: &Object<'_>,
    server: &str,
    signed: &[u8],
    keys: &PublicKeys,
    vouched: &mut Vec<String>,
) -> Result<(), VerifyError> {
    let missing = || VerifyError::Unsigned(server.to_owned());
    let signatures = event.get("signatures").and_then(|all| all.as_object()?.get(server)?.as_object());
    let known = keys.keys.get(server).ok_or_else(missing)?;
    let origin_server_ts = match event.get("origin_server_ts") {
        Some(Tree::Integer(ts)) => u64::try_from(*ts).unwrap_or_default(),
        _ => return Err(VerifyError::Field("origin_server_ts")),
    };
    let mut checked = 0;
    for (key_id, signature) in signatures.ok_or_else(missing)?.iter().filter(|(id, _)| id.starts_with("ed25519:")) {
        let Some(key) = known.get(key_id) else { continue };
        if !keys.covers(server, key_id, version, origin_server_ts) {
            continue;
        }
        let signature = signature.as_str().and_then(|text| BASE64.decode(text).ok());
        let signature = signature.ok_or(VerifyError::Field("signatures"))?;
        signatures::verify_canonical_json_bytes(&SigningKeyAlgorithm::Ed25519, key.as_bytes(), &signature, signed)?;
        vouched.push(format!("{server} {key_id}"));
        checked += 1;
    }
    if checked > 0 { Ok(()) } else { Err(missing()) }
}

fn string<'e>(object: &'e Object<'_>, key: &str) -> Option<&'e str> {
    object.get(key).and_then(Tree::as_str)
}

/// Verifies that every entity of `keys` has signed a JSON object.
pub fn verify_json(json: &[u8], keys: &PublicKeys) -> Result<(), VerifyError> {
    let object: CanonicalJsonObject = serde_json::from_slice(json)?;
    Ok(signatures::verify_json(&keys.keys, &object)?)
}

#[cfg(test)]
mod tests {
    use super::{PublicKeys, Verified, required_signers, verify_event, verify_json};
    use crate::{
        Pdu, RoomVersion,
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
        assert!(!super::content_hash_matches(version, content.as_bytes()).expect("an event"));
        verify(&text.replace("@alice", "@alicf"), &public_keys()).expect_err("another sender");
        verify(&text, &PublicKeys::new()).expect_err("no keys");
        let mut wrong = PublicKeys::new();
        assert!(wrong.insert(SERVER, "ed25519:a_test", crate::keys::tests::spec_key().public_base64()));
        verify(&text, &wrong).expect_err("another key");
    }

    /// Against ruma's verification, which knows canonical numbers only.
    #[test]
    fn signatures_are_required_as_ruma_requires_them() {
        for version in RoomVersion::supported().filter(|version| version.id() != "1" && version.id() != "2") {
            let mut room = TestRoom::new(version.id());
            let content = r#"{"membership":"join"}"#;
            let draft =
                Draft { sender: ALICE, event_type: "m.room.member", state_key: Some(ALICE), content, redacts: None };
            let json = room.build(&draft).json;
            let text = String::from_utf8(json).expect("UTF-8");
            for text in [text.clone(), text.replace("join", "knock"), text.replace("ed25519:a_", "ed25519:b_")] {
                let object = serde_json::from_str(&text).expect("an object");
                let theirs = ruma::signatures::verify_event(&public_keys().keys, &object, version.rules());
                let ours = verify_event(version, text.as_bytes(), &public_keys());
                let whole = |verified| {
                    if matches!(verified, ruma::signatures::Verified::All) {
                        Verified::Whole
                    } else {
                        Verified::RedactedOnly
                    }
                };
                assert_eq!(ours.ok(), theirs.ok().map(whole), "{text}");
            }
        }
    }

    #[test]
    fn old_room_versions_allow_any_number() {
        for id in ["3", "4", "5", "6"] {
            let version = crate::testing::version(id);
            let text = String::from_utf8(
                TestRoom::new(id)
                    .build(&Draft {
                        sender: ALICE,
                        event_type: "m.room.message",
                        state_key: None,
                        content: r#"{"n":12345}"#,
                        redacts: None,
                    })
                    .json,
            )
            .expect("UTF-8");
            for number in ["1.5", "9007199254740993", "1e-07", "10.0"] {
                let mut event: serde_json::Value = serde_json::from_str(&text).expect("JSON");
                event["content"]["n"] = serde_json::from_str(number).expect("a number");
                let changed = event.to_string();
                let hash = super::hash::content_hash(version, changed.as_bytes());
                if id == "6" {
                    // 10.0 stands for an integer that canonical JSON has.
                    assert_eq!(hash.is_ok(), number == "10.0");
                    continue;
                }
                // The signature covers the redacted form, and that the hash.
                let hash = hash.expect("any number has a form");
                event["hashes"]["sha256"] = hash.into();
                let resigned = event.to_string();
                assert!(super::content_hash_matches(version, resigned.as_bytes()).expect("an event"));
                let id = crate::pdu::event_id(version, resigned.as_bytes()).expect("a form to hash");
                Pdu::parse(version, &id, event["room_id"].as_str().expect("a room"), resigned.into_bytes())
                    .expect("parses");
            }
        }
    }

    /// SIG-12, SIG-13: keys that do not cover the event are passed over, and another may still vouch.
    #[test]
    fn keys_vouch_for_events_of_their_time() {
        use super::{KEY_VALIDITY_MS_MAX, KeyValidity, verify_event_by};
        let public = key().public_base64().to_owned();
        let check = |id: &str, validity: KeyValidity, good: bool| {
            let draft =
                Draft { sender: ALICE, event_type: "m.room.message", state_key: None, content: "{}", redacts: None };
            let json = TestRoom::new(id).build(&draft).json;
            let mut keys = PublicKeys::new();
            assert!(keys.insert_valid(SERVER, "ed25519:a_test", &public, validity));
            let vouched = verify_event_by(crate::testing::version(id), &json, &keys);
            assert_eq!(vouched.is_ok(), good, "version {id}, {validity:?}: {vouched:?}");
            if let Ok((_, vouched)) = vouched {
                assert_eq!(vouched, [format!("{SERVER} ed25519:a_test")]);
            }
        };
        let draft =
            Draft { sender: ALICE, event_type: "m.room.message", state_key: None, content: "{}", redacts: None };
        let event: serde_json::Value = serde_json::from_slice(&TestRoom::new("11").build(&draft).json).expect("JSON");
        let sent = event["origin_server_ts"].as_u64().expect("a time");
        for (id, enforced) in [("4", false), ("5", true), ("11", true)] {
            check(id, KeyValidity::Until(u64::MAX), true);
            check(id, KeyValidity::Until(0), !enforced);
            check(id, KeyValidity::Expired(0), false);
            check(id, KeyValidity::Expired(u64::MAX), true);
        }
        assert!(KeyValidity::Until(sent).covers(crate::testing::version("11"), sent));
        assert!(!KeyValidity::Until(sent - 1).covers(crate::testing::version("11"), sent));
        assert_eq!(KeyValidity::until(u64::MAX, 1000), KeyValidity::Until(1000 + KEY_VALIDITY_MS_MAX));
        assert_eq!(KeyValidity::until(5, 1000), KeyValidity::Until(5));
    }

    #[test]
    fn signatures_by_unknown_algorithms_and_of_policy_servers_count_for_nothing() {
        let version = crate::testing::version("11");
        let text = String::from_utf8(built("m.room.message", None, "{}")).expect("UTF-8");
        for other in ["ed25519:policy_server", "rsa:a_test"] {
            let text = text.replace("ed25519:a_test", other);
            let mut keys = public_keys();
            assert!(keys.insert(SERVER, other, key().public_base64()));
            verify_event(version, text.as_bytes(), &keys).expect_err(other);
        }
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
