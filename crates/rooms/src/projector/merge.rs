//! Where branches meet: state resolution, on what differs between their states.
//!
//! The states of two branches of a large room have nearly everything in common. Resolution looks at the conflicted
//! entries, at their auth chains, and at the few unconflicted entries by which events are judged; so only these are
//! loaded. What the chain of everything unconflicted contains matters for the auth difference alone; see `auth_difference`.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::delta::Apply;
use engram_log::Offset;
use engram_matrix::auth::auth_types;
use engram_matrix::resolve::{self, AuthChain, State};
use engram_matrix::{EventId, OwnedEventId};
use engram_views::{Read, ViewError};

use super::auth_difference::{Common, Located};
use super::chains::{self, Budget};
use super::lookup::{Lookup, Pdus};
use crate::counters;
use crate::limits::{CONFLICTED_ENTRIES_MAX, MAINLINE_STEPS_MAX};
use crate::query::RoomInfo;
use crate::state::{self, Pair, Remembering, Root};

/// The resolution of states, in any order.
pub(super) fn resolve(
    view: &mut Apply<'_>,
    pdus: &Pdus,
    room: &RoomInfo,
    mut roots: Vec<Root>,
) -> Result<Root, ViewError> {
    roots.sort_unstable();
    roots.dedup();
    let [first, _, ..] = roots[..] else { return Ok(roots.first().copied().unwrap_or(Root::EMPTY)) };
    let lookup = Lookup::new(view, pdus, room.number);
    let conflict = Conflict::between(lookup.states(), &roots)?;
    let outcome = conflict.as_ref().map(|conflict| conflict.resolve(&lookup, view, room, first)).transpose();
    lookup.finish()?;
    let (Some(conflict), Some(outcome)) = (conflict, outcome?.flatten()) else {
        // Events that do not hold together, or more of them than any room in good faith has: then one state stands for all,
        // the same one in every rebuild, and what comes is judged by that.
        counters::next(view, "unresolved")?;
        return Ok(first);
    };
    let mut changes: BTreeMap<Pair, Option<Offset>> = conflict.entries.into_keys().map(|pair| (pair, None)).collect();
    changes.extend(outcome.into_iter().map(|(pair, offset)| (pair, Some(offset))));
    let changes: Vec<_> = changes.into_iter().collect();
    state::update(view, &pdus.states, first, &changes, None)
}

/// Whether the parts of a resolution that walk on their own keep within their bounds: the mainline ordering, and the search for what lies between
/// conflicted events.
fn is_affordable<'e>(
    room: &RoomInfo,
    events: impl Iterator<Item = &'e OwnedEventId> + Clone,
    conflicted: &BTreeSet<OwnedEventId>,
    fetch: &resolve::Fetch<'_>,
) -> Result<bool, ViewError> {
    let Some(levels) = chains::power_levels(events.clone(), fetch, &mut Budget::default()) else { return Ok(false) };
    if levels.saturating_mul(events.count()) > MAINLINE_STEPS_MAX {
        return Ok(false);
    }
    let rules = room.version.rules().state_res;
    if rules.v2_rules().is_none_or(|rules| !rules.consider_conflicted_state_subgraph) {
        return Ok(true);
    }
    let below = chains::chain(conflicted, fetch, &|_| Ok(false), &mut Budget::default())?;
    Ok(below.is_some())
}

/// The entries in which states differ, with each state's value.
struct Conflict {
    entries: BTreeMap<Pair, Vec<Option<Offset>>>,
    states: usize,
}

/// The entries that resolution decides.
type Outcome = BTreeMap<Pair, Offset>;

impl Conflict {
    /// None if they are too many.
    fn between(states: Remembering<'_>, roots: &[Root]) -> Result<Option<Self>, ViewError> {
        let mut entries = BTreeMap::new();
        for root in &roots[1..] {
            for change in states.diff(roots[0], *root)? {
                entries.insert(change.pair, Vec::new());
            }
            if entries.len() > CONFLICTED_ENTRIES_MAX {
                return Ok(None);
            }
        }
        for (pair, values) in &mut entries {
            for root in roots {
                values.push(states.get(*root, *pair)?);
            }
        }
        Ok(Some(Self { entries, states: roots.len() }))
    }

