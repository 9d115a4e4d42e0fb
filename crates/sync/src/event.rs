//! One event as one viewer gets to see it.

use engram_log::Offset;
use engram_matrix::Pdu;
use engram_matrix::client::{self, Unsigned};
use engram_rooms::RoomNumber;
use engram_rooms::query::{self, StoredEvent, Viewer};
use engram_views::{Read, ViewError};

use crate::filter::{EventFormat, Fields, Filter};
use crate::json::push_string;

/// For whom and how events are written.
pub(crate) struct Format<'a> {
    viewer: Viewer<'a>,
    federation: bool,
    fields: Option<Fields>,
    with_room_id: bool,
    with_user_id: bool,
}

impl<'a> Format<'a> {
    /// Events in /sync, as the filter wants them.
    pub(crate) fn of_sync(filter: &Filter, viewer: Viewer<'a>) -> Self {
        Self {
            viewer,
            federation: filter.event_format == EventFormat::Federation,
            fields: filter.event_fields.as_deref().map(Fields::new),
            with_room_id: false,
            with_user_id: false,
        }
    }

    /// Events in history.
    pub(crate) fn of_history(viewer: Viewer<'a>) -> Self {
        Self { viewer, federation: false, fields: None, with_room_id: true, with_user_id: false }
    }

    /// Events in the stream of the first versions of the specification.
    pub(crate) fn of_stream(viewer: Viewer<'a>) -> Self {
        Self { with_user_id: true, ..Self::of_history(viewer) }
    }

    /// The event's JSON.
    pub(crate) fn render(&self, reader: &dyn Read, event: &StoredEvent) -> Result<String, ViewError> {
        let json = if self.federation {
            federation(&*query::presented_to(reader, event, self.viewer)?)
        } else {
            self.signed_off(&event.pdu, query::render(reader, event, self.viewer, self.with_room_id)?)
        };
        Ok(match &self.fields {
            Some(fields) => fields.apply(json),
            None => json,
        })
    }

    /// The JSON of the state event at an offset, which may have no place in the timeline.
    pub(crate) fn render_at(&self, reader: &dyn Read, room: RoomNumber, at: Offset) -> Result<String, ViewError> {
        if let Some(event) = query::event(reader, room, at)? {
            return self.render(reader, &event);
        }
        let pdu = query::pdu(reader, at)?;
        let json = if self.federation { federation(&pdu) } else { self.plain(&pdu) };
        Ok(match &self.fields {
            Some(fields) => fields.apply(json),
            None => json,
        })
    }

    fn plain(&self, pdu: &Pdu) -> String {
        let unsigned = Unsigned { age: Some(age(pdu, self.viewer.now_ms).cast_signed()), ..Unsigned::default() };
        self.signed_off(pdu, client::render(pdu, self.with_room_id, &unsigned))
    }

    /// Repeats the sender as `user_id`, where that is wanted.
    fn signed_off(&self, pdu: &Pdu, json: String) -> String {
        match json.strip_suffix('}') {
            Some(start) if self.with_user_id => {
                let mut json = format!("{start},\"user_id\":");
                push_string(&mut json, pdu.sender.as_str());
                json.push('}');
                json
            }
            _ => json,
        }
    }
}

/// For whom events are rendered.
pub fn viewer<'a>(user_id: &'a str, device_id: Option<&'a str>, now_ms: u64) -> Viewer<'a> {
    Viewer { user_id, device_id, now_ms, is_erased: engram_users::query::is_erased }
}

/// How long ago an event was sent, in milliseconds; never negative, whatever clock the sender has.
pub(crate) fn age(pdu: &Pdu, now_ms: u64) -> u64 {
    now_ms.saturating_sub(pdu.origin_server_ts)
}

/// A message in client format up to the value of `unsigned.age`: what is the same for all who get to see it.
pub(crate) fn plain_head(pdu: &Pdu) -> String {
    let mut json = client::render(pdu, false, &Unsigned { age: Some(0), ..Unsigned::default() });
    assert!(
        json.ends_with("\"unsigned\":{\"age\":0}}"),
        "the age is the last thing in an event that has nothing else unsigned"
    );
    json.truncate(json.len() - "0}}".len());
    json
}

/// The event as servers exchange it, with the IDs that it does not carry itself.
fn federation(pdu: &Pdu) -> String {
    let json = std::str::from_utf8(pdu.json()).unwrap_or("{}");
    let mut out = String::with_capacity(json.len() + 128);
    out.push('{');
    if !pdu.version().event_id_in_event() {
        out.push_str("\"event_id\":");
        push_string(&mut out, pdu.event_id.as_str());
        out.push(',');
    }
    if pdu.version().create_is_room_id() && pdu.is_state_of("m.room.create", "") {
        out.push_str("\"room_id\":");
        push_string(&mut out, pdu.room_id.as_str());
        out.push(',');
    }
    out.push_str(json.get(1..).unwrap_or("}"));
    out
}

#[cfg(test)]
mod tests {
    use engram_matrix::RoomVersion;

    use super::*;

    fn message() -> Pdu {
        let json = r#"{"auth_events":[],"content":{"body":"\"age\":0"},"depth":1,"hashes":{"sha256":"x"},"origin_server_ts":5,"prev_events":[],"room_id":"!r:a","sender":"@a:a","signatures":{},"type":"m.room.message"}"#;
        let version = RoomVersion::parse("11").expect("known");
        Pdu::parse(version, "$e", "!r:a", json.as_bytes().to_vec()).expect("a valid event")
    }

    #[test]
    fn a_head_is_an_event_without_its_end() {
        let event: serde_json::Value =
            serde_json::from_str(&format!("{}42}}}}", plain_head(&message()))).expect("valid");
        assert_eq!(event["unsigned"], serde_json::json!({"age": 42}));
        assert_eq!(event["content"]["body"], "\"age\":0");
        assert_eq!(event["event_id"], "$e");
        assert!(event.get("room_id").is_none());
    }

    #[test]
    fn the_federation_format_names_the_event() {
        let event: serde_json::Value = serde_json::from_str(&federation(&message())).expect("valid");
        assert_eq!(event["event_id"], "$e");
        assert_eq!(event["room_id"], "!r:a");
        assert_eq!(event["depth"], 1);
    }

    #[test]
    fn events_from_the_future_have_no_age() {
        assert_eq!(age(&message(), 3), 0);
        assert_eq!(age(&message(), 8), 3);
    }
}
