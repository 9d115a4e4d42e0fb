//! The event stream of the first versions of the specification: `/events`, and what a client begins with,
//! `/initialSync` and `/rooms/{roomId}/initialSync` (SYNC-20).
//!
//! Thin: the same context, timelines and wake-ups as [`crate::server`], written down in the old shape. Events name
//! their room and, as old clients expect, repeat their sender as `user_id`.

mod initial;
mod stream;

use engram_ephemeral::Presence;

pub use initial::{RoomRequest, everything, room};
pub use stream::{StreamAnswer, StreamRequest};

use crate::content::ephemeral::presence_content;
use crate::json::{push_key, push_string};

/// A presence event that says in its content whose it is.
fn presence_event(user_id: &str, presence: &Presence, now_ms: u64) -> String {
    let mut event = String::from("{\"content\":");
    let content = presence_content(presence, now_ms);
    event.push_str("{\"user_id\":");
    push_string(&mut event, user_id);
    event.push(',');
    event.push_str(content.strip_prefix('{').unwrap_or(&content));
    push_key(&mut event, "sender");
    push_string(&mut event, user_id);
    event.push_str(",\"type\":\"m.presence\"}");
    event
}

/// An event of /sync, which does not say where it happened, with its room.
fn in_room(event: &str, room_id: &str) -> String {
    let mut event = event.strip_suffix('}').unwrap_or(event).to_owned();
    push_key(&mut event, "room_id");
    push_string(&mut event, room_id);
    event.push('}');
    event
}

#[cfg(test)]
mod tests {
    use engram_ephemeral::Availability;
    use engram_log::{Offset, TimestampMs};
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn old_events_say_who_and_where() {
        let presence = Presence {
            availability: Availability::Online,
            status_msg: None,
            last_active: TimestampMs(100),
            currently_active: true,
            changed: Offset(1),
        };
        let event: Value = serde_json::from_str(&presence_event("@a:a", &presence, 130)).expect("valid");
        assert_eq!(
            event,
            json!({"type": "m.presence", "sender": "@a:a", "content":
                {"user_id": "@a:a", "presence": "online", "currently_active": true, "last_active_ago": 30}})
        );
        let typing: Value = serde_json::from_str(&in_room(r#"{"content":{},"type":"m.typing"}"#, "!r")).expect("valid");
        assert_eq!(typing, json!({"type": "m.typing", "content": {}, "room_id": "!r"}));
    }
}
