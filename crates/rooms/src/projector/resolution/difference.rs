//! The auth difference, without walking the auth chains of a whole room, and the conflicted state subgraph.
//!
//! The full auth chain of a state is that of its conflicted entries and that of the entries that all states share. The
//! latter is the same for all, so an event is in the difference if only some of the former have it, and the latter has
//! not. So the former are followed down to shared entries only, all at once, with a mark for each state. Whether the
//! latter has an event is seldom far to seek: mostly an event that leads to it is a shared entry itself. Where it is
//! not, the events that name it are followed upwards, each once; and if those are many, everything that all states
//! share is followed down.

use std::collections::{BTreeSet, BinaryHeap};
use std::ops::{Bound, ControlFlow};

use engram_log::Offset;
use engram_matrix::EventId;
use engram_views::{Read, ViewError};

use super::arena::{Arena, Id, Set};
use super::conflict::Conflict;
use super::work::{AUTH_CHILD, CHAIN_EVENT, Halt, Meter};
use crate::limits::AUTH_CHILDREN_VISITS_MAX;
use crate::rows::event_id_mark;
use crate::tables::AUTH_CHILDREN;
use crate::types::RoomNumber;

/// Rows that are read at once; the first of them nearly always settles the matter.
const PAGE_ROWS: usize = 8;

/// Key of the row that says that the event of the room at `child` names another among its auth events.
pub(in super::super) fn child_key(room: RoomNumber, event_id: &str, child: Offset) -> [u8; 20] {
    let mut key = [0; 20];
    key[..4].copy_from_slice(&room.0.to_be_bytes());
    key[4..12].copy_from_slice(&event_id_mark(event_id));
    key[12..].copy_from_slice(&child.to_be_bytes());
    key
}

/// The events that are in some state's full auth chain, but not in all of them, without the conflicted ones.
pub(super) fn auth_difference(
    arena: &mut Arena<'_>,
    conflict: &mut Conflict,
    meter: &mut Meter,
) -> Result<Vec<Id>, Halt> {
    let reached = Reached::by(arena, conflict, meter)?;
    let mut candidates = Vec::new();
    for id in reached.visited.iter() {
        let is_in_all = reached.marks[id.at()] == reached.all;
        if !is_in_all && !conflict.events.contains(id) && !conflict.is_agreed(arena, id)? {
            candidates.push(id);
        }
    }
    let mut shared = Shared::default();
    for id in &candidates {
        if !shared.settle(arena, conflict, *id, meter)? {
            shared.follow_all(arena, conflict, meter)?;
            break;
        }
    }
    candidates.retain(|id| !shared.chain.contains(*id));
    Ok(candidates)
}

/// What is reached from conflicted entries over auth events, and from those of which states.
struct Reached {
    visited: Set,
    /// One bit a state, by event.
    marks: Vec<u32>,
    /// All bits.
    all: u32,
}

impl Reached {
    fn by(arena: &mut Arena<'_>, conflict: &mut Conflict, meter: &mut Meter) -> Result<Self, Halt> {
        assert!(conflict.states < 32, "an event follows at most twenty others, and one state may be given");
        let mut reached = Self { visited: Set::default(), marks: Vec::new(), all: (1 << conflict.states) - 1 };
        // Later events first: so all marks of an event have mostly come together when it is its turn.
        let mut pending = BinaryHeap::new();
        for (_, values) in &conflict.entries {
            for (state, id) in values.iter().enumerate() {
                id.map(|id| reached.mark(id, 1 << state));
            }
        }
        pending.extend(conflict.events.iter().map(|id| (arena.fact(id).place, id)));
        while let Some((_, id)) = pending.pop() {
            meter.spend(CHAIN_EVENT)?;
            // Shared entries are in every chain, and so is what is below them.
            if !conflict.events.contains(id) && conflict.is_agreed(arena, id)? {
                continue;
            }
            let marks = reached.marks[id.at()];
            for parent in arena.auth(id)? {
                if reached.mark(parent, marks) {
                    pending.push((arena.fact(parent).place, parent));
                }
            }
        }
        Ok(reached)
    }

    /// Whether these marks are new to the event.
    fn mark(&mut self, id: Id, marks: u32) -> bool {
        if self.marks.len() <= id.at() {
            self.marks.resize(id.at() + 1, 0);
        }
        self.visited.insert(id);
        let before = self.marks[id.at()];
        self.marks[id.at()] |= marks;
        self.marks[id.at()] != before
    }
}

/// What is known of the auth chain of everything that all states share.
#[derive(Default)]
struct Shared {
    /// What it contains.
    chain: Set,
    /// What it does not contain.
    outside: Set,
    visits: usize,
}

