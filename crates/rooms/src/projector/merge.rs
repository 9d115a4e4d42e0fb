//! Where branches meet: state resolution, on what differs between their states.
//!
//! The states of two branches of a large room have nearly everything in common. Resolution looks at the conflicted
//! entries, at their auth chains, and at the few unconflicted entries by which events are judged; so only these are
//! loaded. What the chain of everything unconflicted contains matters for the auth difference alone; see `auth_difference`.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use engram_log::Offset;
use engram_matrix::auth::auth_types;
use engram_matrix::resolve::{self, AuthChain, ResolveError, State};
use engram_matrix::{EventId, OwnedEventId};
use engram_views::{Apply, Read, ViewError};

use super::auth_difference::{Common, Located};
use super::lookup::{Lookup, Pdus};
use crate::counters;
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
    let (conflict, outcome) = {
        let lookup = Lookup::new(view, pdus, room.number);
        let conflict = Conflict::between(lookup.states(), &roots)?;
        let outcome = conflict.resolve(&lookup, view, room, first);
        lookup.finish()?;
        (conflict, outcome?)
    };
    let Ok(outcome) = outcome else {
        // Only events that do not hold together get here: one that a state names is not to be had.
        counters::next(view, "unresolved")?;
        return Ok(first);
    };
    let mut changes: BTreeMap<Pair, Option<Offset>> = conflict.entries.into_keys().map(|pair| (pair, None)).collect();
    changes.extend(outcome.into_iter().map(|(pair, offset)| (pair, Some(offset))));
    let changes: Vec<_> = changes.into_iter().collect();
    state::update(view, &pdus.states, first, &changes, None)
}

/// The entries in which states differ, with each state's value.
struct Conflict {
    entries: BTreeMap<Pair, Vec<Option<Offset>>>,
    states: usize,
}

/// The entries that resolution decides.
type Outcome = BTreeMap<Pair, Offset>;

impl Conflict {
    fn between(states: Remembering<'_>, roots: &[Root]) -> Result<Self, ViewError> {
        let mut entries = BTreeMap::new();
        for root in &roots[1..] {
            for change in states.diff(roots[0], *root)? {
                entries.insert(change.pair, Vec::new());
            }
        }
        for (pair, values) in &mut entries {
            for root in roots {
                values.push(states.get(*root, *pair)?);
            }
        }
        Ok(Self { entries, states: roots.len() })
    }

    fn resolve(
        &self,
        lookup: &Lookup<'_>,
        view: &dyn Read,
        room: &RoomInfo,
        base: Root,
    ) -> Result<Result<Outcome, ResolveError>, ViewError> {
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
        let chains: Vec<AuthChain> = states.iter().map(|state| resolve::auth_chain(state.values(), &fetch)).collect();
        let conflicted: BTreeSet<OwnedEventId> = states.iter().flat_map(State::values).cloned().collect();
        let is_conflicted = |pair: Pair| self.entries.contains_key(&pair);
        let common = Common { view, lookup, base, is_conflicted: &is_conflicted, fetch: &located };
        let difference = common.difference(&chains, &conflicted)?;
        let judged_by = self.unconflicted(lookup, base, difference.iter().chain(&conflicted), &fetch)?;
        for state in &mut states {
            state.extend(judged_by.iter().map(|(key, id)| (key.clone(), id.clone())));
        }
        // What stands in one list only is exactly the difference.
        let mut chains = vec![AuthChain::new(); self.states];
        chains[0] = difference;
        let resolved = match resolve::resolve(room.version, &states, chains, &fetch) {
            Ok(resolved) => resolved,
            Err(error) => return Ok(Err(error)),
        };
        let mut outcome = Outcome::new();
        for ((event_type, state_key), id) in resolved {
            let Some(pair) = lookup.states().pair(&event_type, &state_key)? else { continue };
            // Unconflicted entries stay what they are.
            if !self.entries.contains_key(&pair) && lookup.states().get(base, pair)?.is_some() {
                continue;
            }
            outcome.extend(located(&id).map(|(offset, _)| (pair, offset)));
        }
        Ok(Ok(outcome))
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
