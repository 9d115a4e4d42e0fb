//! State resolution: from the states of several branches to the one state of the room.
//!
//! Versions 2.0 (room versions 2 to 11) and 2.1 (room version 12) by ruma; algorithm 1, of room version 1 alone, in
//! `v1`.

mod v1;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use ruma::{
    EventId, OwnedEventId,
    events::StateEventType,
    state_res::{self, utils::event_id_set::EventIdSet},
};

use crate::{Pdu, RoomVersion};

/// A state: the event for each type and state key.
pub type State = BTreeMap<(String, String), OwnedEventId>;

/// All events that can be reached over `auth_events`, for one of the states.
pub type AuthChain = BTreeSet<OwnedEventId>;

/// Why states could not be resolved.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// An event is missing or malformed.
    #[error(transparent)]
    Resolution(#[from] state_res::Error),
}

/// Looks events up by ID.
pub type Fetch<'a> = dyn Fn(&EventId) -> Option<Arc<Pdu>> + 'a;

/// The resolution of `states`. `auth_chains` holds, for each of them in order, the [`auth_chain`] of its events;
/// `fetch` has to know all events of both.
pub fn resolve(
    version: &RoomVersion,
    states: &[State],
    auth_chains: Vec<AuthChain>,
    fetch: &Fetch<'_>,
) -> Result<State, ResolveError> {
    let Some(first) = states.first() else {
        return Ok(State::new());
    };
    if states.iter().all(|state| state == first) {
        return Ok(first.clone());
    }
    let rules = version.rules();
    let Some(resolution) = rules.state_res.v2_rules() else { return Ok(v1::resolve(version, states, fetch)) };
    let maps: Vec<_> = states.iter().map(to_ruma).collect();
    let chains = auth_chains.into_iter().map(|chain| chain.into_iter().collect::<EventIdSet<_>>()).collect();
    let subgraph = |conflicted: &state_res::StateMap<Vec<OwnedEventId>>| {
        let events: BTreeSet<_> = conflicted.values().flatten().cloned().collect();
        Some(conflicted_subgraph(&events, fetch).into_iter().collect())
    };
    let resolved = state_res::resolve(&rules.authorization, resolution, &maps, chains, fetch, subgraph)?;
    Ok(resolved.into_iter().map(|((event_type, key), id)| ((event_type.to_string(), key), id)).collect())
}

/// The events reachable from `events` over `auth_events`, themselves included. Events that `fetch` lacks end their
/// branch.
pub fn auth_chain<'a>(events: impl IntoIterator<Item = &'a OwnedEventId>, fetch: &Fetch<'_>) -> AuthChain {
    let mut pending: Vec<OwnedEventId> = events.into_iter().cloned().collect();
    let mut chain = AuthChain::new();
    while let Some(id) = pending.pop() {
        if chain.contains(&id) {
            continue;
        }
        if let Some(event) = fetch(&id) {
            pending.extend(event.auth_events.iter().filter(|id| !chain.contains(*id)).cloned());
        }
        chain.insert(id);
    }
    chain
}

/// All events on paths over `auth_events` that lead from one conflicted event to another, ends included.
fn conflicted_subgraph(conflicted: &BTreeSet<OwnedEventId>, fetch: &Fetch<'_>) -> BTreeSet<OwnedEventId> {
    // Everything visited is reached from a conflicted event; what also reaches one lies between two. A first visit
    // queues an event's auth events before its own second visit, at which all of them are decided.
    let mut reaches: BTreeMap<OwnedEventId, bool> = BTreeMap::new();
    let mut pending: Vec<(OwnedEventId, bool)> = conflicted.iter().map(|id| (id.clone(), false)).collect();
    while let Some((id, auth_events_done)) = pending.pop() {
        let Some(event) = fetch(&id) else {
            reaches.insert(id.clone(), conflicted.contains(&id));
            continue;
        };
        if auth_events_done {
            let leads = |parent: &OwnedEventId| reaches.get(parent).copied().unwrap_or(false);
            let reached = conflicted.contains(&id) || event.auth_events.iter().any(leads);
            reaches.insert(id, reached);
        } else if !reaches.contains_key(&id) {
            // A malformed cycle finds its own mark here and ends.
            reaches.insert(id.clone(), conflicted.contains(&id));
            pending.push((id, true));
            let unseen = event.auth_events.iter().filter(|id| !reaches.contains_key(*id));
            pending.extend(unseen.map(|id| (id.clone(), false)));
        }
    }
    reaches.into_iter().filter_map(|(id, reached)| reached.then_some(id)).collect()
}

fn to_ruma(state: &State) -> HashMap<(StateEventType, String), OwnedEventId> {
    state
        .iter()
        .map(|((event_type, key), id)| ((StateEventType::from(event_type.as_str()), key.clone()), id.clone()))
        .collect()
}

#[cfg(test)]
mod tests;