impl Shared {
    /// Finds out whether the chain has an event; false if that is too far to seek.
    fn settle(
        &mut self,
        arena: &mut Arena<'_>,
        conflict: &mut Conflict,
        id: Id,
        meter: &mut Meter,
    ) -> Result<bool, Halt> {
        if self.chain.contains(id) || self.outside.contains(id) {
            return Ok(true);
        }
        let mut seen = Set::default();
        seen.insert(id);
        let mut pending = vec![(id, Offset(u64::MAX))];
        while let Some((id, before)) = pending.pop() {
            let page = children(arena, &arena.fact(id).event_id, before)?;
            if page.len() == PAGE_ROWS {
                pending.extend(page.last().map(|last| (id, *last)));
            }
            for child in page {
                self.visits += 1;
                meter.spend(AUTH_CHILD)?;
                if self.visits > AUTH_CHILDREN_VISITS_MAX {
                    return Ok(false);
                }
                let child = arena.id(child)?;
                if !arena.auth(child)?.any(|parent| parent == id) || self.outside.contains(child) {
                    continue;
                }
                if self.chain.contains(child) || conflict.is_agreed(arena, child)? {
                    self.follow(arena, [id], meter)?;
                    return Ok(true);
                }
                if seen.insert(child) {
                    pending.push((child, Offset(u64::MAX)));
                }
            }
        }
        // Nobody who was asked leads there.
        for id in seen.iter() {
            self.outside.insert(id);
        }
        Ok(true)
    }

    /// Takes the events and everything that they lead to into the chain.
    fn follow(
        &mut self,
        arena: &mut Arena<'_>,
        from: impl IntoIterator<Item = Id>,
        meter: &mut Meter,
    ) -> Result<(), Halt> {
        let mut pending: Vec<Id> = from.into_iter().collect();
        while let Some(id) = pending.pop() {
            if self.chain.insert(id) {
                meter.spend(CHAIN_EVENT)?;
                pending.extend(arena.auth(id)?);
            }
        }
        Ok(())
    }

    /// Takes in everything that all states share.
    fn follow_all(&mut self, arena: &mut Arena<'_>, conflict: &Conflict, meter: &mut Meter) -> Result<(), Halt> {
        let entries = arena.facts.states().entries(conflict.common.root())?;
        meter.spend(CHAIN_EVENT * entries.len() as u64)?;
        for (_, offset) in entries.into_iter().filter(|(pair, _)| !conflict.contains(*pair)) {
            let id = arena.id(offset)?;
            self.follow(arena, [id], meter)?;
        }
        Ok(())
    }
}

/// The next page of events before an offset that may name an event among their auth events, newest first: those
/// are more likely to be entries still.
fn children(arena: &Arena<'_>, id: &EventId, before: Offset) -> Result<Vec<Offset>, ViewError> {
    let room = arena.facts.room.number;
    let (from, to) = (child_key(room, id.as_str(), Offset::ZERO), child_key(room, id.as_str(), before));
    let mut children = Vec::with_capacity(PAGE_ROWS);
    let mut visit = |key: &[u8], _: &[u8]| {
        let offset = key.get(12..20).and_then(|bytes| bytes.try_into().ok());
        children.push(offset.map(Offset::from_be_bytes));
        if children.len() == PAGE_ROWS { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let view: &dyn Read = arena.facts.view;
    view.scan(&AUTH_CHILDREN, Bound::Included(&from), Bound::Excluded(&to), true, &mut visit)?;
    let malformed = ViewError::Row { table: AUTH_CHILDREN.name, what: "the key is too short" };
    children.into_iter().collect::<Option<_>>().ok_or(malformed)
}

/// All events on paths over auth events that lead from one conflicted event to another, ends included.
pub(super) fn subgraph(arena: &mut Arena<'_>, conflicted: &Set, meter: &mut Meter) -> Result<Vec<Id>, Halt> {
    // Everything that is visited is reached from a conflicted event; what also reaches one lies between two. A first
    // visit queues an event's auth events before its own second visit, at which all of them are decided.
    let (mut visited, mut reaching) = (Set::default(), Set::default());
    let mut pending: Vec<(Id, bool)> = conflicted.iter().map(|id| (id, false)).collect();
    while let Some((id, is_second)) = pending.pop() {
        if is_second {
            let leads = arena.auth(id)?.any(|parent| reaching.contains(parent));
            if leads || conflicted.contains(id) {
                reaching.insert(id);
            }
        } else if visited.insert(id) {
            meter.spend(2 * CHAIN_EVENT)?;
            if conflicted.contains(id) {
                // A malformed cycle finds this mark, and ends.
                reaching.insert(id);
            }
            pending.push((id, true));
            pending.extend(arena.auth(id)?.filter(|parent| !visited.contains(*parent)).map(|parent| (parent, false)));
        }
    }
    Ok(reaching.iter().collect::<BTreeSet<_>>().into_iter().collect())
}
