//! What an event does to its room: extremities, current state, members, and the delta that tells of it.

use std::sync::Arc;

use crate::delta::Apply;
use engram_log::Offset;
use engram_matrix::pdu::Pdu;
use engram_views::{Read as _, ViewError};

use super::credit::{self, Account, Terms};
use super::memo::{Member, Memo, RoomMemo, Tip, sorted_roots};
use crate::codec::{room_name_key, room_offset_key, user_room_key};
use crate::counters;
use crate::delta::{MemberChange, RoomDelta};
use crate::extremities;
use crate::limits::EXTREMITIES_CROWDED;
use crate::query::{EventMeta, Extremity, Verdict};
use crate::rows;
use crate::state::{Change, Remembering, Root};
use crate::tables::{HEADS, MEMBERS, STATE_CHANGES, USER_ROOMS};
use crate::types::Membership;

/// An event that has its place and its verdict.
pub(super) struct Step<'a> {
    pub(super) offset: Offset,
    pub(super) event: &'a Arc<Pdu>,
    pub(super) meta: &'a EventMeta,
    pub(super) before: Root,
    pub(super) after: Tip,
    /// The room begins anew with the event: nothing from before is a branch of it any more.
    pub(super) begins_anew: bool,
    /// The current state stands for the one before the event, which the room could not pay for.
    pub(super) is_unresolved: bool,
}

/// Moves the room past an event.
pub(super) fn advance(
    memo: &mut Memo,
    view: &mut Apply<'_>,
    room: &mut RoomMemo,
    step: &Step<'_>,
) -> Result<(), ViewError> {
    let former = room.head.state;
    if step.meta.verdict == Verdict::Accepted {
        extend_graph(room, step);
        settle_current(memo, view, room, step)?;
    }
    let changes = state_changes(memo, view, room, step, former)?;
    note_unexplained(view, room, step, former, &changes);
    if step.meta.verdict != Verdict::Accepted {
        return Ok(());
    }
    let (mut membership, mut other_memberships) = (None, Vec::new());
    for change in &changes {
        room.decided.state_changed(change.before, change.after);
        let changed = apply_change(memo, view, room, step, change)?;
        if change.after == Some(step.offset) {
            membership = changed;
        } else {
            other_memberships.extend(changed);
        }
    }
    if former != room.head.state || step.meta.state_is_resolved {
        room.head.latest_state = step.offset;
    }
    if step.meta.is_shown() {
        room.head.latest = step.offset;
    }
    put_head(view, room);
    if view.is_live() {
        let is_unexplained = changes.iter().any(|change| change.after != Some(step.offset));
        emit(view, room, step, membership, is_unexplained.then_some(other_memberships));
    }
    Ok(())
}

/// Writes the head.
pub(super) fn put_head(view: &mut Apply<'_>, room: &RoomMemo) {
    view.put(&HEADS, &room.info.number.0.to_be_bytes(), &rows::encode_head(&room.head));
}

/// Notes that an event of the past has changed nothing.
pub(super) fn pass_by(view: &mut Apply<'_>, room: &RoomMemo, step: &Step<'_>) {
    note_unexplained(view, room, step, room.head.state, &[]);
}

/// The event takes the place of its parents among the forward extremities.
fn extend_graph(room: &mut RoomMemo, step: &Step<'_>) {
    let extremities = std::mem::take(&mut room.head.extremities);
    let tips = std::mem::take(&mut room.tips);
    // What the current state does not come from yet is not lost to the room with an event that could not be resolved.
    let is_followed = |extremity: &Extremity| !step.is_unresolved || room.head.next.contains(extremity);
    let is_parent = |extremity: &Extremity| {
        step.event.prev_events.iter().any(|id| id.as_str() == extremity.event_id) && is_followed(extremity)
    };
    let mut kept = Vec::with_capacity(extremities.len());
    for (extremity, tip) in extremities.into_iter().zip(tips) {
        if !step.begins_anew && !is_parent(&extremity) {
            kept.push((extremity, tip));
        }
    }
    (room.head.extremities, room.tips) = kept.into_iter().unzip();
    let event_id = step.event.event_id.as_str().to_owned();
    room.head.extremities.push(Extremity { offset: step.offset, event_id, depth: step.event.depth });
    room.tips.push(step.after);
    if let Some(surplus) = extremities::surplus(&room.head.extremities) {
        room.head.extremities.remove(surplus);
        room.tips.remove(surplus);
    }
}

