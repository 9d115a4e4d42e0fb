//! The fields of an event as serde finds them, borrowed from the text, and their limits.

use std::{
    borrow::Cow,
    fmt,
    ops::{Deref, Range},
};

use ruma::{EventId, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{EventIds, PduError};
use crate::{RoomVersion, canonical::KeySeed, limits};

#[derive(Deserialize)]
pub(super) struct Wire<'a> {
    #[serde(borrow, default)]
    event_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) room_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) sender: Text<'a>,
    #[serde(borrow, rename = "type")]
    pub(super) event_type: Text<'a>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) state_key: Option<Text<'a>>,
    pub(super) origin_server_ts: u64,
    pub(super) depth: u64,
    pub(super) prev_events: References,
    pub(super) auth_events: References,
    #[serde(borrow, default)]
    redacts: Option<Text<'a>>,
    #[serde(borrow)]
    content: &'a RawValue,
}

impl<'a> Wire<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, PduError> {
        Ok(serde_json::from_str(text)?)
    }

    /// Checks identities and limits; does not look into the content.
    pub(super) fn check(&self, version: &RoomVersion, event_id: &str, room_id: &str) -> Result<(), PduError> {
        if version.event_id_in_event() {
            same("event_id", self.event_id.as_deref().unwrap_or_default(), event_id)?;
        }
        let create_without_room = version.create_is_room_id() && self.is_create();
        match self.room_id.as_deref() {
            Some(found) => same("room_id", found, room_id)?,
            None if create_without_room => {}
            None => same("room_id", "", room_id)?,
        }
        within("type", self.event_type.len(), limits::ID_BYTES_MAX)?;
        within("state_key", self.state_key.as_deref().map_or(0, str::len), limits::ID_BYTES_MAX)?;
        within("sender", self.sender.len(), limits::ID_BYTES_MAX)?;
        within("prev_events", self.prev_events.0.len(), limits::PREV_EVENTS_MAX)?;
        within("auth_events", self.auth_events.0.len(), limits::AUTH_EVENTS_MAX)?;
        if self.depth > version.depth_max() {
            return Err(PduError::OutOfRange("depth"));
        }
        // ruma's timestamps end at 2^53 - 1 in every version; no clock gets near.
        if self.origin_server_ts > limits::INTEGER_MAX.unsigned_abs() {
            return Err(PduError::OutOfRange("origin_server_ts"));
        }
        if !self.content.get().starts_with('{') {
            return Err(PduError::Content);
        }
        Ok(())
    }

    /// Where the content lies in the text it was parsed from.
    pub(super) fn content_range(&self, text: &str) -> Range<usize> {
        let start = self.content.get().as_ptr() as usize - text.as_ptr() as usize;
        start..start + self.content.get().len()
    }

    /// The redacted event's ID. A redaction without a valid one redacts nothing, which is not an error here.
    pub(super) fn redacts(&self, version: &RoomVersion) -> Result<Option<OwnedEventId>, PduError> {
        #[derive(Deserialize)]
        struct Redacts<'a> {
            #[serde(borrow, default)]
            redacts: Option<Tolerant<'a>>,
        }
        if &*self.event_type != "m.room.redaction" {
            return Ok(None);
        }
        if !version.redacts_in_content() {
            return Ok(self.redacts.as_deref().and_then(|id| EventId::parse(id).ok()));
        }
        let content: Redacts<'_> = serde_json::from_str(self.content.get())?;
        let id = content.redacts.and_then(|Tolerant(raw)| serde_json::from_str::<String>(raw.get()).ok());
        Ok(id.and_then(|id| EventId::parse(id).ok()))
    }

    fn is_create(&self) -> bool {
        &*self.event_type == "m.room.create" && self.state_key.as_deref() == Some("")
    }
}

/// A value of any type, looked at later.
#[derive(Deserialize)]
struct Tolerant<'a>(#[serde(borrow)] &'a RawValue);

/// A string, borrowed where it has no escapes.
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        KeySeed.deserialize(deserializer).map(Text)
    }
}

/// A field that may be missing but not `null`.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Text<'a>>, D::Error> {
    Text::deserialize(deserializer).map(Some)
}

/// A list of event IDs, plain or as (ID, hash) pairs of versions 1 and 2.
pub(super) struct References(pub(super) EventIds);

impl<'de> Deserialize<'de> for References {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = References;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of event IDs")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<References, A::Error> {
                let mut ids = EventIds::new();
                while let Some(Reference(id)) = seq.next_element()? {
                    // One past the longest list is enough to know that it is too long.
                    if ids.len() > limits::PREV_EVENTS_MAX {
                        return Err(A::Error::custom("too many event IDs"));
                    }
                    ids.push(id);
                }
                Ok(References(ids))
            }
        }
        deserializer.deserialize_seq(List)
    }
}

struct Reference(OwnedEventId);

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Reference;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event ID or an (event ID, hash) pair")
            }

            fn visit_str<E: Error>(self, id: &str) -> Result<Reference, E> {
                event_id("event ID", id).map(Reference).map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Reference, A::Error> {
                let reference = seq.next_element()?.ok_or_else(|| A::Error::invalid_length(0, &self))?;
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(reference)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

fn same(field: &'static str, found: &str, expected: &str) -> Result<(), PduError> {
    if found == expected {
        return Ok(());
    }
    Err(PduError::Mismatch { field, found: found.to_owned(), expected: expected.to_owned() })
}

fn within(field: &'static str, length: usize, max: usize) -> Result<(), PduError> {
    if length <= max { Ok(()) } else { Err(PduError::TooLong { field, length, max }) }
}

pub(super) fn event_id(field: &'static str, value: &str) -> Result<OwnedEventId, PduError> {
    within(field, value.len(), limits::ID_BYTES_MAX)?;
    EventId::parse(value).map_err(|_| PduError::Identifier { field, value: value.to_owned() })
}

pub(super) fn room_id(value: &str) -> Result<OwnedRoomId, PduError> {
    within("room_id", value.len(), limits::ID_BYTES_MAX)?;
    RoomId::parse(value).map_err(|_| PduError::Identifier { field: "room_id", value: value.to_owned() })
}

pub(super) fn user_id(field: &'static str, value: &str) -> Result<OwnedUserId, PduError> {
    UserId::parse(value).map_err(|_| PduError::Identifier { field, value: value.to_owned() })
}
