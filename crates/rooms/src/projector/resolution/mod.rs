//! Where branches meet: state resolution, exactly that of the room's version, on what differs between the states.
//!
//! The states of two branches of a large room have nearly everything in common. Resolution looks at the conflicted
//! entries, at their auth chains, and at the few entries by which those are judged; so only these are read. `conflict`
//! finds in what states differ, `difference` the auth difference and the conflicted subgraph, `order` sorts, `checks`
//! applies events one by one. `facts` has what is asked of an event, parsed once and kept from one resolution to the
//! next; `arena` numbers the events of one resolution.
//!
//! A room with ten thousand conflicted entries costs some milliseconds to resolve. That is too much for every event of
//! an attack; so `work` counts what a resolution takes, in units that the log alone decides, and [`super::credit`] says
//! when a room may spend them. Nothing here looks at what was remembered to decide anything.
//!
//! The results are those of ruma's `state_res`, to which random and hostile graphs are compared in tests. Where ruma
//! gives up, on auth events whose content cannot be read, their senders have no power here, and the rest goes on.

mod arena;
mod checks;
mod conflict;
mod difference;
mod explain;
mod facts;
mod first;
mod order;
mod work;

use std::collections::BTreeMap;

use engram_log::Offset;

use self::arena::{Arena, Id, Set};
use self::checks::Checks;
use self::conflict::{Conflict, Values};
use self::facts::Facts;
use super::lookup::Pdus;
use crate::delta::Apply;
use crate::query::RoomInfo;
use crate::state::{self, Pair, Root};

pub use self::checks::Step;
pub(super) use self::difference::child_key;
pub use self::explain::{Contest, Resolution, resolution_before};
pub(super) use self::facts::Fact;
pub(super) use self::work::{Halt, Meter};

/// The resolution of states, none of which is there twice; what it takes is counted in `meter`, whether it comes to an
/// end or not.
pub(super) fn resolve(
    view: &mut Apply<'_>,
    pdus: &Pdus,
    room: &RoomInfo,
    roots: &[Root],
    meter: &mut Meter,
) -> Result<Root, Halt> {
    let (base, changes) = {
        let mut arena = Arena::new(Facts::new(view, pdus, room));
        let decided = Decided::of(&mut arena, roots, meter)?;
        let (base, changes) = decided.changes(&arena);
        meter.spend(work::CHANGE * changes.len() as u64)?;
        (roots[base], changes)
    };
    Ok(state::update(view, &pdus.states, base, &changes, None)?)
}

/// What a resolution has decided.
struct Decided {
    entries: Vec<(Pair, Values)>,
    conflicted: usize,
    /// The full conflicted set.
    full: usize,
    power_events: usize,
    /// Who holds the entries now. Those in conflict that nobody holds are not there.
    winners: BTreeMap<Pair, (Id, Option<Step>)>,
    /// Entries to be written even if their event stays the same.
    renamed: Vec<Pair>,
}

impl Decided {
    fn of(arena: &mut Arena<'_>, roots: &[Root], meter: &mut Meter) -> Result<Self, Halt> {
        let mut conflict = Conflict::between(arena, roots, meter)?;
        let mut decided = Self {
            entries: Vec::new(),
            conflicted: conflict.events.len(),
            full: conflict.events.len(),
            power_events: 0,
            winners: BTreeMap::new(),
            renamed: conflict.renamed.iter().copied().collect(),
        };
        decided.winners.extend(conflict.moved.iter().map(|(pair, id)| (*pair, (*id, None))));
        if conflict.entries.is_empty() {
            // Under different places all states name the same events.
        } else if arena.facts.room.version.rules().state_res.v2_rules().is_none() {
            let winners = first::resolve(arena, &mut conflict, meter)?;
            decided.winners.extend(winners.into_iter().map(|(pair, id)| (pair, (id, None))));
        } else {
            decided.decide(arena, &mut conflict, meter)?;
        }
        decided.entries = conflict.entries;
        Ok(decided)
    }

    /// The algorithm of versions 2 and 2.1, step by step.
    fn decide(&mut self, arena: &mut Arena<'_>, conflict: &mut Conflict, meter: &mut Meter) -> Result<(), Halt> {
        let rules = arena.facts.room.version.rules().state_res;
        let rules = rules.v2_rules().expect("the first algorithm has its own file");
        let full = full_conflicted_set(arena, conflict, rules.consider_conflicted_state_subgraph, meter)?;
        let by_power = order::by_power(arena, &full, meter)?;
        self.full = full.len();
        self.power_events = by_power.len();
        let begins_empty = rules.begin_iterative_auth_checks_with_empty_state_map;
        let mut checks = Checks::new(arena, conflict, begins_empty)?;
        checks.apply(arena, &by_power, Step::Power, meter)?;
        let mut done = Set::default();
        for id in by_power {
            done.insert(id);
        }
        let remaining = full.iter().filter(|id| !done.contains(*id)).collect();
        let levels = checks.levels(arena)?;
        let by_mainline = order::by_mainline(arena, remaining, levels, meter)?;
        checks.apply(arena, &by_mainline, Step::Mainline, meter)?;
        let set: BTreeMap<Pair, (Id, Step)> = checks.set().iter().map(|(pair, set)| (*pair, *set)).collect();
        for (pair, (id, step)) in set {
            // What all states share stays what it is.
            if conflict.contains(pair) || conflict.agreed(arena, pair)?.is_none() {
                self.winners.insert(pair, (id, Some(step)));
            }
        }
        Ok(())
    }

    /// The state that needs the least changes, as a position among them, and those.
    fn changes(&self, arena: &Arena<'_>) -> (usize, Vec<(Pair, Option<Offset>)>) {
        let winner = |pair: &Pair| self.winners.get(pair).map(|(id, _)| *id);
        let states = self.entries.first().map_or(1, |(_, values)| values.len());
        let mut same = vec![0_usize; states];
        for (pair, values) in &self.entries {
            let winner = winner(pair);
            for (count, value) in same.iter_mut().zip(values) {
                *count += usize::from(*value == winner);
            }
        }
        let most = same.iter().copied().max().unwrap_or(0);
        let base = same.iter().position(|count| *count == most).unwrap_or(0);
        let place = |id: Id| arena.fact(id).place;
        let mut changes: BTreeMap<Pair, Option<Offset>> = BTreeMap::new();
        for (pair, values) in &self.entries {
            if values[base] != winner(pair) || self.renamed.binary_search(pair).is_ok() {
                changes.insert(*pair, winner(pair).map(place));
            }
        }
        let contested = |pair: &Pair| self.entries.binary_search_by_key(pair, |(pair, _)| *pair).is_ok();
        let others = self.winners.iter().filter(|(pair, _)| !contested(pair));
        changes.extend(others.map(|(pair, (id, _))| (*pair, Some(place(*id)))));
        (base, changes.into_iter().collect())
    }
}

/// The conflicted state set, the auth difference, and from version 2.1 on what lies between conflicted events.
fn full_conflicted_set(
    arena: &mut Arena<'_>,
    conflict: &mut Conflict,
    with_subgraph: bool,
    meter: &mut Meter,
) -> Result<Set, Halt> {
    let difference = difference::auth_difference(arena, conflict, meter)?;
    let mut full = conflict.events.clone();
    for id in difference {
        full.insert(id);
    }
    if with_subgraph {
        for id in difference::subgraph(arena, &conflict.events, meter)? {
            full.insert(id);
        }
    }
    Ok(full)
}
