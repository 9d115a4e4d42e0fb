//! The verdict on an event: the checks on receipt of the server-server API, from the authorization rules on (AUTH-01).

use std::sync::Arc;

use engram_matrix::auth::{self, Denied};
use engram_matrix::pdu::{self, Pdu};
use engram_views::{Read, ViewError};

use super::lookup::{ListedState, Lookup, Pdus, StoredState};
use super::memo::{ApprovedAuth, RoomMemo};
use crate::query::Verdict;
use crate::state::Root;
use crate::types::Membership;

/// A verdict and, unless accepted, why.
pub(super) type Judgement = (Verdict, Option<String>);

/// Judges an event of the live order, given the state before it.
pub(super) fn judge(
    view: &dyn Read,
    pdus: &Pdus,
    room: &mut RoomMemo,
    event: &Pdu,
    before: Root,
) -> Result<Judgement, ViewError> {
    if event.is_state_of("m.room.create", "") && room.head.state != Root::EMPTY {
        return Ok(rejected("the room has a create event already"));
    }
    if before == room.head.state
        && let Some(judgement) = judge_by_memo(view, pdus, room, event)?
    {
        return Ok(judgement);
    }
    let lookup = Lookup::new(view, pdus, room.info.number);
    let judgement = judge_in_full(&lookup, event, before, room.head.state);
    lookup.finish().map(|()| judgement)
}

/// Judges an event without a place in the order, by its auth events alone.
pub(super) fn judge_outlier(
    view: &dyn Read,
    pdus: &Pdus,
    room: &RoomMemo,
    event: &Pdu,
) -> Result<Judgement, ViewError> {
    let lookup = Lookup::new(view, pdus, room.info.number);
    let judgement = match check_by_auth_events(&lookup, event) {
        Ok(()) => (Verdict::Outlier, None),
        Err(denied) => rejected(format_args!("by its auth events: {denied}")),
    };
    lookup.finish().map(|()| judgement)
}

fn rejected(reason: impl std::fmt::Display) -> Judgement {
    (Verdict::Rejected, Some(reason.to_string()))
}

fn judge_in_full(lookup: &Lookup<'_>, event: &Pdu, before: Root, current: Root) -> Judgement {
    if let Err(denied) = check_by_auth_events(lookup, event) {
        return rejected(format_args!("by its auth events: {denied}"));
    }
    let by_state = |root| auth::check_dependent(event.version(), event, &StoredState { lookup, root });
    if let Err(denied) = by_state(before) {
        return rejected(format_args!("by the state before it: {denied}"));
    }
    if before != current
        && let Err(denied) = by_state(current)
    {
        return (Verdict::SoftFailed, Some(format!("by the room's current state: {denied}")));
    }
    (Verdict::Accepted, None)
}

/// The rules on the event itself and those against the state that its auth events amount to.
fn check_by_auth_events(lookup: &Lookup<'_>, event: &Pdu) -> Result<(), Denied> {
    auth::check_independent(event.version(), event, &|id| lookup.event(id))?;
    let mut listed: Vec<Arc<Pdu>> = event.auth_events.iter().filter_map(|id| lookup.event(id.as_str())).collect();
    // Version 12 does not list the create event: the room's ID names it.
    if event.version().create_is_room_id()
        && let Some(create) = pdu::create_event_id_of_room(event.room_id.as_str())
    {
        listed.extend(lookup.event(&create));
    }
    auth::check_dependent(event.version(), event, &ListedState(listed))
}

/// The short way for an ordinary event on the current state whose auth events are those of that state: then all three
/// checks are one, on values that are parsed already. None if the event is of another kind.
fn judge_by_memo(
    view: &dyn Read,
    pdus: &Pdus,
    room: &mut RoomMemo,
    event: &Pdu,
) -> Result<Option<Judgement>, ViewError> {
    if !auth::is_ordinary(event.version(), &event.event_type) {
        return Ok(None);
    }
    let Some(approved) = approve(view, pdus, room, event)? else { return Ok(None) };
    let Some(values) = room.auth(view, pdus)? else { return Ok(None) };
    let member = room.member(view, event.sender.as_str())?;
    let listed = (approved.power, approved.member);
    let lists_create = approved.create == Some(values.create);
    if listed != (values.power, member.map(|(_, offset)| offset)) || !lists_create {
        return Ok(None);
    }
    let membership = member.map_or(Membership::Leave, |(membership, _)| membership);
    Ok(Some(match auth::check_ordinary(event, &values.creation, &values.levels, membership) {
        Ok(()) => (Verdict::Accepted, None),
        Err(denied) => rejected(format_args!("by its auth events: {denied}")),
    }))
}

/// What the auth events of an ordinary event are, if they pass the rules that do not depend on state. Those look at
/// the sender and the list alone, so that the answer can be kept.
fn approve(view: &dyn Read, pdus: &Pdus, room: &mut RoomMemo, event: &Pdu) -> Result<Option<ApprovedAuth>, ViewError> {
    let key = approval_key(event);
    if let Some(approved) = room.approved(&key) {
        return Ok(Some(approved));
    }
    let lookup = Lookup::new(view, pdus, room.info.number);
    let passed = auth::check_independent(event.version(), event, &|id| lookup.event(id)).is_ok();
    let mut approved = ApprovedAuth::default();
    if event.version().create_is_room_id() {
        approved.create = Some(room.info.create);
    }
    for (offset, auth_event) in event.auth_events.iter().filter_map(|id| lookup.located(id.as_str())) {
        match auth_event.event_type.as_str() {
            "m.room.create" => approved.create = Some(offset),
            "m.room.power_levels" => approved.power = Some(offset),
            _ => approved.member = Some(offset),
        }
    }
    lookup.finish()?;
    if !passed {
        return Ok(None);
    }
    room.approve(key, approved);
    Ok(Some(approved))
}

fn approval_key(event: &Pdu) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(event.sender.as_bytes());
    for id in &event.auth_events {
        hasher.update(b"\n");
        hasher.update(id.as_bytes());
    }
    let mut key = [0; 16];
    hasher.finalize_xof().fill(&mut key);
    key
}
