//! What another server sends, as far as it can be believed without knowing its room: size and shape, hash, signatures
//! (AUTH-01, the first three checks on receipt).

use std::sync::Arc;

use crate::{
    Pdu, RoomVersion,
    canonical::CanonicalError,
    hash,
    pdu::{self, PduError},
    redact,
    verify::{self, PublicKeys, Verified, VerifyError},
};

/// An event that its signers vouch for, as it is to be kept.
#[derive(Debug, Clone)]
pub struct VerifiedPdu {
    /// The event, in canonical form, without `unsigned`; redacted if its content is not what was hashed (SIG-09).
    pub event: Arc<Pdu>,
    /// The keys that vouched, as `server ed25519:id`.
    pub verified_keys: Vec<String>,
}

/// Why an event is dropped.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// It is too large, or not an event of the room version.
    #[error(transparent)]
    Pdu(#[from] PduError),
    /// A signature that it has to have is missing or wrong.
    #[error(transparent)]
    Verify(#[from] VerifyError),
}

impl From<CanonicalError> for ReceiveError {
    fn from(error: CanonicalError) -> Self {
        Self::Pdu(error.into())
    }
}

impl VerifiedPdu {
    /// Checks the JSON of an event of a room as another server sent it. The ID follows from the event; so does the
    /// room, if it is a create event of version 12.
    pub fn check(
        version: &'static RoomVersion,
        room_id: &str,
        json: &[u8],
        keys: &PublicKeys,
    ) -> Result<Self, ReceiveError> {
        let json = canonical_form(version, json)?;
        // Before anything is hashed: what is too large is no event.
        if json.len() > crate::limits::PDU_BYTES_MAX {
            return Err(PduError::TooLarge(json.len()).into());
        }
        let (verified, verified_keys) = verify::verify_event_by(version, &json, keys)?;
        let json = match verified {
            Verified::Whole => json,
            Verified::RedactedOnly => redact::redact(version, &json)?,
        };
        let event = Arc::new(named(version, room_id, json)?);
        Ok(Self { event, verified_keys })
    }

    /// An event from a copy that was made where its signatures had been checked: of these nothing is asked, all else
    /// is. An event whose content is not what was hashed is refused, unless it is what redaction, or erasure
    /// ([`redact::prune`]), left of it.
    pub fn from_copy(
        version: &'static RoomVersion,
        room_id: &str,
        json: &[u8],
        verified_keys: Vec<String>,
    ) -> Result<Self, ReceiveError> {
        let json = canonical_form(version, json)?;
        if !verify::content_hash_matches(version, &json)? && redact::prune(version, &json)? != json {
            return Err(VerifyError::Field("hashes").into());
        }
        let event = Arc::new(named(version, room_id, json)?);
        Ok(Self { event, verified_keys })
    }
}

fn canonical_form(version: &RoomVersion, json: &[u8]) -> Result<Vec<u8>, CanonicalError> {
    let event = hash::parse_event(version, json)?;
    let mut text = String::with_capacity(json.len());
    event.write_without(&mut text, &["unsigned"]);
    Ok(text.into_bytes())
}

fn named(version: &'static RoomVersion, room_id: &str, json: Vec<u8>) -> Result<Pdu, PduError> {
    let event_id = pdu::event_id(version, &json)?;
    Pdu::parse(version, &event_id, room_id, json)
}

#[cfg(test)]
mod tests {
    use super::{ReceiveError, VerifiedPdu};
    use crate::{
        build::Draft,
        pdu::PduError,
        testing::{ALICE, TestRoom, public_keys, version},
    };

    fn sent(id: &str, content: &str) -> (String, String, String) {
        let draft = Draft { sender: ALICE, event_type: "m.room.message", state_key: None, content, redacts: None };
        let built = TestRoom::new(id).build(&draft);
        (built.room_id, built.event_id, String::from_utf8(built.json).expect("UTF-8"))
    }

    #[test]
    fn an_event_is_kept_as_it_was_signed_however_it_is_written() {
        for id in ["1", "3", "6", "11", "12"] {
            let (room_id, event_id, json) = sent(id, r#"{"body":"hi"}"#);
            let spaced = json.replacen('{', "{ \"unsigned\": {\"age\": 5},\n", 1);
            let received = VerifiedPdu::check(version(id), &room_id, spaced.as_bytes(), &public_keys()).expect("good");
            assert_eq!(received.event.json(), json.as_bytes());
            assert_eq!((received.event.event_id.as_str(), received.verified_keys.len()), (event_id.as_str(), 1));
        }
    }

    #[test]
    fn content_that_was_changed_is_dropped_and_the_rest_kept() {
        let (room_id, event_id, json) = sent("11", r#"{"body":"hi"}"#);
        let changed = json.replace("\"hi\"", "\"ho\"");
        let received = VerifiedPdu::check(version("11"), &room_id, changed.as_bytes(), &public_keys()).expect("signed");
        assert_eq!((received.event.event_id.as_str(), received.event.content_str()), (event_id.as_str(), "{}"));
        VerifiedPdu::from_copy(version("11"), &room_id, changed.as_bytes(), Vec::new()).expect_err("a wrong hash");
        VerifiedPdu::from_copy(version("11"), &room_id, received.event.json(), Vec::new())
            .expect("redacted, and right");
        VerifiedPdu::from_copy(version("11"), &room_id, json.as_bytes(), Vec::new()).expect("right");
    }

    /// SIG-02, IDS-08: what the room version does not allow is no event.
    #[test]
    fn what_is_no_event_of_the_version_is_refused() {
        let check = |id: &str, change: fn(String) -> String| {
            let (room_id, _, json) = sent(id, r#"{"n":12345}"#);
            VerifiedPdu::check(version(id), &room_id, change(json).as_bytes(), &public_keys())
        };
        check("6", |json| json.replace("12345", "1.5")).expect_err("no canonical number");
        check("5", |json| json.replace("12345", "1.5")).expect("any number; the content is gone, as its hash is wrong");
        let long = |json: String| json.replace("12345", &format!("\"{}\"", "x".repeat(65_536)));
        assert!(matches!(check("11", long), Err(ReceiveError::Pdu(PduError::TooLarge(_)))));
        check("11", |json| json.replace("\"depth\"", "\"deep\"")).expect_err("no depth");
        check("11", |_| "[]".to_owned()).expect_err("no object");
        let (_, _, json) = sent("11", "{}");
        VerifiedPdu::check(version("11"), "!other:x.org", json.as_bytes(), &public_keys()).expect_err("another room");
    }
}
