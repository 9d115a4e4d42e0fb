//! The graph of a room as other servers ask for it: auth chains, states, what is missing, what came before.
//!
//! What is returned is what is known here. What of it a server may have is a question of its own; see
//! [`super::ServerSight`].

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

use engram_log::Offset;
use engram_matrix::pdu::Pdu;
use engram_views::{Read, ViewError};

use super::{Place, StoredEvent, Verdict, event, locate, pdu, placed, state_before};
use crate::state;
use crate::types::RoomNumber;

/// Events by position.
pub type Events = BTreeMap<Offset, Arc<Pdu>>;

/// What an event refers to that is not known here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unknown {
    /// Events before it that have no place in the room's graph.
    pub prev_events: Vec<String>,
    /// Auth events that are not known at all.
    pub auth_events: Vec<String>,
}

/// The state before an event, and what permits it.
#[derive(Clone, Debug, Default)]
pub struct StateBefore {
    /// The events of the state.
    pub state: Events,
    /// Everything that is reached from those over auth events, themselves not included unless they are.
    pub auth_chain: Events,
}

/// Whether an event has its place in the room's graph.
pub fn is_placed(reader: &dyn Read, room: RoomNumber, event_id: &str) -> Result<bool, ViewError> {
    let Some((_, offset)) = locate(reader, event_id)?.filter(|(at, _)| *at == room) else { return Ok(false) };
    Ok(placed(reader, room, offset)?.is_some_and(|(_, meta)| meta.place != Place::Apart))
}

/// What an event refers to that is not known here.
pub fn unknown(reader: &dyn Read, room: RoomNumber, event: &Pdu) -> Result<Unknown, ViewError> {
    let mut unknown = Unknown::default();
    for id in &event.prev_events {
        if !is_placed(reader, room, id.as_str())? {
            unknown.prev_events.push(id.to_string());
        }
    }
    for id in &event.auth_events {
        if locate(reader, id.as_str())?.is_none_or(|(at, _)| at != room) {
            unknown.auth_events.push(id.to_string());
        }
    }
    Ok(unknown)
}

/// The events that are reached from others over auth events, those themselves not included unless they are.
pub fn auth_chain<'e>(reader: &dyn Read, events: impl IntoIterator<Item = &'e Pdu>) -> Result<Events, ViewError> {
    let mut seen = BTreeSet::new();
    let mut chain = Events::new();
    let mut pending: Vec<_> = events.into_iter().flat_map(|event| event.auth_events.iter().cloned()).collect();
    while let Some(id) = pending.pop() {
        if !seen.insert(id.clone()) {
            continue;
        }
        let Some((_, offset)) = locate(reader, id.as_str())? else { continue };
        let event = pdu(reader, offset)?;
        pending.extend(event.auth_events.iter().filter(|id| !seen.contains(*id)).cloned());
        chain.insert(offset, event);
    }
    Ok(chain)
}

/// The auth difference of sets of events: what is in some of their full auth chains, but not in all of them.
pub fn auth_difference(reader: &dyn Read, sets: &[Vec<Arc<Pdu>>]) -> Result<Events, ViewError> {
    let mut counts: BTreeMap<Offset, usize> = BTreeMap::new();
    let mut all = Events::new();
    for set in sets {
        let mut full = auth_chain(reader, set.iter().map(AsRef::as_ref))?;
        for event in set {
            if let Some((_, offset)) = locate(reader, event.event_id.as_str())? {
                full.insert(offset, Arc::clone(event));
            }
        }
        for offset in full.keys() {
            *counts.entry(*offset).or_default() += 1;
        }
        all.extend(full);
    }
    all.retain(|offset, _| counts[offset] < sets.len());
    Ok(all)
}

