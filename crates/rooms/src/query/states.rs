//! The state of a room before, after and at.

use std::ops::{Bound, ControlFlow};

use engram_log::Offset;
use engram_views::{Read, Table, Value, ViewError};

use super::{EventMeta, Verdict, malformed};
use crate::codec::{Reader, offset_in_key, room_offset_key};
use crate::rows;
use crate::state::{self, Root};
use crate::tables::{HEADS, ROOTS, STATE_CHANGES};
use crate::types::RoomNumber;

/// The state before an event.
pub fn state_before(reader: &dyn Read, room: RoomNumber, meta: &EventMeta) -> Result<Root, ViewError> {
    if meta.state_is_resolved {
        return resolved_root(reader, room, meta.state_before);
    }
    root_at(reader, room, meta.state_before)
}

/// The state after an event: what it sets takes effect unless it was rejected.
pub fn state_after(reader: &dyn Read, room: RoomNumber, offset: Offset, meta: &EventMeta) -> Result<Root, ViewError> {
    match meta.verdict {
        Verdict::Accepted | Verdict::SoftFailed if meta.is_state => root_at(reader, room, offset),
        _ => state_before(reader, room, meta),
    }
}

/// The room's current state as it was at a position: after the last event or change at or before it.
pub fn state_at(reader: &dyn Read, room: RoomNumber, at: Offset) -> Result<Root, ViewError> {
    // Nothing has changed since, as for every room in which people just talk: the head has the answer.
    let head = reader.get(&HEADS, &room.0.to_be_bytes())?.ok_or(malformed(&HEADS, "a room has no head"))?;
    let (current, since) = rows::decode_head_state(&head)?;
    if since <= at {
        return Ok(current);
    }
    let by_event = last_at(reader, &ROOTS, room, at)?;
    let by_change = last_at(reader, &STATE_CHANGES, room, at)?;
    match (by_event, by_change) {
        (Some((event, _)), Some((change, row))) if change >= event => root_in(&STATE_CHANGES, &row),
        (Some((_, row)), _) => root_in(&ROOTS, &row),
        (None, Some((_, row))) => root_in(&STATE_CHANGES, &row),
        (None, None) => Ok(Root::EMPTY),
    }
}

/// The entry of a state.
pub fn state_entry(
    reader: &dyn Read,
    root: Root,
    event_type: &str,
    state_key: &str,
) -> Result<Option<Offset>, ViewError> {
    match state::pair(reader, event_type, state_key)? {
        Some(pair) => state::get(reader, root, pair),
        None => Ok(None),
    }
}

/// What a state says, in 32 bytes that are the same on every server: BLAKE3 over type, state key and event ID of its
/// entries in order, each followed by a zero byte. A root names offsets, and is a server's own.
pub fn state_digest(reader: &dyn Read, root: Root) -> Result<[u8; 32], ViewError> {
    let mut entries = Vec::new();
    for (pair, offset) in state::entries(reader, root)? {
        let (event_type, state_key) = state::pair_name(reader, pair)?;
        entries.push((event_type, state_key, super::event_id(reader, offset)?));
    }
    entries.sort_unstable();
    let mut hasher = blake3::Hasher::new();
    for (event_type, state_key, event_id) in &entries {
        for part in [event_type.as_str(), state_key.as_str(), event_id] {
            hasher.update(part.as_bytes()).update(&[0]);
        }
    }
    Ok(*hasher.finalize().as_bytes())
}

/// The root after the event at a position; zero is the empty state.
pub(crate) fn root_at(reader: &dyn Read, room: RoomNumber, offset: Offset) -> Result<Root, ViewError> {
    if offset == Offset::ZERO {
        return Ok(Root::EMPTY);
    }
    let row = reader.get(&ROOTS, &room_offset_key(room, offset))?;
    root_in(&ROOTS, &row.ok_or(malformed(&ROOTS, "an event's state is missing"))?)
}

fn resolved_root(reader: &dyn Read, room: RoomNumber, offset: Offset) -> Result<Root, ViewError> {
    let row = reader.get(&ROOTS, &resolved_root_key(room, offset))?;
    root_in(&ROOTS, &row.ok_or(malformed(&ROOTS, "a resolved state is missing"))?)
}

/// Key of the root before an event that joins branches.
pub(crate) fn resolved_root_key(room: RoomNumber, offset: Offset) -> [u8; 13] {
    let mut key = [0; 13];
    key[..12].copy_from_slice(&room_offset_key(room, offset));
    key
}

fn root_in(table: &'static Table, row: &[u8]) -> Result<Root, ViewError> {
    Reader::new(table.name, row).array().map(Root)
}

/// The last row of a room at or before a position.
fn last_at(
    reader: &dyn Read,
    table: &'static Table,
    room: RoomNumber,
    at: Offset,
) -> Result<Option<(Offset, Value)>, ViewError> {
    let (from, to) = (room_offset_key(room, Offset::ZERO), room_offset_key(room, at));
    let mut last = None;
    let mut visit = |key: &[u8], row: &[u8]| {
        if key.len() > to.len() {
            return ControlFlow::Continue(());
        }
        last = Some((offset_in_key(table.name, key), Value::from(row)));
        ControlFlow::Break(())
    };
    reader.scan(table, Bound::Included(&from), Bound::Included(&to), true, &mut visit)?;
    last.map(|(offset, row)| Ok((offset?, row))).transpose()
}
