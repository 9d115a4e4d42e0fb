//! Canonical JSON and events.

use engram_matrix::auth::auth_types;
use engram_matrix::canonical::{Tree, canonicalize_str, to_canonical};
use engram_matrix::client::{self, Unsigned};
use engram_matrix::power::Creation;
use engram_matrix::room_version::RoomVersion;
use engram_matrix::verify::{self, PublicKeys};
use engram_matrix::{Pdu, hash, pdu, redact};
use serde_json::Value;

/// Any text: parsed strictly and leniently, written, parsed again.
pub(crate) fn canonical(input: &[u8]) {
    let lenient = Tree::parse_tolerant(input).ok().map(|tree| {
        let text = text_of(&tree);
        let again = Tree::parse_tolerant(text.as_bytes()).expect("what is written is JSON");
        assert_eq!(text_of(&again), text, "the lenient form is a fixpoint");
        text
    });
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(tree) = Tree::parse(text) else { return };
    let written = text_of(&tree);
    let again = Tree::parse(&written).expect("what is written is canonical");
    assert_eq!(again, tree, "nothing is lost");
    assert_eq!(text_of(&again), written, "the canonical form is a fixpoint");
    // Of numbers with a fraction or an exponent the lenient form is another, on purpose.
    assert_eq!(Tree::parse_tolerant(written.as_bytes()).ok().as_ref(), Some(&tree), "what is canonical is so for all");
    assert!(lenient.is_some(), "who reads strictly reads no more than others");
    assert_eq!(canonicalize_str(text).ok().as_deref(), Some(written.as_bytes()));
    let value: Value = serde_json::from_str(text).expect("canonical JSON is JSON");
    assert_eq!(to_canonical(&value).ok().as_deref(), Some(written.as_bytes()), "by way of a value it is the same");
}

fn text_of(tree: &Tree<'_>) -> String {
    let mut text = String::new();
    tree.write(&mut text);
    text
}

/// An event of the room version that the first byte picks.
pub(crate) fn pdu(input: &[u8]) {
    let Some((version, json)) = input.split_first() else { return };
    let versions: Vec<&'static RoomVersion> = RoomVersion::supported().collect();
    let version = versions[usize::from(*version) % versions.len()];
    let Ok(redacted) = redact::redact(version, json) else {
        assert!(hash::reference_hash(version, json).is_err(), "what cannot be redacted has no hash");
        return;
    };
    let reference = hash::reference_hash(version, json).expect("what can be redacted has a hash");
    assert_eq!(redact::redact(version, &redacted).ok(), Some(redacted.clone()), "redaction is idempotent");
    assert_eq!(hash::reference_hash(version, &redacted).ok(), Some(reference), "and does not change who the event is");
    hash::content_hash(version, json).expect("what can be redacted has a content hash");
    let _ = verify::content_hash_matches(version, json);
    let _ = verify::required_signers(version, json);
    let _ = verify::verify_event(version, json, &PublicKeys::new());
    let Ok(event_id) = pdu::event_id(version, json) else { return };
    let room_id = room_of(version, json, &event_id);
    let Ok(event) = Pdu::parse(version, &event_id, &room_id, json) else { return };
    read_event(version, &event);
    let stripped = Pdu::parse(version, &event_id, &room_id, redacted).expect("a redacted event is an event");
    assert_eq!(
        (&stripped.sender, &stripped.event_type, &stripped.state_key, &stripped.prev_events, &stripped.auth_events),
        (&event.sender, &event.event_type, &event.state_key, &event.prev_events, &event.auth_events),
        "redaction takes nothing away that the room's graph is made of"
    );
}

/// The room that an event says it is in, or makes.
pub(crate) fn room_of(version: &RoomVersion, json: &[u8], event_id: &str) -> String {
    let value: Value = serde_json::from_slice(json).unwrap_or_default();
    match value["room_id"].as_str() {
        Some(room_id) => room_id.to_owned(),
        None if version.create_is_room_id() => pdu::room_id_of_create(event_id).unwrap_or_default(),
        None => String::new(),
    }
}

fn read_event(version: &'static RoomVersion, event: &Pdu) {
    let content: Value = event.content().expect("content is an object");
    assert!(content.is_object());
    for with_room_id in [false, true] {
        let shown = client::render(event, with_room_id, &Unsigned::default());
        let shown: Value = serde_json::from_str(&shown).expect("what clients are shown is JSON");
        assert_eq!(shown["type"], event.event_type.as_str());
        assert_eq!(shown["sender"], event.sender.as_str());
    }
    serde_json::from_str::<Value>(&client::stripped(event)).expect("what the invited are shown is JSON");
    let _ =
        auth_types(version, &event.event_type, event.sender.as_str(), event.state_key.as_deref(), event.content_str());
    let _ = Creation::parse(event);
}
