//! Redactions: which take effect, which wait for their target, which are kept from clients (AUTH-19, RED-09).

use std::ops::{Bound, ControlFlow};

use crate::delta::Apply;
use engram_log::Offset;
use engram_matrix::{ids, pdu::Pdu};
use engram_views::{Read, Table, ViewError};

use super::erasures;
use super::lookup::Pdus;
use super::memo::{AuthValues, Memo, RoomMemo};
use crate::codec::room_offset_key;
use crate::counters;
use crate::limits::PENDING_REDACTIONS_MAX;
use crate::query::{self, EventMeta, RoomInfo, Verdict};
use crate::rows;
use crate::state::Root;
use crate::tables::{EVENTS, PENDING_REDACTIONS};

/// Applies an accepted redaction to its target, or lets it wait. Returns whether it is to be withheld from clients.
pub(super) fn apply(
    memo: &mut Memo,
    view: &mut Apply<'_>,
    room: &RoomMemo,
    offset: Offset,
    redaction: &Pdu,
    before: Root,
) -> Result<bool, ViewError> {
    let Some(target_id) = &redaction.redacts else { return Ok(true) };
    let Some((target_room, target)) = query::locate(view, target_id.as_str())? else {
        wait(memo, view, &room.info, offset, redaction, before)?;
        return Ok(true);
    };
    if target_room != room.info.number {
        return Ok(true);
    }
    let Some(mut meta) = query::meta(view, target_room, target)? else { return Ok(true) };
    let target_event = memo.pdus.at(view, target_room, target)?;
    if meta.verdict == Verdict::Rejected
        || !is_entitled(view, &memo.pdus, &room.info, redaction, &target_event, before)?
    {
        return Ok(true);
    }
    if meta.redacted_by.is_none() {
        meta.redacted_by = Some(offset);
        erasures::list(view, target, &target_event)?;
        view.put(&EVENTS, &room_offset_key(target_room, target), &rows::encode_meta(target, &meta));
    }
    Ok(false)
}

/// Lets a redaction wait for its target, unless one waits already that takes effect whenever this one does: one by the
/// power to redact others' events, or one by the same server.
fn wait(
    memo: &mut Memo,
    view: &mut Apply<'_>,
    room: &RoomInfo,
    offset: Offset,
    redaction: &Pdu,
    before: Root,
) -> Result<(), ViewError> {
    let Some(target) = &redaction.redacts else { return Ok(()) };
    let sender = redaction.sender.as_str();
    let server = ids::server_name_of(sender).unwrap_or(sender);
    let right = if has_power(view, &memo.pdus, room, sender, before)? { "" } else { server };
    let known = waiting(view, room, target.as_str())?;
    assert!(known.len() <= PENDING_REDACTIONS_MAX + 1, "no more wait for one event than may");
    let of_servers = known.iter().filter(|(_, right)| !right.is_empty()).count();
    if known.iter().any(|(_, known)| known == right) || (!right.is_empty() && of_servers == PENDING_REDACTIONS_MAX) {
        return counters::next(view, "redundant_redactions").map(drop);
    }
    view.put(&PENDING_REDACTIONS, &pending_key(room, target.as_str(), offset), right.as_bytes());
    memo.pending_redactions = Some(true);
    Ok(())
}

/// The redactions of a room that wait for an event, in order, with the server by whose right, or nothing if it is by
/// power.
fn waiting(view: &dyn Read, room: &RoomInfo, event_id: &str) -> Result<Vec<(Offset, String)>, ViewError> {
    let (from, to) = (pending_key(room, event_id, Offset::ZERO), pending_key(room, event_id, Offset(u64::MAX)));
    let mut waiting = Vec::new();
    let mut visit = |key: &[u8], row: &[u8]| {
        // Keys of longer event IDs lie in between.
        if key.len() == from.len() {
            let offset = key[key.len() - 8..].try_into().expect("eight bytes were sliced");
            waiting.push((Offset::from_be_bytes(offset), String::from_utf8_lossy(row).into_owned()));
        }
        ControlFlow::Continue(())
    };
    view.scan(&PENDING_REDACTIONS, Bound::Included(&from), Bound::Included(&to), false, &mut visit)?;
    Ok(waiting)
}

