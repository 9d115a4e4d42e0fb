//! The state at the start, or the end, of a timeline.

use std::collections::{BTreeMap, BTreeSet};

use engram_log::Offset;
use engram_rooms::RoomNumber;
use engram_rooms::query;
use engram_rooms::state::{self, Pair, Root};
use engram_views::{Read, ViewError};

use super::Context;
use super::timeline::Timeline;
use crate::limits;

/// The states round a timeline.
#[derive(Clone, Copy)]
pub(crate) struct Around {
    /// What the client has; nothing if it is to get everything.
    pub(crate) known: Option<Root>,
    /// Before the first event of the timeline.
    pub(crate) start: Root,
    /// After its last.
    pub(crate) end: Root,
}

/// The events of the `state` or `state_after` section, finished.
pub(crate) fn section(
    context: &Context<'_>,
    room: RoomNumber,
    room_id: &str,
    around: Around,
    timeline: &Timeline,
    heroes: &[String],
) -> Result<Vec<String>, ViewError> {
    let reader = context.reader();
    let filter = &context.filter.room.state;
    if !filter.room(room_id) || filter.event.types.as_ref().is_some_and(Vec::is_empty) {
        return Ok(Vec::new());
    }
    let mut entries = changes(context, around, timeline)?;
    if filter.lazy_load_members {
        lazy(context, room, around, timeline, heroes, &mut entries)?;
    }
    let mut events = Vec::new();
    for offset in entries.into_values() {
        if !filter.is_open() && !filter.event(&*query::presented_at(reader, room, offset)?) {
            continue;
        }
        events.push(context.format.render_at(reader, room, offset)?);
    }
    Ok(events)
}

/// What the client has to know besides the timeline.
///
/// With `state_after` that is the difference to the end. Otherwise it is the difference to the start, and what changed
/// between start and end by no event of the timeline: resolutions of forks, and events that the filter held back.
fn changes(context: &Context<'_>, around: Around, timeline: &Timeline) -> Result<BTreeMap<Pair, Offset>, ViewError> {
    let reader = context.reader();
    let target = if context.use_state_after { around.end } else { around.start };
    let mut entries: BTreeMap<Pair, Offset> = match around.known {
        Some(known) => difference(reader, known, target)?.collect(),
        None => state::entries(reader, target)?.into_iter().collect(),
    };
    if target != around.end {
        let shown: BTreeSet<Offset> = timeline.events.iter().map(|event| event.offset).collect();
        entries.extend(difference(reader, target, around.end)?.filter(|(_, offset)| !shown.contains(offset)));
    }
    Ok(entries)
}

fn difference(reader: &dyn Read, before: Root, after: Root) -> Result<impl Iterator<Item = (Pair, Offset)>, ViewError> {
    let changes = if before == after { Vec::new() } else { state::diff(reader, before, after)? };
    Ok(changes.into_iter().filter_map(|change| Some((change.pair, change.after?))))
}

/// Of the members leaves those whom the timeline or the summary names, and adds those who have not changed but whom the
/// client has not been sent. Changes of memberships since the last answer all stay (FIL-07).
fn lazy(
    context: &Context<'_>,
    room: RoomNumber,
    around: Around,
    timeline: &Timeline,
    heroes: &[String],
    entries: &mut BTreeMap<Pair, Offset>,
) -> Result<(), ViewError> {
    let reader = context.reader();
    let mut wanted = timeline.senders();
    wanted.extend(heroes.iter().map(String::as_str));
    if around.known.is_none() {
        wanted.insert(context.user_id());
        let mut others = Vec::new();
        for pair in entries.keys() {
            let (event_type, state_key) = state::pair_name(reader, *pair)?;
            if event_type == "m.room.member" && !wanted.contains(state_key.as_str()) {
                others.push(*pair);
            }
        }
        for pair in others {
            entries.remove(&pair);
        }
    }
    let root = if context.use_state_after { around.end } else { around.start };
    let mut members = Vec::new();
    for user_id in wanted {
        let Some(pair) = state::pair(reader, "m.room.member", user_id)? else { continue };
        if let Some(offset) = state::get(reader, root, pair)? {
            members.push((user_id, pair, offset));
        }
    }
    let redundant_too = context.filter.room.state.include_redundant_members;
    context.user.device(context.device_id, |memory| {
        if memory.sent_members.len() > limits::SENT_MEMBERS_MAX {
            memory.sent_members.clear();
        }
        for (user_id, pair, offset) in members {
            let key = (room, user_id.to_owned());
            let sent = memory.sent_members.get(&key);
            // What was sent in an answer that the client may not have got does not count.
            let redundant = sent.is_some_and(|(event, at)| *event == offset && *at <= context.after());
            if !redundant {
                memory.sent_members.insert(key, (offset, context.position));
            }
            if !redundant || redundant_too || around.known.is_none() {
                entries.entry(pair).or_insert(offset);
            }
        }
    });
    Ok(())
}
