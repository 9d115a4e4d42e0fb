//! Authorization: may this event be, given this state?
//!
//! [`check`] is the whole of the room version's rules, by ruma. Its two halves stand alone, since an event received
//! from another server is judged against three states ([`check_dependent`]) but only once against itself
//! ([`check_independent`]).
//! [`check_ordinary`] is the short way for events without rules of their own, such as messages: the same verdict
//! from values parsed once per room and kept.

mod message;
pub mod parsed;

use std::{fmt, sync::Arc};

use ruma::{
    UserId,
    events::{StateEventType, TimelineEventType},
    state_res,
};
use serde::Deserialize;
use serde_json::value::RawValue;

pub use self::message::{check_ordinary, is_ordinary};
pub use crate::power::{Creation, Level, PowerLevels};
use crate::{Pdu, RoomVersion};

/// The event is not allowed; the text says by which rule, for operators and clients.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Denied(String);

impl Denied {
    /// A denial for the stated reason.
    pub fn new(reason: impl fmt::Display) -> Self {
        Self(reason.to_string())
    }

    /// The reason.
    pub fn reason(&self) -> &str {
        &self.0
    }
}

/// The state an event is judged against.
pub trait StateMap {
    /// The event that holds for a type and state key.
    fn get(&self, event_type: &str, state_key: &str) -> Option<Arc<Pdu>>;
}

/// The (type, state key) pairs from which an event's `auth_events` are taken, as far as the state has them. A member
/// event whose content cannot be read gets the pairs that do not depend on it: it will be denied in any case.
pub fn auth_types(
    version: &RoomVersion,
    event_type: &str,
    sender: &str,
    state_key: Option<&str>,
    content: &str,
) -> Vec<(String, String)> {
    if event_type == "m.room.create" {
        return Vec::new();
    }
    if event_type == "m.room.member"
        && let Some(types) = member_auth_types(version, sender, state_key, content)
    {
        return types;
    }
    let pair = |event_type: &str, state_key: &str| (event_type.to_owned(), state_key.to_owned());
    let mut types = vec![pair("m.room.power_levels", ""), pair("m.room.member", sender)];
    if !version.create_is_room_id() {
        types.push(pair("m.room.create", ""));
    }
    types
}

fn member_auth_types(
    version: &RoomVersion,
    sender: &str,
    state_key: Option<&str>,
    content: &str,
) -> Option<Vec<(String, String)>> {
    let sender = <&UserId>::try_from(sender).ok()?;
    let content: &RawValue = serde_json::from_str(content).ok()?;
    let rules = &version.rules().authorization;
    let types =
        state_res::auth_types_for_event(&TimelineEventType::RoomMember, sender, state_key, content, rules).ok()?;
    Some(types.into_iter().map(|(event_type, state_key)| (event_type.to_string(), state_key)).collect())
}

/// The (type, state key) pairs of the state that the rules read for an event; none if its content cannot be read, and
/// it is allowed by no state.
pub fn reads(version: &RoomVersion, event: &Pdu) -> Option<Vec<(String, String)>> {
    let content: &RawValue = serde_json::from_str(event.content_str()).ok()?;
    let (rules, state_key) = (&version.rules().authorization, event.state_key.as_deref());
    let types = state_res::auth_types_for_event(event.kind(), &event.sender, state_key, content, rules).ok()?;
    Some(types.into_iter().map(|(event_type, state_key)| (event_type.to_string(), state_key)).collect())
}

/// All rules of the room version: those on the event and its `auth_events`, and those on the state.
pub fn check(
    version: &RoomVersion,
    event: &Pdu,
    state: &dyn StateMap,
    fetch_event: &dyn Fn(&str) -> Option<Arc<Pdu>>,
) -> Result<(), Denied> {
    check_independent(version, event, fetch_event)?;
    check_dependent(version, event, state)
}

/// The rules that look at the event and its `auth_events` only; to be checked once, on receipt.
pub fn check_independent(
    version: &RoomVersion,
    event: &Pdu,
    fetch_event: &dyn Fn(&str) -> Option<Arc<Pdu>>,
) -> Result<(), Denied> {
    if event.event_type == "m.room.create" {
        check_declared_version(version, event)?;
    }
    let rules = &version.rules().authorization;
    state_res::check_state_independent_auth_rules(rules, event, |id| fetch_event(id.as_str())).map_err(Denied)
}

/// The rules that look at a state of the room; to be checked against each of the states that matter.
pub fn check_dependent(version: &RoomVersion, event: &Pdu, state: &dyn StateMap) -> Result<(), Denied> {
    let rules = &version.rules().authorization;
    let fetch_state = |event_type: &StateEventType, key: &str| state.get(&event_type.to_string(), key);
    state_res::check_state_dependent_auth_rules(rules, event, fetch_state).map_err(Denied)
}

/// ruma takes the room version as given; that the create event names it is checked here.
fn check_declared_version(version: &RoomVersion, create: &Pdu) -> Result<(), Denied> {
    #[derive(Deserialize)]
    struct Content {
        #[serde(default)]
        room_version: Option<String>,
    }
    let content: Content = create.content().map_err(Denied::new)?;
    let declared = content.room_version.as_deref().unwrap_or("1");
    if declared == version.id() {
        return Ok(());
    }
    Err(Denied(format!("create event declares room version {declared:?} where {:?} applies", version.id())))
}

#[cfg(test)]
mod tests;
