//! Filters: what a client wants to see of a sync or of a page of history.
//!
//! Absent lists let everything pass; a `not_` list wins over its counterpart (FIL-03).

use std::collections::BTreeSet;

use engram_matrix::Pdu;
use serde::Deserialize;

use crate::limits;

/// Why a text is no filter: answer `M_BAD_JSON`.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// Not JSON, or a field has the wrong type.
    #[error("not a filter: {0}")]
    Json(#[from] serde_json::Error),
    /// A list holds something that is no such identifier.
    #[error("`{field}` holds {value:?}, which is no such identifier")]
    Identifier {
        /// The field.
        field: &'static str,
        /// What it holds.
        value: String,
    },
    /// A list is too long.
    #[error("`{field}` has more than {max} entries", max = limits::FILTER_LIST_MAX)]
    TooLong {
        /// The field.
        field: &'static str,
    },
}

/// A whole filter, as for /sync.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// The fields of events to return, as dot-separated paths.
    pub event_fields: Option<Vec<String>>,
    /// The format of events.
    pub event_format: EventFormat,
    /// Which presence updates to return.
    pub presence: EventFilter,
    /// Which global account data to return.
    pub account_data: EventFilter,
    /// Which rooms, and what of them.
    pub room: RoomFilter,
}

/// The format of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventFormat {
    /// For clients.
    #[default]
    Client,
    /// As servers exchange them.
    Federation,
}

/// What of rooms to return.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RoomFilter {
    /// Only these rooms.
    pub rooms: Option<Vec<String>>,
    /// Not these rooms.
    pub not_rooms: Vec<String>,
    /// Also rooms that the user has left.
    pub include_leave: bool,
    /// Typing and receipts.
    pub ephemeral: RoomEventFilter,
    /// The state before the timeline.
    pub state: RoomEventFilter,
    /// The timeline.
    pub timeline: RoomEventFilter,
    /// Account data of rooms.
    pub account_data: RoomEventFilter,
}

/// Which events to return.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct EventFilter {
    /// At most so many.
    pub limit: Option<u64>,
    /// Only these senders.
    pub senders: Option<Vec<String>>,
    /// Not these senders.
    pub not_senders: Vec<String>,
    /// Only these types; `*` stands for any sequence of characters.
    pub types: Option<Vec<String>>,
    /// Not these types.
    pub not_types: Vec<String>,
}

/// Which events of rooms to return.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RoomEventFilter {
    /// What applies to events everywhere.
    #[serde(flatten)]
    pub event: EventFilter,
    /// Only these rooms.
    pub rooms: Option<Vec<String>>,
    /// Not these rooms.
    pub not_rooms: Vec<String>,
    /// Only events whose content has a `url`, or only those that have none.
    pub contains_url: Option<bool>,
    /// Of member events only those of the senders returned.
    pub lazy_load_members: bool,
    /// Also member events that the client was sent before.
    pub include_redundant_members: bool,
    /// Notification counts by thread.
    pub unread_thread_notifications: bool,
}

impl Filter {
    /// Parses and validates a filter.
    pub fn parse(json: &str) -> Result<Self, FilterError> {
        let filter: Self = parse_object(json)?;
        filter.presence.validate()?;
        filter.account_data.validate()?;
        check_ids("rooms", filter.room.rooms.as_deref().unwrap_or_default(), '!')?;
        check_ids("not_rooms", &filter.room.not_rooms, '!')?;
        for part in [&filter.room.ephemeral, &filter.room.state, &filter.room.timeline, &filter.room.account_data] {
            part.validate()?;
        }
        check_length("event_fields", filter.event_fields.as_deref().unwrap_or_default())?;
        Ok(filter)
    }

    /// Whether events are wanted in the format in which everybody gets them.
    pub(crate) fn plain_events(&self) -> bool {
        self.event_fields.is_none() && self.event_format == EventFormat::Client
    }
}

impl RoomFilter {
    /// Whether a room is wanted at all.
    pub fn room(&self, room_id: &str) -> bool {
        matches_list(self.rooms.as_deref(), &self.not_rooms, room_id)
    }
}

impl EventFilter {
    fn validate(&self) -> Result<(), FilterError> {
        check_ids("senders", self.senders.as_deref().unwrap_or_default(), '@')?;
        check_ids("not_senders", &self.not_senders, '@')?;
        check_length("types", self.types.as_deref().unwrap_or_default())?;
        check_length("not_types", &self.not_types)
    }

    /// Whether a type is wanted.
    pub fn event_type(&self, event_type: &str) -> bool {
        let listed = |patterns: &[String]| patterns.iter().any(|pattern| matches_pattern(pattern, event_type));
        !listed(&self.not_types) && self.types.as_deref().is_none_or(listed)
    }

    /// Whether a sender is wanted.
    pub fn sender(&self, sender: &str) -> bool {
        matches_list(self.senders.as_deref(), &self.not_senders, sender)
    }