/// The state before an event with its auth chain; none if the event is not known, or has no place and so no state
/// before it.
pub fn state_ids_before(reader: &dyn Read, room: RoomNumber, event_id: &str) -> Result<Option<StateBefore>, ViewError> {
    let Some((_, offset)) = locate(reader, event_id)?.filter(|(at, _)| *at == room) else { return Ok(None) };
    let Some((_, meta)) = placed(reader, room, offset)?.filter(|(_, meta)| meta.place != Place::Apart) else {
        return Ok(None);
    };
    let mut before = StateBefore::default();
    for (_, offset) in state::entries(reader, state_before(reader, room, &meta)?)? {
        before.state.insert(offset, pdu(reader, offset)?);
    }
    before.auth_chain = auth_chain(reader, before.state.values().map(AsRef::as_ref))?;
    Ok(Some(before))
}

/// The events between some that another server has and some later ones: those that follow none of `earliest` over those
/// found, oldest first, at most `limit`, none of less than `min_depth`. Rejected events are passed over, soft-failed
/// ones are not.
pub fn missing_events(
    reader: &dyn Read,
    room: RoomNumber,
    earliest: &[String],
    latest: &[String],
    limit: usize,
    min_depth: u64,
) -> Result<Vec<StoredEvent>, ViewError> {
    let mut walk = Walk::new(reader, room);
    walk.seen.extend(earliest.iter().cloned());
    for id in latest {
        if let Some(event) = walk.event(id)? {
            walk.seen.insert(id.clone());
            walk.push_parents(&event, min_depth)?;
        }
    }
    walk.take(limit, min_depth).map(|mut events| {
        events.reverse();
        events
    })
}

/// Some events and what came before them, the deepest first, at most `limit`. Rejected events are passed over.
pub fn backfill_page(
    reader: &dyn Read,
    room: RoomNumber,
    from: &[String],
    limit: usize,
) -> Result<Vec<StoredEvent>, ViewError> {
    let mut walk = Walk::new(reader, room);
    for id in from {
        walk.push(id, 0)?;
    }
    walk.take(limit, 0)
}

/// A walk through the graph against its edges, deepest events first.
struct Walk<'a> {
    reader: &'a dyn Read,
    room: RoomNumber,
    seen: BTreeSet<String>,
    /// (depth, offset)
    pending: BinaryHeap<(u64, Offset)>,
}

/// Events of one walk that are looked at, whoever asked for how few.
const VISITS_MAX: usize = 10_000;

impl<'a> Walk<'a> {
    fn new(reader: &'a dyn Read, room: RoomNumber) -> Self {
        Self { reader, room, seen: BTreeSet::new(), pending: BinaryHeap::new() }
    }

    fn event(&self, id: &str) -> Result<Option<StoredEvent>, ViewError> {
        let located = locate(self.reader, id)?.filter(|(at, _)| *at == self.room);
        let Some((_, offset)) = located else { return Ok(None) };
        Ok(event(self.reader, self.room, offset)?.filter(|event| event.meta.place != Place::Apart))
    }

    fn push(&mut self, id: &str, min_depth: u64) -> Result<(), ViewError> {
        if !self.seen.insert(id.to_owned()) {
            return Ok(());
        }
        let located = locate(self.reader, id)?.filter(|(at, _)| *at == self.room);
        let Some((_, offset)) = located else { return Ok(()) };
        let placed = placed(self.reader, self.room, offset)?;
        if let Some((offset, meta)) = placed.filter(|(_, meta)| meta.place != Place::Apart && meta.depth >= min_depth) {
            self.pending.push((meta.depth, offset));
        }
        Ok(())
    }

    fn push_parents(&mut self, event: &StoredEvent, min_depth: u64) -> Result<(), ViewError> {
        event.pdu.prev_events.iter().try_for_each(|id| self.push(id.as_str(), min_depth))
    }

    fn take(mut self, limit: usize, min_depth: u64) -> Result<Vec<StoredEvent>, ViewError> {
        let mut events = Vec::new();
        for _ in 0..VISITS_MAX {
            if events.len() == limit {
                break;
            }
            let Some((_, offset)) = self.pending.pop() else { break };
            let Some(event) = event(self.reader, self.room, offset)? else { continue };
            self.push_parents(&event, min_depth)?;
            if event.meta.verdict != Verdict::Rejected {
                events.push(event);
            }
        }
        Ok(events)
    }
}