    /// None if that cannot be, or takes too much.
    fn resolve(
        &self,
        lookup: &Lookup<'_>,
        view: &dyn Read,
        room: &RoomInfo,
        base: Root,
    ) -> Result<Option<Outcome>, ViewError> {
        let fetched: RefCell<HashMap<OwnedEventId, Located>> = RefCell::default();
        let located = |id: &EventId| {
            if let Some(known) = fetched.borrow().get(id) {
                return known.clone();
            }
            let found = lookup.located(id.as_str());
            fetched.borrow_mut().insert(id.to_owned(), found.clone());
            found
        };
        let fetch = |id: &EventId| located(id).map(|(_, pdu)| pdu);

        let mut states = self.conflicted_states(lookup)?;
        let mut budget = Budget::default();
        let is_conflicted = |pair: Pair| self.entries.contains_key(&pair);
        let common = Common { view, lookup, base, is_conflicted: &is_conflicted, fetch: &located };
        let mut chains = Vec::with_capacity(states.len());
        for state in &states {
            let Some(chain) = common.chain(state.values(), &mut budget)? else { return Ok(None) };
            chains.push(chain);
        }
        let conflicted: BTreeSet<OwnedEventId> = states.iter().flat_map(State::values).cloned().collect();
        let Some(difference) = common.difference(&chains, &conflicted, &mut budget)? else { return Ok(None) };
        let judged_by = self.unconflicted(lookup, base, difference.iter().chain(&conflicted), &fetch)?;
        let full = difference.iter().chain(&conflicted).chain(judged_by.values());
        if !is_affordable(room, full, &conflicted, &fetch)? {
            return Ok(None);
        }
        for state in &mut states {
            state.extend(judged_by.iter().map(|(key, id)| (key.clone(), id.clone())));
        }
        // What stands in one list only is exactly the difference.
        let mut chains = vec![AuthChain::new(); self.states];
        chains[0] = difference;
        let Ok(resolved) = resolve::resolve(room.version, &states, chains, &fetch) else { return Ok(None) };
        let mut outcome = Outcome::new();
        for ((event_type, state_key), id) in resolved {
            let Some(pair) = lookup.states().pair(&event_type, &state_key)? else { continue };
            // Unconflicted entries stay what they are.
            if !self.entries.contains_key(&pair) && lookup.states().get(base, pair)?.is_some() {
                continue;
            }
            outcome.extend(located(&id).map(|(offset, _)| (pair, offset)));
        }
        Ok(Some(outcome))
    }

    /// Each state's conflicted entries.
    fn conflicted_states(&self, lookup: &Lookup<'_>) -> Result<Vec<State>, ViewError> {
        let mut states = vec![State::new(); self.states];
        for (pair, values) in &self.entries {
            let key = lookup.states().pair_name(*pair)?;
            for (state, value) in states.iter_mut().zip(values) {
                if let Some(event) = value.and_then(|offset| lookup.at(offset)) {
                    state.insert((*key).clone(), event.event_id.clone());
                }
            }
        }
        Ok(states)
    }

    /// The unconflicted entries by which the given events are judged, and those that hold their own place.
    fn unconflicted<'e>(
        &self,
        lookup: &Lookup<'_>,
        base: Root,
        events: impl Iterator<Item = &'e OwnedEventId>,
        fetch: &resolve::Fetch<'_>,
    ) -> Result<State, ViewError> {
        let mut keys: BTreeSet<(String, String)> = ["m.room.create", "m.room.power_levels", "m.room.join_rules"]
            .map(|kind| (kind.to_owned(), String::new()))
            .into();
        for event in events.filter_map(|id| fetch(id)) {
            let (sender, state_key) = (event.sender.as_str(), event.state_key.as_deref());
            keys.extend(auth_types(event.version(), &event.event_type, sender, state_key, event.content_str()));
            keys.extend(event.state_key.clone().map(|state_key| (event.event_type.clone(), state_key)));
        }
        let mut state = State::new();
        for (event_type, state_key) in keys {
            let Some(pair) = lookup.states().pair(&event_type, &state_key)? else { continue };
            if self.entries.contains_key(&pair) {
                continue;
            }
            if let Some(event) = lookup.states().get(base, pair)?.and_then(|offset| lookup.at(offset)) {
                state.insert((event_type, state_key), event.event_id.clone());
            }
        }
        Ok(state)
    }
}
