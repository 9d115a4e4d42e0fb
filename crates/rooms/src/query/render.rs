//! Events as a client gets them: redactions applied, `unsigned` made for the one who reads.

use std::sync::Arc;

use engram_log::Offset;
use engram_matrix::client::{self, Unsigned};
use engram_matrix::pdu::Pdu;
use engram_matrix::redact;
use engram_views::{Read, ViewError};

use super::{
    StoredEvent, Viewer, event, head, may_see, membership_at, meta, placed, state_after, state_before, state_entry,
};
use crate::types::{Membership, RoomNumber};

/// The state that an invited or knocking user gets to see (SYNC-12, SYNC-13); the create event comes first.
const STRIPPED_TYPES: [&str; 7] = [
    "m.room.create",
    "m.room.join_rules",
    "m.room.canonical_alias",
    "m.room.avatar",
    "m.room.name",
    "m.room.topic",
    "m.room.encryption",
];

/// The event in the client format, redactions applied, with `unsigned` for this viewer.
pub fn render(
    reader: &dyn Read,
    event: &StoredEvent,
    viewer: Viewer<'_>,
    with_room_id: bool,
) -> Result<String, ViewError> {
    let membership = membership_at(reader, event, viewer.user_id)?.unwrap_or(Membership::Leave);
    let mut unsigned = Unsigned {
        age: Some(age(&event.pdu, viewer.now_ms)),
        transaction_id: transaction_of(event, viewer),
        membership: Some(membership.as_str()),
        ..Unsigned::default()
    };
    let redaction = redaction_of(reader, event, viewer, with_room_id)?;
    unsigned.redacted_because = redaction.as_deref();
    let replaced = if event.meta.is_state { replaced_by(reader, event)? } else { None };
    let shown = replaced.as_ref().map(|replaced| presented_to(reader, replaced, viewer)).transpose()?;
    if let (Some(replaced), Some(shown)) = (&replaced, &shown) {
        unsigned.replaces_state = Some(replaced.pdu.event_id.as_str());
        unsigned.prev_sender = Some(replaced.pdu.sender.as_str());
        if may_see(reader, replaced, viewer.user_id)? {
            unsigned.prev_content = Some(shown.content_str());
        }
    }
    let pdu = presented(event)?;
    let pdu = if is_erased_for(reader, event, viewer, membership)? { redacted(&pdu)? } else { pdu };
    Ok(client::render(&pdu, with_room_id, &unsigned))
}

/// Stripped state of the room for an invite or a knock (SYNC-12, SYNC-13), as JSON objects: as of the member event,
/// with that event and its sender's membership.
pub fn stripped_state(
    reader: &dyn Read,
    room: RoomNumber,
    user_id: &str,
    member_event: Offset,
) -> Result<Vec<String>, ViewError> {
    let Some(row) = meta(reader, room, member_event)? else { return Ok(Vec::new()) };
    let root = state_after(reader, room, member_event, &row)?;
    let mut offsets = Vec::with_capacity(STRIPPED_TYPES.len() + 2);
    for event_type in STRIPPED_TYPES {
        offsets.extend(state_entry(reader, root, event_type, "")?);
    }
    let sender = super::pdu(reader, member_event)?.sender.clone();
    if sender != user_id {
        offsets.extend(state_entry(reader, root, "m.room.member", sender.as_str())?);
    }
    offsets.extend(state_entry(reader, root, "m.room.member", user_id)?);
    let mut stripped = Vec::with_capacity(offsets.len());
    for offset in offsets {
        if let Some(event) = event(reader, room, offset)? {
            stripped.push(client::stripped(&*presented(&event)?));
        }
    }
    Ok(stripped)
}

/// The event as anybody gets to see it: what was redacted is gone (RED-07).
pub fn presented(event: &StoredEvent) -> Result<Arc<Pdu>, ViewError> {
    if event.meta.redacted_by.is_none() { Ok(Arc::clone(&event.pdu)) } else { redacted(&event.pdu) }
}