    /// Whether nothing is filtered out.
    fn is_open(&self) -> bool {
        self.senders.is_none() && self.not_senders.is_empty() && self.types.is_none() && self.not_types.is_empty()
    }

    /// The limit, at most `max`; `default` if there is none.
    pub fn limit(&self, default: usize, max: usize) -> usize {
        self.limit.map_or(default, |limit| usize::try_from(limit).unwrap_or(max)).min(max)
    }
}

impl RoomEventFilter {
    /// Parses and validates the filter of /messages and /context.
    pub fn parse(json: &str) -> Result<Self, FilterError> {
        let filter: Self = parse_object(json)?;
        filter.validate()?;
        Ok(filter)
    }

    fn validate(&self) -> Result<(), FilterError> {
        self.event.validate()?;
        check_ids("rooms", self.rooms.as_deref().unwrap_or_default(), '!')?;
        check_ids("not_rooms", &self.not_rooms, '!')
    }

    /// Whether events of a room are wanted.
    pub fn room(&self, room_id: &str) -> bool {
        matches_list(self.rooms.as_deref(), &self.not_rooms, room_id)
    }

    /// Whether an event of a room that is wanted is wanted.
    pub fn event(&self, pdu: &Pdu) -> bool {
        self.is_open()
            || (self.event.event_type(&pdu.event_type)
                && self.event.sender(pdu.sender.as_str())
                && self.contains_url.is_none_or(|wanted| wanted == has_url(pdu)))
    }

    /// Whether every event of a room that is wanted is wanted.
    pub(crate) fn is_open(&self) -> bool {
        self.event.is_open() && self.contains_url.is_none()
    }
}

/// Parses an object; by itself serde would also read the fields from a list.
fn parse_object<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, serde_json::Error> {
    if json.trim_start().starts_with('[') {
        return Err(serde::de::Error::custom("a filter is an object"));
    }
    serde_json::from_str(json)
}

fn has_url(pdu: &Pdu) -> bool {
    #[derive(Deserialize)]
    struct Content<'a> {
        #[serde(borrow)]
        url: Option<&'a serde_json::value::RawValue>,
    }
    pdu.content::<Content<'_>>().is_ok_and(|content| content.url.is_some_and(|url| url.get().starts_with('"')))
}

fn matches_list(only: Option<&[String]>, not: &[String], value: &str) -> bool {
    let listed = |list: &[String]| list.iter().any(|entry| entry == value);
    !listed(not) && only.is_none_or(listed)
}

/// Whether a text matches a pattern in which `*` stands for any sequence of characters. Linear in the text for each
/// star.
fn matches_pattern(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

fn check_ids(field: &'static str, ids: &[String], sigil: char) -> Result<(), FilterError> {
    check_length(field, ids)?;
    match ids.iter().find(|id| !id.starts_with(sigil)) {
        Some(id) => Err(FilterError::Identifier { field, value: id.clone() }),
        None => Ok(()),
    }
}

fn check_length(field: &'static str, list: &[String]) -> Result<(), FilterError> {
    if list.len() > limits::FILTER_LIST_MAX { Err(FilterError::TooLong { field }) } else { Ok(()) }
}

/// What `event_fields` leaves of an event.
#[derive(Debug)]
pub(crate) struct Fields(BTreeSet<Vec<String>>);

impl Fields {
    /// Reads the paths: a dot separates, a backslash makes a dot or a backslash part of a name.
    pub(crate) fn new(paths: &[String]) -> Self {
        Self(paths.iter().map(|path| split_path(path)).collect())
    }

    /// The event with only these fields; as it is if it is no object.
    pub(crate) fn apply(&self, json: String) -> String {
        let Ok(event) = serde_json::from_str::<serde_json::Value>(&json) else { return json };
        let mut kept = serde_json::Value::Object(serde_json::Map::new());
        for path in &self.0 {
            copy(&event, &mut kept, path);
        }
        kept.to_string()
    }
}

fn copy(from: &serde_json::Value, to: &mut serde_json::Value, path: &[String]) {
    let Some((name, rest)) = path.split_first() else { return };
    let (Some(value), Some(object)) = (from.get(name.as_str()), to.as_object_mut()) else { return };
    if rest.is_empty() {
        object.insert(name.clone(), value.clone());
    } else if value.is_object() {
        let inner = object.entry(name.clone()).or_insert_with(|| serde_json::Value::Object(serde_json::Map::new()));
        copy(value, inner, rest);
    }
}

fn split_path(path: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut characters = path.chars().peekable();
    while let Some(character) = characters.next() {
        match (character, characters.peek()) {
            ('\\', Some(&next @ ('.' | '\\'))) => {
                characters.next();
                names.last_mut().expect("begins with one").push(next);
            }
            ('.', _) => names.push(String::new()),
            _ => names.last_mut().expect("begins with one").push(character),
        }
    }
    names
}

#[cfg(test)]
mod tests;
