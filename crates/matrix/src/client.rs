//! Events as clients see them, written straight from the stored bytes.
//!
//! The content is copied as it is; nothing is parsed but what a redaction needs for `redacts` to stand in both places.

use crate::{
    Pdu,
    canonical::{push_integer, push_string},
};

/// What the server adds under `unsigned`. Raw fields hold JSON text.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unsigned<'a> {
    /// Milliseconds since the event was sent.
    pub age: Option<i64>,
    /// The transaction ID, for the device that sent the event.
    pub transaction_id: Option<&'a str>,
    /// The content of the state event that this one replaced (raw).
    pub prev_content: Option<&'a str>,
    /// The sender of the state event that this one replaced.
    pub prev_sender: Option<&'a str>,
    /// The ID of the state event that this one replaced.
    pub replaces_state: Option<&'a str>,
    /// The redaction that redacted this event, in client format (raw).
    pub redacted_because: Option<&'a str>,
    /// The membership of the reader when the event was sent.
    pub membership: Option<&'a str>,
    /// Bundled aggregations, the object under `m.relations` (raw).
    pub relations: Option<&'a str>,
    /// Stripped state of the room of an invitation, a list (raw).
    pub invite_room_state: Option<&'a str>,
    /// Stripped state of the room of a knock, a list (raw).
    pub knock_room_state: Option<&'a str>,
}

/// An event in client format; with the room's ID where the endpoint wants it (not in /sync).
pub fn render(pdu: &Pdu, with_room_id: bool, unsigned: &Unsigned<'_>) -> String {
    let mut out = String::with_capacity(pdu.content_str().len() + 320);
    render_into(&mut out, pdu, with_room_id, unsigned);
    out
}

/// [`render`] into a buffer of the caller's.
pub fn render_into(out: &mut String, pdu: &Pdu, with_room_id: bool, unsigned: &Unsigned<'_>) {
    out.push_str("{\"content\":");
    push_content(out, pdu);
    push_text(out, "event_id", Some(pdu.event_id.as_str()));
    out.push_str(",\"origin_server_ts\":");
    push_integer(out, i64::try_from(pdu.origin_server_ts).unwrap_or(i64::MAX));
    push_text(out, "redacts", pdu.redacts.as_ref().map(|id| id.as_str()));
    push_text(out, "room_id", with_room_id.then_some(pdu.room_id.as_str()));
    push_text(out, "sender", Some(pdu.sender.as_str()));
    push_text(out, "state_key", pdu.state_key.as_deref());
    push_text(out, "type", Some(&pdu.event_type));
    push_unsigned(out, unsigned);
    out.push('}');
}

/// A state event in stripped form: content, sender, state key and type.
pub fn stripped(pdu: &Pdu) -> String {
    let mut out = String::with_capacity(pdu.content_str().len() + 128);
    out.push_str("{\"content\":");
    out.push_str(pdu.content_str());
    push_text(&mut out, "sender", Some(pdu.sender.as_str()));
    push_text(&mut out, "state_key", pdu.state_key.as_deref());
    push_text(&mut out, "type", Some(&pdu.event_type));
    out.push('}');
    out
}

/// Older room versions keep `redacts` at the top level only; clients of newer ones look in the content.
fn push_content(out: &mut String, pdu: &Pdu) {
    let content = pdu.content_str();
    let Some(redacts) = pdu.redacts.as_ref().filter(|_| !pdu.version().redacts_in_content()) else {
        out.push_str(content);
        return;
    };
    let Ok(mut object) = crate::canonical::Object::parse(content) else {
        // Only versions 1 to 5 have contents that are not canonical; such a one stays as it is.
        out.push_str(content);
        return;
    };
    object.insert("redacts", crate::canonical::Tree::String(redacts.as_str().into()));
    object.write(out);
}

fn push_unsigned(out: &mut String, unsigned: &Unsigned<'_>) {
    let start = out.len();
    if let Some(age) = unsigned.age {
        out.push_str(",\"age\":");
        push_integer(out, age);
    }
    push_raw(out, "invite_room_state", unsigned.invite_room_state);
    push_raw(out, "knock_room_state", unsigned.knock_room_state);
    push_raw(out, "m.relations", unsigned.relations);
    push_text(out, "membership", unsigned.membership);
    push_raw(out, "prev_content", unsigned.prev_content);
    push_text(out, "prev_sender", unsigned.prev_sender);
    push_raw(out, "redacted_because", unsigned.redacted_because);
    push_text(out, "replaces_state", unsigned.replaces_state);
    push_text(out, "transaction_id", unsigned.transaction_id);
    if out.len() > start {
        out.replace_range(start..=start, ",\"unsigned\":{");
        out.push('}');
    }
}

fn push_text(out: &mut String, key: &str, value: Option<&str>) {
    let Some(value) = value else { return };
    push_key(out, key);
    push_string(out, value);
}

fn push_raw(out: &mut String, key: &str, value: Option<&str>) {
    let Some(value) = value else { return };
    push_key(out, key);
    out.push_str(value);
}

fn push_key(out: &mut String, key: &str) {
    out.push_str(",\"");
    out.push_str(key);
    out.push_str("\":");
}

#[cfg(test)]
mod tests;