/// The state before the event that comes next: that after the forward extremities together, as far as one event can
/// name them. If the room cannot pay for it, that is put off, and the current state stays one by which the next event
/// can be judged.
fn settle_current(memo: &Memo, view: &mut Apply<'_>, room: &mut RoomMemo, step: &Step<'_>) -> Result<(), ViewError> {
    let wanted = extremities::parents(&room.head.extremities);
    let tips: Vec<Tip> = wanted.iter().map(|at| room.tips[*at]).collect();
    let info = memo.rules.applied_to(&room.info).into_owned();
    let terms = Terms { pdus: &memo.pdus, info: &info, allowance: &memo.allowance };
    let resolved = credit::resolve(view, terms, room, Account::Current, &sorted_roots(&tips))?;
    if let Ok(root) = resolved {
        room.head.state = root;
        room.head.next = wanted.into_iter().map(|at| room.head.extremities[at].clone()).collect();
        room.next_tips = tips;
        room.head.put_off = 0;
        return Ok(());
    }
    if step.begins_anew || room.goes_on_with(step.event) {
        let own = room.head.extremities.iter().find(|extremity| extremity.offset == step.offset);
        room.head.next = vec![own.expect("the event that has just come is an extremity").clone()];
        room.next_tips = vec![step.after];
        room.head.state = step.after.root;
    }
    room.head.put_off += 1;
    if room.head.put_off == 1 {
        counters::next(view, "put_off")?;
        if view.is_live() {
            let (room_id, owed) = (Arc::clone(&room.room_id), room.head.owed.current);
            view.emit(RoomDelta::Postponed { room_id, owed });
        }
    }
    Ok(())
}

/// How current state changed. In a room without branches that is the event itself, and nothing has to be compared.
fn state_changes(
    memo: &Memo,
    view: &Apply<'_>,
    room: &RoomMemo,
    step: &Step<'_>,
    former: Root,
) -> Result<Vec<Change>, ViewError> {
    if former == room.head.state {
        return Ok(Vec::new());
    }
    let states = Remembering::new(view, &memo.pdus.states);
    if let Some(state_key) = &step.event.state_key
        && former == step.before
        && room.head.state == step.after.root
    {
        let pair = states.pair(&step.event.event_type, state_key)?.expect("the event's pair was just interned");
        return Ok(vec![Change { pair, before: states.get(former, pair)?, after: Some(step.offset) }]);
    }
    states.diff(former, room.head.state)
}

/// Where the table of roots does not say what the current state is from here on, another row does.
fn note_unexplained(view: &mut Apply<'_>, room: &RoomMemo, step: &Step<'_>, former: Root, changes: &[Change]) {
    let by_roots = if step.after.position == step.offset { step.after.root } else { former };
    if room.head.state == by_roots {
        return;
    }
    let mut row = room.head.state.0.to_vec();
    for change in changes {
        row.extend_from_slice(&change.pair.0.to_be_bytes());
    }
    view.put(&STATE_CHANGES, &room_offset_key(room.info.number, step.offset), &row);
}