/// A room, the ID of an event that it does not know, and a redaction of it.
fn pending_key(room: &RoomInfo, event_id: &str, offset: Offset) -> Vec<u8> {
    let mut key = rows::room_event_key(room.number, event_id);
    key.extend_from_slice(&offset.to_be_bytes());
    key
}

/// The redaction among those that waited for this event which takes effect, if one does; it is shown from now on.
pub(super) fn settle(
    memo: &mut Memo,
    view: &mut Apply<'_>,
    room: &RoomInfo,
    target: &Pdu,
) -> Result<Option<Offset>, ViewError> {
    if !any_pending(memo, view)? {
        return Ok(None);
    }
    let mut effective = None;
    for (offset, _) in waiting(view, room, target.event_id.as_str())? {
        let Some(mut meta) = query::meta(view, room.number, offset)? else { continue };
        view.remove(&PENDING_REDACTIONS, &pending_key(room, target.event_id.as_str(), offset));
        let redaction = memo.pdus.at(view, room.number, offset)?;
        let before = query::state_before(view, room.number, &meta)?;
        if is_entitled(view, &memo.pdus, room, &redaction, target, before)? {
            meta.is_withheld = false;
            view.put(&EVENTS, &room_offset_key(room.number, offset), &rows::encode_meta(offset, &meta));
            effective = effective.or(Some(offset));
        }
    }
    Ok(effective)
}

/// Whether the sender may redact the target: by power, or since both are of one server. In versions 1 and 2 the
/// authorization rules have decided that already.
fn is_entitled(
    view: &dyn Read,
    pdus: &Pdus,
    room: &RoomInfo,
    redaction: &Pdu,
    target: &Pdu,
    before: Root,
) -> Result<bool, ViewError> {
    let (sender, author) = (redaction.sender.as_str(), target.sender.as_str());
    Ok(ids::server_name_of(sender) == ids::server_name_of(author) || has_power(view, pdus, room, sender, before)?)
}

/// Whether somebody may redact whatever others have sent.
fn has_power(view: &dyn Read, pdus: &Pdus, room: &RoomInfo, sender: &str, before: Root) -> Result<bool, ViewError> {
    if room.version.rules().authorization.special_case_room_redaction {
        return Ok(true);
    }
    let values = AuthValues::load(view, pdus, room, before)?;
    Ok(values.is_some_and(|values| values.levels.can_redact_others(sender)))
}

fn any_pending(memo: &mut Memo, view: &dyn Read) -> Result<bool, ViewError> {
    if let Some(any) = memo.pending_redactions {
        return Ok(any);
    }
    let mut any = false;
    let mut visit = |_: &[u8], _: &[u8]| {
        any = true;
        ControlFlow::Break(())
    };
    view.scan(&PENDING_REDACTIONS, Bound::Unbounded, Bound::Unbounded, false, &mut visit)?;
    memo.pending_redactions = Some(any);
    Ok(any)
}

/// The offsets that a table has for an event's ID, in order.
pub(super) fn offsets_of(view: &dyn Read, table: &Table, event_id: &str) -> Result<Vec<Offset>, ViewError> {
    let (from, to) = (offset_key(event_id, Offset::ZERO), offset_key(event_id, Offset(u64::MAX)));
    let mut offsets = Vec::new();
    let mut visit = |key: &[u8], _: &[u8]| {
        // Keys of longer event IDs lie in between.
        if key.len() == from.len() {
            let offset = key[key.len() - 8..].try_into().expect("eight bytes were sliced");
            offsets.push(Offset::from_be_bytes(offset));
        }
        ControlFlow::Continue(())
    };
    view.scan(table, Bound::Included(&from), Bound::Included(&to), false, &mut visit)?;
    Ok(offsets)
}

/// An event's ID, and an offset that stands beside it.
pub(super) fn offset_key(event_id: &str, offset: Offset) -> Vec<u8> {
    let mut key = rows::event_id_key(event_id);
    key.extend_from_slice(&offset.to_be_bytes());
    key
}

/// Whether an event is a redaction that the rules have let pass.
pub(super) fn is_effective(event: &Pdu, meta: &EventMeta) -> bool {
    event.event_type == "m.room.redaction" && !event.is_state() && meta.verdict == Verdict::Accepted
}
