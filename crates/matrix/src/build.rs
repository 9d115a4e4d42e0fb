//! Making local events: canonical JSON with content hash, signature and event ID, in one pass.
//!
//! The keys of an event are few and known, so the text is written in their sorted order and never parsed again:
//!
//! ```text
//! head      {"auth_events":[..],"content":{..},"depth":..[,"event_id":..]
//! hashes    ,"hashes":{"sha256":".."}
//! middle    ,"origin_server_ts":..,"prev_events":[..][,"redacts":..][,"room_id":..],"sender":..
//! signed    ,"signatures":{..}
//! tail      [,"state_key":..],"type":..}
//! ```
//! The content hash covers head, middle and tail; signature and reference hash cover the redacted head, hashes, the
//! middle without `redacts`, and tail.

use ruma::{RoomId, UserId};
use sha2::{Digest, Sha256};

use crate::{
    RoomVersion,
    canonical::{CanonicalError, Object, Tree, push_integer, push_string},
    hash, ids,
    keys::{BASE64, SigningKey},
    limits, pdu, redact,
};

/// What a client or the server wants to say.
#[derive(Debug, Clone, Copy)]
pub struct Draft<'a> {
    /// The sender's user ID.
    pub sender: &'a str,
    /// The event's type.
    pub event_type: &'a str,
    /// The state key, for state events.
    pub state_key: Option<&'a str>,
    /// The content: any JSON object; it is validated and made canonical.
    pub content: &'a str,
    /// The event that a redaction redacts; put where the room version wants it.
    pub redacts: Option<&'a str>,
}

/// Where in the room's graph the event goes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Position<'a> {
    /// The room; `None` exactly for a version 12 create event, which makes the room's ID.
    pub room_id: Option<&'a str>,
    /// The room's forward extremities.
    pub prev_events: &'a [&'a str],
    /// The events that permit this one, chosen by [`crate::auth::auth_types`].
    pub auth_events: &'a [&'a str],
    /// The largest depth of `prev_events` plus one; capped here at the version's maximum.
    pub depth: u64,
    /// Milliseconds since 1970.
    pub origin_server_ts: u64,
    /// Versions 1 and 2 only: the ID, opaque and made by the caller.
    pub event_id: Option<&'a str>,
    /// Versions 1 and 2 only: (event ID, reference hash) for each of `prev_events` and `auth_events`.
    pub reference_hashes: &'a [(&'a str, &'a str)],
}

/// A finished event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltEvent {
    /// Its ID.
    pub event_id: String,
    /// Its room; for a version 12 create event the room it makes.
    pub room_id: String,
    /// Canonical JSON in federation format, hashed and signed.
    pub json: Vec<u8>,
}

