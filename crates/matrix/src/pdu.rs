//! A persistent event as it is stored and sent between servers, parsed as far as the server needs it.
//!
//! Parsing is one pass over the JSON that finds the routing fields and the bounds of `content`; the bytes are kept
//! exactly and the content is only read by those who ask. A [`Pdu`] satisfies the size and shape limits of its room
//! version. It does not vouch for hashes, signatures or authorization: see [`crate::verify`] and [`crate::auth`].

mod state_res;
mod wire;

use std::{ops::Range, sync::Arc};

use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId, events::TimelineEventType};
use serde::Deserialize;
use smallvec::SmallVec;

use crate::{RoomVersion, canonical::CanonicalError, hash, limits};

/// Event IDs as an event lists them.
pub type EventIds = SmallVec<[OwnedEventId; 3]>;

/// Why bytes are not an event of a room version.
#[derive(Debug, thiserror::Error)]
pub enum PduError {
    /// Not JSON, or a field is missing or of the wrong type.
    #[error("malformed event: {0}")]
    Json(#[from] serde_json::Error),
    /// Not UTF-8.
    #[error("event is not UTF-8")]
    Utf8,
    /// Larger than an event may be.
    #[error("event of {0} bytes is larger than {max}", max = limits::PDU_BYTES_MAX)]
    TooLarge(usize),
    /// A field is longer than 255 bytes, or a list has too many entries.
    #[error("`{field}` is too long: {length}, at most {max}")]
    TooLong {
        /// The name of the field.
        field: &'static str,
        /// Its length in bytes or entries.
        length: usize,
        /// The limit.
        max: usize,
    },
    /// An identifier is not one.
    #[error("`{field}` is not a valid identifier: {value:?}")]
    Identifier {
        /// The name of the field.
        field: &'static str,
        /// What it holds.
        value: String,
    },
    /// The event is of another room, or has another ID, than was said.
    #[error("`{field}` is {found:?}, expected {expected:?}")]
    Mismatch {
        /// The name of the field.
        field: &'static str,
        /// What the event says.
        found: String,
        /// What the caller says.
        expected: String,
    },
    /// An integer is out of the version's range.
    #[error("`{0}` is out of range")]
    OutOfRange(&'static str),
    /// The content is not an object.
    #[error("`content` is not an object")]
    Content,
}

/// A parsed event with its exact bytes.
#[derive(Debug, Clone)]
pub struct Pdu {
    /// The ID: the reference hash from room version 3 on.
    pub event_id: OwnedEventId,
    /// The room, also for a version 12 create event, which does not name it.
    pub room_id: OwnedRoomId,
    /// The sender.
    pub sender: OwnedUserId,
    /// The event's type.
    pub event_type: String,
    /// The state key, present exactly on state events.
    pub state_key: Option<String>,
    /// Milliseconds since 1970, as the sending server claims.
    pub origin_server_ts: u64,
    /// Distance from the create event, as the sending server claims.
    pub depth: u64,
    /// The events that were the room's head when this one was made.
    pub prev_events: EventIds,
    /// The events that permit this one.
    pub auth_events: EventIds,
    /// The event this one redacts, from wherever the room version puts it.
    pub redacts: Option<OwnedEventId>,
    /// Whether the room server rejected this event; set by whoever knows, `false` after parsing.
    pub rejected: bool,
    version: &'static RoomVersion,
    kind: TimelineEventType,
    has_room_id: bool,
    json: Arc<[u8]>,
    content: Range<usize>,
}

impl Pdu {
    /// Parses the JSON of the event with the given ID in the given room. The ID is taken on trust: whoever computed
    /// it from these bytes need not compute it again (see [`event_id`]).
    pub fn parse(
        version: &'static RoomVersion,
        event_id: &str,
        room_id: &str,
        json: impl Into<Arc<[u8]>>,
    ) -> Result<Self, PduError> {
        let json = json.into();
        if json.len() > limits::PDU_BYTES_MAX {
            return Err(PduError::TooLarge(json.len()));
        }
        let text = std::str::from_utf8(&json).map_err(|_| PduError::Utf8)?;
        let wire = wire::Wire::parse(text)?;
        wire.check(version, event_id, room_id)?;
        let content = wire.content_range(text);
        Ok(Self {
            event_id: wire::event_id("event_id", event_id)?,
            room_id: wire::room_id(room_id)?,
            sender: wire::user_id("sender", &wire.sender)?,
            kind: TimelineEventType::from(&*wire.event_type),
            redacts: wire.redacts(version)?,
            has_room_id: wire.room_id.is_some(),
            origin_server_ts: wire.origin_server_ts,
            depth: wire.depth,
            event_type: wire.event_type.0.into_owned(),
            state_key: wire.state_key.map(|key| key.0.into_owned()),
            prev_events: wire.prev_events.0,
            auth_events: wire.auth_events.0,
            rejected: false,
            version,
            content,
            json,
        })
    }

    /// The room version whose rules apply.
    pub fn version(&self) -> &'static RoomVersion {
        self.version
    }

    /// The exact bytes.
    pub fn json(&self) -> &[u8] {
        &self.json
    }

    /// The exact bytes, shared.
    pub fn json_shared(&self) -> Arc<[u8]> {
        Arc::clone(&self.json)
    }

    /// The JSON text of `content`, an object.
    pub fn content_str(&self) -> &str {
        std::str::from_utf8(&self.json[self.content.clone()]).expect("parsing has checked that the event is UTF-8")
    }

    /// The content as a type of the caller's; fields the type does not name are skipped.
    pub fn content<'a, T: Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.content_str())
    }

    /// The type as ruma's enumeration.
    pub fn kind(&self) -> &TimelineEventType {
        &self.kind
    }

    /// Whether this is a state event.
    pub fn is_state(&self) -> bool {
        self.state_key.is_some()
    }

    /// Whether this is the state event of the given type and key.
    pub fn is_state_of(&self, event_type: &str, state_key: &str) -> bool {
        self.event_type == event_type && self.state_key.as_deref() == Some(state_key)
    }

    /// The same event, marked rejected.
    pub fn into_rejected(mut self) -> Self {
        self.rejected = true;
        self
    }
}

/// The ID of an event: its own `event_id` in versions 1 and 2, `$` and the reference hash from version 3 on.
pub fn event_id(version: &RoomVersion, json: &[u8]) -> Result<String, PduError> {
    #[derive(Deserialize)]
    struct Named {
        event_id: String,
    }
    if version.event_id_in_event() {
        return Ok(serde_json::from_slice::<Named>(json)?.event_id);
    }
    Ok(format!("${}", hash::reference_hash(version, json)?))
}

/// The room that a create event makes, where its ID follows from the event: `!` and the reference hash (version 12).
pub fn room_id_of_create(event_id: &str) -> Option<String> {
    event_id.strip_prefix('$').map(|hash| format!("!{hash}"))
}

/// The create event of a room whose ID is that event's hash (version 12).
pub fn create_event_id_of_room(room_id: &str) -> Option<String> {
    room_id.strip_prefix('!').map(|hash| format!("${hash}"))
}

impl From<CanonicalError> for PduError {
    fn from(error: CanonicalError) -> Self {
        match error {
            CanonicalError::Syntax(error) | CanonicalError::Number(error) => Self::Json(error),
            CanonicalError::NotObject => Self::Json(serde::de::Error::custom("an event is a JSON object")),
            CanonicalError::NotInteger(number) => {
                Self::Json(serde::de::Error::custom(format_args!("number {number} has no canonical form")))
            }
        }
    }
}

#[cfg(test)]
mod tests;
