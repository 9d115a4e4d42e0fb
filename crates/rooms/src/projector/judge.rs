//! The verdict on an event: the checks on receipt of the server-server API, from the authorization rules on (AUTH-01).

use std::sync::Arc;

use engram_matrix::auth::{self, Denied};
use engram_matrix::pdu::{self, Pdu};
use engram_views::{Read, ViewError};

use super::lookup::{ListedState, Lookup, StoredState};
use super::memo::{AuthValues, Member, Memo, RoomMemo};
use super::past;
use super::rules::{Check, Rules};
use crate::query::Verdict;
use crate::state::Root;
use crate::types::Membership;

/// A verdict and, unless accepted, why.
pub(super) type Judgement = (Verdict, Option<String>);

/// Judges an event that has a place, given the state before it, and for one of the live order the current state.
pub(super) fn judge(
    view: &dyn Read,
    memo: &mut Memo,
    room: &mut RoomMemo,
    event: &Pdu,
    before: Root,
    current: Option<Root>,
) -> Result<Judgement, ViewError> {
    if event.is_state_of("m.room.create", "") && !past::may_create(view, &memo.pdus, room, event)? {
        return Ok(rejected("the room has a create event already"));
    }
    if current == Some(before)
        && memo.rules.are_standard()
        && let Some(judgement) = judge_by_memo(view, memo, room, event)?
    {
        return Ok(judgement);
    }
    let lookup = Lookup::new(view, &memo.pdus, room.info.number);
    let judgement = judge_in_full(&memo.rules, &lookup, event, before, current);
    lookup.finish().map(|()| judgement)
}

/// Judges an event without a place in the order, by its auth events alone, if all of them are known.
pub(super) fn judge_outlier(
    view: &dyn Read,
    memo: &Memo,
    room: &RoomMemo,
    event: &Pdu,
) -> Result<Judgement, ViewError> {
    let lookup = Lookup::new(view, &memo.pdus, room.info.number);
    let missing = event.auth_events.iter().find(|id| lookup.event(id.as_str()).is_none());
    let judgement = match (missing, check_by_auth_events(&memo.rules, &lookup, event)) {
        (Some(id), _) => (Verdict::Outlier, Some(format!("an auth event is not known: {id}"))),
        (None, Ok(())) => (Verdict::Outlier, None),
        (None, Err(denied)) => rejected(format_args!("by its auth events: {denied}")),
    };
    lookup.finish().map(|()| judgement)
}

fn rejected(reason: impl std::fmt::Display) -> Judgement {
    (Verdict::Rejected, Some(reason.to_string()))
}

fn judge_in_full(rules: &Rules, lookup: &Lookup<'_>, event: &Pdu, before: Root, current: Option<Root>) -> Judgement {
    if let Err(denied) = check_by_auth_events(rules, lookup, event) {
        return rejected(format_args!("by its auth events: {denied}"));
    }
    let by_state = |check, root| {
        if !rules.make(check) {
            return Ok(());
        }
        auth::check_dependent(rules.version(event), event, &StoredState { lookup, root })
    };
    if let Err(denied) = by_state(Check::StateBefore, before) {
        return rejected(format_args!("by the state before it: {denied}"));
    }
    if let Some(current) = current.filter(|current| *current != before)
        && let Err(denied) = by_state(Check::CurrentState, current)
    {
        return (Verdict::SoftFailed, Some(format!("by the room's current state: {denied}")));
    }
    (Verdict::Accepted, None)
}

/// The rules on the event itself and those against the state that its auth events amount to.
fn check_by_auth_events(rules: &Rules, lookup: &Lookup<'_>, event: &Pdu) -> Result<(), Denied> {
    if !rules.make(Check::AuthEvents) {
        return Ok(());
    }
    let version = rules.version(event);
    auth::check_independent(version, event, &|id| lookup.event(id))?;
    let mut listed: Vec<Arc<Pdu>> = event.auth_events.iter().filter_map(|id| lookup.event(id.as_str())).collect();
    // Version 12 does not list the create event: the room's ID names it.
    if event.version().create_is_room_id()
        && let Some(create) = pdu::create_event_id_of_room(event.room_id.as_str())
    {
        listed.extend(lookup.event(&create));
    }
    auth::check_dependent(version, event, &ListedState(listed))
}

/// The short way for an ordinary event on the current state whose auth events are those of that state: then all three
/// checks are one, on values that are parsed already. None if the event is of another kind.
fn judge_by_memo(
    view: &dyn Read,
    memo: &mut Memo,
    room: &mut RoomMemo,
    event: &Pdu,
) -> Result<Option<Judgement>, ViewError> {
    if !auth::is_ordinary(event.version(), &event.event_type) {
        return Ok(None);
    }
    let Some(values) = room.auth(view, &memo.pdus)? else { return Ok(None) };
    let member = memo.member(view, room.info.number, event.sender.as_str())?;
    if !names_exactly(event, &values, member.as_deref()) || member.as_ref().is_some_and(|member| member.is_rejected) {
        return Ok(None);
    }
    let membership = member.map_or(Membership::Leave, |member| member.membership);
    Ok(Some(match auth::check_ordinary(event, &values.creation, &values.levels, membership) {
        Ok(()) => (Verdict::Accepted, None),
        Err(denied) => rejected(format_args!("by its auth events: {denied}")),
    }))
}

/// Whether the auth events are exactly those of the current state that permit an ordinary event, each once. Then they
/// pass the rules that do not depend on state: no state holds an event of another room, and rejected ones are looked
/// for.
fn names_exactly(event: &Pdu, values: &AuthValues, member: Option<&Member>) -> bool {
    let create = (!event.version().create_is_room_id()).then(|| values.create.as_str());
    let power = values.power.as_ref().map(|id| id.as_str());
    let expected = || [create, power, member.map(|member| &*member.event_id)].into_iter().flatten();
    let is_listed = |wanted: &str| event.auth_events.iter().any(|id| id.as_str() == wanted);
    expected().count() == event.auth_events.len() && expected().all(is_listed)
}
