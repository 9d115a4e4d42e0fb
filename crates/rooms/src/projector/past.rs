//! What was before: states that other servers gave, and the places of events that came later than those that follow
//! them.
//!
//! An event of the past gets its place in the timeline as soon as one that follows it has one; which of them arrives
//! first does not matter.
//! [`crate::query::history`] has the order.

use std::collections::BTreeMap;

use crate::delta::Apply;
use engram_log::Offset;
use engram_log_format::v1::{ArchivedInput, StateGiven};
use engram_matrix::pdu::{EventIds, Pdu};
use engram_views::{Read, ViewError};

use super::lookup::Pdus;
use super::memo::RoomMemo;
use crate::codec::room_offset_key;
use crate::query::{self, Place, Position};
use crate::state::{self, Root};
use crate::tables::{EVENTS, GIVEN_STATES, MISSING, PAST};
use crate::types::RoomNumber;
use crate::{counters, rows};

/// Takes the state before an event in. Of its events only those count that are known, and that their own auth events
/// permit.
pub(super) fn take_state(
    view: &mut Apply<'_>,
    pdus: &Pdus,
    room: RoomNumber,
    given: &ArchivedInput<StateGiven>,
) -> Result<(), ViewError> {
    let mut entries = BTreeMap::new();
    for event_id in given.state.iter() {
        let Some((at, offset)) = query::locate(view, event_id)?.filter(|(at, _)| *at == room) else {
            counters::next(view, "not_in_given_state")?;
            continue;
        };
        let event = pdus.at(view, at, offset)?;
        if let Some(state_key) = event.state_key.as_ref().filter(|_| !event.rejected) {
            entries.insert(state::intern(view, &pdus.states, &event.event_type, state_key)?, Some(offset));
        }
    }
    let entries: Vec<_> = entries.into_iter().collect();
    let root = state::update(view, &pdus.states, Root::EMPTY, &entries, None)?;
    view.put(&GIVEN_STATES, &rows::room_event_key(room, &given.event_id), &rows::encode_given(root, given.anew));
    Ok(())
}

/// The state before an event as another server gave it, and whether the room begins anew with the event.
pub(super) fn given_state(
    view: &dyn Read,
    room: RoomNumber,
    event_id: &str,
) -> Result<Option<(Root, bool)>, ViewError> {
    let row = view.get(&GIVEN_STATES, &rows::room_event_key(room, event_id))?;
    row.map(|row| rows::decode_given(&row)).transpose()
}

/// An event has come into the graph of its room, perhaps after those that follow it: gives it its place in the
/// timeline, and with it the events of the past that it follows. Those that are not there are missing from now on.
pub(super) fn settle(
    view: &mut Apply<'_>,
    pdus: &Pdus,
    room: &mut RoomMemo,
    offset: Offset,
    event: &Pdu,
    place: Place,
) -> Result<(), ViewError> {
    let number = room.info.number;
    room.forget_missing();
    let key = rows::room_event_key(number, event.event_id.as_str());
    let anchor = match place {
        Place::Apart => return Ok(()),
        Place::Live => {
            view.remove(&MISSING, &key);
            offset
        }
        Place::Past(_) => {
            // As long as nothing that follows it has a place, it has none.
            let Some(row) = view.get(&MISSING, &key)? else { return Ok(()) };
            let (_, anchor) = rows::decode_missing(&key, &row)?;
            view.remove(&MISSING, &key);
            put_in_place(view, number, offset, anchor)?;
            anchor
        }
    };
    place_parents(view, pdus, number, event.prev_events.clone(), anchor)
}

/// Gives the events of the past among these, and those that they follow in turn, the anchor; notes which are missing.
fn place_parents(
    view: &mut Apply<'_>,
    pdus: &Pdus,
    room: RoomNumber,
    parents: EventIds,
    anchor: Offset,
) -> Result<(), ViewError> {
    let mut pending = vec![parents];
    while let Some(parents) = pending.pop() {
        for parent in parents {
            let located = query::locate(view, parent.as_str())?.filter(|(at, _)| *at == room);
            let known = match located {
                Some((_, offset)) => query::placed(view, room, offset)?,
                None => None,
            };
            match known {
                Some((offset, meta)) if meta.place == Place::Past(None) => {
                    put_in_place(view, room, offset, anchor)?;
                    pending.push(pdus.at(view, room, offset)?.prev_events.clone());
                }
                Some((_, meta)) if meta.place != Place::Apart => {}
                _ => note_missing(view, room, parent.as_str(), anchor)?,
            }
        }
    }
    Ok(())
}

fn put_in_place(view: &mut Apply<'_>, room: RoomNumber, offset: Offset, anchor: Offset) -> Result<(), ViewError> {
    let missing = query::malformed(&EVENTS, "an event of the past has no row");
    let mut meta = query::meta(view, room, offset)?.ok_or(missing)?;
    meta.place = Place::Past(Some(anchor));
    view.put(&EVENTS, &room_offset_key(room, offset), &rows::encode_meta(offset, &meta));
    let position = Position::of(offset, &meta).expect("an event with an anchor has a position");
    view.put(&PAST, &position.past_key(room), &[]);
    Ok(())
}

/// The first of those that follow a missing event is where its past belongs.
fn note_missing(view: &mut Apply<'_>, room: RoomNumber, event_id: &str, anchor: Offset) -> Result<(), ViewError> {
    let key = rows::room_event_key(room, event_id);
    if let Some(row) = view.get(&MISSING, &key)?
        && rows::decode_missing(&key, &row)?.1 <= anchor
    {
        return Ok(());
    }
    view.put(&MISSING, &key, &rows::encode_anchor(anchor));
    Ok(())
}

/// Whether a create event may be that of the room: there is no other, unless that one was rejected.
pub(super) fn may_create(view: &dyn Read, pdus: &Pdus, room: &RoomMemo, event: &Pdu) -> Result<bool, ViewError> {
    let number = room.info.number;
    let first = pdus.at(view, number, room.info.create)?;
    Ok(first.event_id == event.event_id || first.rejected)
}