/// [`presented`], by the event's position.
pub fn presented_at(reader: &dyn Read, room: RoomNumber, offset: Offset) -> Result<Arc<Pdu>, ViewError> {
    let pdu = super::pdu(reader, offset)?;
    let is_redacted = meta(reader, room, offset)?.is_some_and(|meta| meta.redacted_by.is_some());
    if is_redacted { redacted(&pdu) } else { Ok(pdu) }
}

/// The event as one viewer gets to see it: also without what its sender had erased.
pub fn presented_to(reader: &dyn Read, event: &StoredEvent, viewer: Viewer<'_>) -> Result<Arc<Pdu>, ViewError> {
    let membership = membership_at(reader, event, viewer.user_id)?.unwrap_or(Membership::Leave);
    let pdu = presented(event)?;
    if is_erased_for(reader, event, viewer, membership)? { redacted(&pdu) } else { Ok(pdu) }
}

/// Whether the sender has asked for erasure, and the viewer was not there when the event was sent. What is state to
/// this day belongs to the room, and stays.
fn is_erased_for(
    reader: &dyn Read,
    event: &StoredEvent,
    viewer: Viewer<'_>,
    membership: Membership,
) -> Result<bool, ViewError> {
    if membership == Membership::Join || !(viewer.is_erased)(reader, event.pdu.sender.as_str())? {
        return Ok(false);
    }
    let Some(state_key) = &event.pdu.state_key else { return Ok(true) };
    let current = head(reader, event.room)?.state;
    let Some(entry) = state_entry(reader, current, &event.pdu.event_type, state_key)? else { return Ok(true) };
    Ok(placed(reader, event.room, entry)?.map(|(offset, _)| offset) != Some(event.offset))
}

/// An event without what redaction takes.
pub fn redacted(pdu: &Pdu) -> Result<Arc<Pdu>, ViewError> {
    let damaged = |what: String| ViewError::Log(engram_log::ReadError::Damaged(format!("{}: {what}", pdu.event_id)));
    let json = redact::redact(pdu.version(), pdu.json()).map_err(|error| damaged(error.to_string()))?;
    let redacted = Pdu::parse(pdu.version(), pdu.event_id.as_str(), pdu.room_id.as_str(), json);
    redacted.map(Arc::new).map_err(|error| damaged(error.to_string()))
}

/// The redaction of a redacted event, in the client format (RED-06).
fn redaction_of(
    reader: &dyn Read,
    redacted: &StoredEvent,
    viewer: Viewer<'_>,
    with_room_id: bool,
) -> Result<Option<String>, ViewError> {
    let Some(offset) = redacted.meta.redacted_by else { return Ok(None) };
    let Some(redaction) = event(reader, redacted.room, offset)? else { return Ok(None) };
    let unsigned = Unsigned {
        age: Some(age(&redaction.pdu, viewer.now_ms)),
        transaction_id: transaction_of(&redaction, viewer),
        ..Unsigned::default()
    };
    Ok(Some(client::render(&*presented_to(reader, &redaction, viewer)?, with_room_id, &unsigned)))
}

/// The state event whose place a state event took.
fn replaced_by(reader: &dyn Read, event: &StoredEvent) -> Result<Option<StoredEvent>, ViewError> {
    let Some(state_key) = &event.pdu.state_key else { return Ok(None) };
    let before = state_before(reader, event.room, &event.meta)?;
    match state_entry(reader, before, &event.pdu.event_type, state_key)? {
        Some(offset) => super::event(reader, event.room, offset),
        None => Ok(None),
    }
}

fn transaction_of<'a>(event: &'a StoredEvent, viewer: Viewer<'_>) -> Option<&'a str> {
    let (user_id, device_id, transaction_id) = event.transaction.as_ref()?;
    (user_id == viewer.user_id && Some(device_id.as_str()) == viewer.device_id).then_some(transaction_id)
}

fn age(pdu: &Pdu, now_ms: u64) -> i64 {
    now_ms.saturating_sub(pdu.origin_server_ts).try_into().unwrap_or(i64::MAX)
}