/// Why an event cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The content is not an object with a canonical form.
    #[error("content: {0}")]
    Content(#[from] CanonicalError),
    /// The event would be larger than an event may be.
    #[error("the event would have {0} bytes, at most {max} are allowed", max = limits::PDU_BYTES_MAX)]
    TooLarge(usize),
    /// A field is longer, or a list has more entries, than allowed.
    #[error("`{field}` is too long: {length}, at most {max}")]
    TooLong {
        /// The name of the field.
        field: &'static str,
        /// Its length in bytes or entries.
        length: usize,
        /// The limit.
        max: usize,
    },
    /// An identifier is malformed.
    #[error("`{0}` is not a valid identifier")]
    Identifier(&'static str),
    /// The room version needs what the position does not give, or forbids what it gives.
    #[error("`{0}` does not fit the room version")]
    Position(&'static str),
    /// The time is beyond 2^53 - 1 milliseconds.
    #[error("`origin_server_ts` is out of range")]
    Timestamp,
}

/// Builds, hashes, signs and names an event.
pub fn build(
    version: &RoomVersion,
    draft: &Draft<'_>,
    position: &Position<'_>,
    server_name: &str,
    key: &SigningKey,
) -> Result<BuiltEvent, BuildError> {
    check(version, draft, position)?;
    let mut content = Object::parse(draft.content)?;
    if version.redacts_in_content()
        && let Some(redacts) = draft.redacts
    {
        content.insert("redacts", Tree::String(redacts.into()));
    }
    let parts = Parts::write(version, draft, position, &content)?;
    let hashes = parts.hashes();
    let redacted = parts.redacted(version, draft.event_type, &mut content, &hashes);
    let signature = key.sign_base64(redacted.as_bytes());
    let json = parts.join(&hashes, server_name, key.key_id(), &signature);
    if json.len() > limits::PDU_BYTES_MAX {
        return Err(BuildError::TooLarge(json.len()));
    }
    let event_id = match position.event_id {
        Some(event_id) => event_id.to_owned(),
        None => format!("${}", hash::encode_reference_hash(version, &Sha256::digest(&redacted).into())),
    };
    let room_id = match position.room_id {
        Some(room_id) => room_id.to_owned(),
        None => pdu::room_id_of_create(&event_id).ok_or(BuildError::Identifier("event_id"))?,
    };
    Ok(BuiltEvent { event_id, room_id, json })
}

fn check(version: &RoomVersion, draft: &Draft<'_>, position: &Position<'_>) -> Result<(), BuildError> {
    within("type", draft.event_type.len(), limits::ID_BYTES_MAX)?;
    within("state_key", draft.state_key.map_or(0, str::len), limits::ID_BYTES_MAX)?;
    within("sender", draft.sender.len(), limits::ID_BYTES_MAX)?;
    within("room_id", position.room_id.map_or(0, str::len), limits::ID_BYTES_MAX)?;
    within("event_id", position.event_id.map_or(0, str::len), limits::ID_BYTES_MAX)?;
    within("prev_events", position.prev_events.len(), limits::PREV_EVENTS_MAX)?;
    within("auth_events", position.auth_events.len(), limits::AUTH_EVENTS_MAX)?;
    <&UserId>::try_from(draft.sender).map_err(|_| BuildError::Identifier("sender"))?;
    let create_makes_room =
        version.create_is_room_id() && draft.event_type == "m.room.create" && draft.state_key == Some("");
    match position.room_id {
        Some(_) if create_makes_room => return Err(BuildError::Position("room_id")),
        Some(id) => drop(<&RoomId>::try_from(id).map_err(|_| BuildError::Identifier("room_id"))?),
        None if create_makes_room => {}
        None => return Err(BuildError::Position("room_id")),
    }
    if version.event_id_in_event() != position.event_id.is_some() {
        return Err(BuildError::Position("event_id"));
    }
    let named = position.prev_events.iter().chain(position.auth_events).chain(&position.event_id).chain(&draft.redacts);
    if !named.copied().all(ids::is_event_id) {
        return Err(BuildError::Identifier("event_id"));
    }
    if position.origin_server_ts > limits::INTEGER_MAX.unsigned_abs() {
        return Err(BuildError::Timestamp);
    }
    Ok(())
}

fn within(field: &'static str, length: usize, max: usize) -> Result<(), BuildError> {
    if length <= max { Ok(()) } else { Err(BuildError::TooLong { field, length, max }) }
}

/// The pieces of the event's text; see the picture on top.
struct Parts {
    /// The beginning, up to the content.
    before_content: String,
    content: String,
    /// From the content to `hashes`.
    after_content: String,
    /// `origin_server_ts` and `prev_events`.
    middle: String,
    redacts: String,
    /// `room_id` and `sender`.
    origin: String,
    tail: String,
}

impl Parts {
    fn write(
        version: &RoomVersion,
        draft: &Draft<'_>,
        position: &Position<'_>,
        content: &Object<'_>,
    ) -> Result<Self, BuildError> {
        let mut before_content = String::with_capacity(64 + position.auth_events.len() * 56);
        before_content.push_str("{\"auth_events\":");
        push_references(&mut before_content, version, position, position.auth_events)?;
        before_content.push_str(",\"content\":");

        let mut content_text = String::with_capacity(draft.content.len() + 64);
        content.write(&mut content_text);

        let mut after_content = String::with_capacity(64);
        after_content.push_str(",\"depth\":");
        let depth = i64::try_from(position.depth.min(version.depth_max())).unwrap_or(i64::MAX);
        push_integer(&mut after_content, depth);
        push_field(&mut after_content, "event_id", position.event_id);

        let mut middle = String::with_capacity(64 + position.prev_events.len() * 56);
        middle.push_str(",\"origin_server_ts\":");
        push_integer(&mut middle, i64::try_from(position.origin_server_ts).map_err(|_| BuildError::Timestamp)?);
        middle.push_str(",\"prev_events\":");
        push_references(&mut middle, version, position, position.prev_events)?;

        let mut redacts = String::new();
        if !version.redacts_in_content() {
            push_field(&mut redacts, "redacts", draft.redacts);
        }
        let mut origin = String::with_capacity(160);
        push_field(&mut origin, "room_id", position.room_id);
        push_field(&mut origin, "sender", Some(draft.sender));

        let mut tail = String::with_capacity(96);
        push_field(&mut tail, "state_key", draft.state_key);
        push_field(&mut tail, "type", Some(draft.event_type));
        tail.push('}');
        Ok(Self { before_content, content: content_text, after_content, middle, redacts, origin, tail })
    }

    /// The `hashes` entry with the content hash.
    fn hashes(&self) -> String {
        let mut hasher = Sha256::new();
        for part in [
            &self.before_content,
            &self.content,
            &self.after_content,
            &self.middle,
            &self.redacts,
            &self.origin,
            &self.tail,
        ] {
            hasher.update(part);
        }
        let mut hashes = String::with_capacity(72);
        hashes.push_str(",\"hashes\":{\"sha256\":\"");
        base64::Engine::encode_string(&BASE64, hasher.finalize(), &mut hashes);
        hashes.push_str("\"}");
        hashes
    }

    /// The redacted event without signatures: what is signed, and what the reference hash covers.
    fn redacted(&self, version: &RoomVersion, event_type: &str, content: &mut Object<'_>, hashes: &str) -> String {
        redact::redact_content(version, event_type, content);
        let mut text = String::with_capacity(self.len());
        text.push_str(&self.before_content);
        content.write(&mut text);
        for part in [&self.after_content, hashes, &self.middle, &self.origin, &self.tail] {
            text.push_str(part);
        }
        text
    }

    /// The whole event.
    fn join(&self, hashes: &str, server_name: &str, key_id: &str, signature: &str) -> Vec<u8> {
        let mut text = String::with_capacity(self.len() + server_name.len() + 160);
        for part in [
            &self.before_content,
            &self.content,
            &self.after_content,
            hashes,
            &self.middle,
            &self.redacts,
            &self.origin,
            ",\"signatures\":{",
        ] {
            text.push_str(part);
        }
        push_string(&mut text, server_name);
        text.push_str(":{");
        push_string(&mut text, key_id);
        text.push(':');
        push_string(&mut text, signature);
        text.push_str("}}");
        text.push_str(&self.tail);
        text.into_bytes()
    }

    fn len(&self) -> usize {
        let fixed = self.before_content.len() + self.content.len() + self.after_content.len() + 72;
        fixed + self.middle.len() + self.redacts.len() + self.origin.len() + self.tail.len()
    }
}

fn push_field(out: &mut String, key: &str, value: Option<&str>) {
    let Some(value) = value else { return };
    out.push_str(",\"");
    out.push_str(key);
    out.push_str("\":");
    push_string(out, value);
}

fn push_references(
    out: &mut String,
    version: &RoomVersion,
    position: &Position<'_>,
    events: &[&str],
) -> Result<(), BuildError> {
    out.push('[');
    for (index, event_id) in events.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        if !version.references_with_hashes() {
            push_string(out, event_id);
            continue;
        }
        let (_, hash) = position
            .reference_hashes
            .iter()
            .find(|(id, _)| id == event_id)
            .ok_or(BuildError::Position("reference_hashes"))?;
        out.push('[');
        push_string(out, event_id);
        out.push_str(",{\"sha256\":");
        push_string(out, hash);
        out.push_str("}]");
    }
    out.push(']');
    Ok(())
}

#[cfg(test)]
mod tests;
