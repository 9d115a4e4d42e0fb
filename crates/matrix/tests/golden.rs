//! Redaction, hashes and IDs in every room version, as a second implementation has them; see `golden/generate.py`.

use engram_matrix::keys::SigningKey;
use engram_matrix::room_version::RoomVersion;
use engram_matrix::verify::{self, PublicKeys, Verified};
use engram_matrix::{Pdu, hash, pdu, redact};
use serde::Deserialize;

#[derive(Deserialize)]
struct Vector {
    room_version: String,
    event: String,
    redacted: String,
    content_hash: String,
    reference_hash: String,
    event_id: String,
    room_id: String,
}

fn vectors() -> Vec<Vector> {
    serde_json::from_str(include_str!("../golden/events.json")).expect("vectors are checked in whole")
}

#[test]
fn every_version_has_its_vectors() {
    let vectors = vectors();
    for version in RoomVersion::supported() {
        let count = vectors.iter().filter(|vector| vector.room_version == version.id()).count();
        assert!(count >= 10, "version {} has {count}", version.id());
    }
}

#[test]
fn redaction_hashes_and_ids_are_those_of_the_second_implementation() {
    for vector in vectors() {
        let version = RoomVersion::parse(&vector.room_version).expect("a known version");
        let (id, json) = (&*vector.room_version, vector.event.as_bytes());
        let redacted = redact::redact(version, json).expect("redacts");
        assert_eq!(String::from_utf8(redacted).expect("UTF-8"), vector.redacted, "version {id}");
        assert_eq!(hash::content_hash(version, json).expect("hashes"), vector.content_hash, "version {id}");
        assert_eq!(hash::reference_hash(version, json).expect("hashes"), vector.reference_hash, "version {id}");
        assert_eq!(pdu::event_id(version, json).expect("an ID"), vector.event_id, "version {id}");
        let parsed = Pdu::parse(version, &vector.event_id, &vector.room_id, json).expect("parses");
        if version.create_is_room_id() && parsed.event_type == "m.room.create" {
            assert_eq!(pdu::room_id_of_create(&vector.event_id), Some(vector.room_id));
        }
    }
}

#[test]
fn signatures_of_the_second_implementation_verify() {
    let key = SigningKey::from_seed("ed25519:golden", [7; 32]).expect("a valid key ID");
    let mut keys = PublicKeys::new();
    assert!(keys.insert("one.test", "ed25519:golden", key.public_base64()));
    for vector in vectors().iter().filter(|vector| !vector.event.contains("third_party_invite")) {
        let version = RoomVersion::parse(&vector.room_version).expect("a known version");
        let verify = |json: &str| verify::verify_event(version, json.as_bytes(), &keys).ok();
        assert_eq!(verify(&vector.event), Some(Verified::Whole), "{}", vector.event);
        let expected =
            if vector.redacted.contains(r#""content":{}"#) { Verified::RedactedOnly } else { Verified::Whole };
        if vector.event.contains("\"body\"") {
            assert_eq!(verify(&vector.redacted), Some(expected), "{}", vector.redacted);
        }
    }
}