/// Carries one change of current state to the memos and the members.
fn apply_change(
    memo: &mut Memo,
    view: &mut Apply<'_>,
    room: &mut RoomMemo,
    step: &Step<'_>,
    change: &Change,
) -> Result<Option<MemberChange>, ViewError> {
    let own = step.event.state_key.as_ref().filter(|_| change.after == Some(step.offset));
    let (event_type, state_key) = match own {
        Some(state_key) => (step.event.event_type.clone(), state_key.clone()),
        None => (*Remembering::new(view, &memo.pdus.states).pair_name(change.pair)?).clone(),
    };
    match event_type.as_str() {
        "m.room.create" | "m.room.power_levels" => room.forget_auth(),
        "m.room.member" => {
            let event = match change.after {
                Some(offset) if own.is_none() => Some(memo.pdus.at(view, room.info.number, offset)?),
                Some(_) => Some(Arc::clone(step.event)),
                None => None,
            };
            let membership = event.as_ref().and_then(|event| Membership::of(event));
            let member = event.zip(membership).zip(change.after);
            let member = member.map(|((event, membership), offset)| (membership, offset, event));
            return set_member(memo, view, room, &state_key, member);
        }
        _ => {}
    }
    Ok(None)
}

/// Writes somebody's membership. Without one they are as if they had left, or had never been there.
fn set_member(
    memo: &mut Memo,
    view: &mut Apply<'_>,
    room: &mut RoomMemo,
    user_id: &str,
    member: Option<(Membership, Offset, Arc<Pdu>)>,
) -> Result<Option<MemberChange>, ViewError> {
    let number = room.info.number;
    let former = memo.member(view, number, user_id)?.map(|member| member.membership);
    let user_room = user_room_key(user_id, number);
    if let Some((membership, event, _)) = member {
        let row = view.get(&USER_ROOMS, &user_room)?;
        let was_forgotten = row.map(|row| rows::decode_user_room(&row)).transpose()?.is_some_and(|row| row.1);
        let forgotten = was_forgotten && matches!(membership, Membership::Leave | Membership::Ban);
        view.put(&MEMBERS, &room_name_key(number, user_id), &rows::encode_membership(membership, None, event));
        view.put(&USER_ROOMS, &user_room, &rows::encode_membership(membership, Some(forgotten), event));
    } else {
        view.remove(&MEMBERS, &room_name_key(number, user_id));
        view.remove(&USER_ROOMS, &user_room);
    }
    let after = member.as_ref().map(|(membership, event, _)| (*membership, *event));
    let now = after.map(|(membership, _)| membership);
    let known = member.map(|(membership, _, event)| Member {
        membership,
        event_id: event.event_id.as_str().into(),
        is_rejected: event.rejected,
    });
    memo.set_member(number, user_id, known);
    recount(&mut room.head.joined, former, now, Membership::Join);
    recount(&mut room.head.invited, former, now, Membership::Invite);
    let change = MemberChange { user_id: Arc::from(user_id), before: former, after };
    Ok((change.before != change.membership() || change.after.is_some()).then_some(change))
}

fn recount(count: &mut u64, former: Option<Membership>, now: Option<Membership>, counted: Membership) {
    if former == Some(counted) {
        *count = count.checked_sub(1).expect("whoever is taken from a count was counted");
    }
    *count += u64::from(now == Some(counted));
}

/// Tells of the event, and of what else changed if anything did.
fn emit(
    view: &mut Apply<'_>,
    room: &RoomMemo,
    step: &Step<'_>,
    membership: Option<MemberChange>,
    unexplained: Option<Vec<MemberChange>>,
) {
    let (number, room_id) = (room.info.number, &room.room_id);
    let mut memberships = unexplained;
    if step.meta.is_shown() {
        view.emit(RoomDelta::Event {
            room: number,
            room_id: Arc::clone(room_id),
            offset: step.offset,
            pdu: Arc::clone(step.event),
            membership,
        });
    } else if let Some(membership) = membership {
        memberships.get_or_insert_default().push(membership);
    }
    if room.head.extremities.len() > EXTREMITIES_CROWDED {
        view.emit(RoomDelta::Crowded { room_id: Arc::clone(room_id) });
    }
    if let Some(memberships) = memberships {
        let room_id = Arc::clone(room_id);
        view.emit(RoomDelta::State { room: number, room_id, offset: step.offset, memberships });
    }
}
