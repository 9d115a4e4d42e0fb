//! State resolution of room version 1: by depth and the SHA-1 of event IDs, in four passes.
//!
//! An entry is in conflict only where states hold different events for it; what one state alone has is taken as it is.
//! Each conflicted entry is settled by itself, from the results of the passes before, so that the order of entries does
//! not matter.

use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};

use ruma::OwnedEventId;
use sha1::{Digest, Sha1};

use super::{Fetch, State};
use crate::{
    Pdu, RoomVersion,
    auth::{self, StateMap},
};

/// What is resolved so far. Of the keys that authorization asks for, that is.
#[derive(Default)]
struct Resolved(BTreeMap<(String, String), Arc<Pdu>>);

impl StateMap for Resolved {
    fn get(&self, event_type: &str, state_key: &str) -> Option<Arc<Pdu>> {
        self.0.get(&(event_type.to_owned(), state_key.to_owned())).cloned()
    }
}

/// The types of the first three passes: of these one event permits the next.
const AUTH_PASSES: [&str; 3] = ["m.room.power_levels", "m.room.join_rules", "m.room.member"];

/// The resolution of states that differ. Events that `fetch` lacks are as if they were not in any state.
pub(super) fn resolve(version: &RoomVersion, states: &[State], fetch: &Fetch<'_>) -> State {
    let mut candidates: BTreeMap<&(String, String), Vec<Arc<Pdu>>> = BTreeMap::new();
    for (key, id) in states.iter().flatten() {
        let events = candidates.entry(key).or_default();
        if !events.iter().any(|event| event.event_id == *id) {
            events.extend(fetch(id));
        }
    }
    let mut resolved = Resolved::default();
    let mut conflicts = Vec::new();
    for (key, mut events) in candidates {
        if events.len() > 1 {
            // Deepest last; of equals the smallest hash.
            events.sort_by_cached_key(|event| (event.depth, Reverse(sha1(&event.event_id))));
            conflicts.push((key, events));
        } else {
            resolved.0.extend(events.pop().map(|event| (key.clone(), event)));
        }
    }
    for pass in AUTH_PASSES {
        let settled: Vec<_> = conflicts
            .iter()
            .filter(|(key, _)| key.0 == pass)
            .map(|(key, events)| ((*key).clone(), last_of_chain(version, &mut resolved, key, events)))
            .collect();
        resolved.0.extend(settled);
    }
    for (key, events) in conflicts.iter().filter(|(key, _)| !AUTH_PASSES.contains(&&*key.0)) {
        let settled = deepest_allowed(version, &resolved, events);
        resolved.0.insert((*key).clone(), settled);
    }
    resolved.0.into_iter().map(|(key, event)| (key, event.event_id.clone())).collect()
}

/// From the least deep event on, as long as each permits the next. Leaves `resolved` as it was.
fn last_of_chain(
    version: &RoomVersion,
    resolved: &mut Resolved,
    key: &(String, String),
    events: &[Arc<Pdu>],
) -> Arc<Pdu> {
    let (first, rest) = events.split_first().expect("a conflict has events");
    let mut last = first;
    for event in rest {
        resolved.0.insert(key.clone(), Arc::clone(last));
        if auth::check_dependent(version, event, resolved).is_err() {
            break;
        }
        last = event;
    }
    resolved.0.remove(key);
    Arc::clone(last)
}

/// The deepest event that is allowed. Where none is, the specification is silent; the least deep one stays then, as in
/// the other passes, and as servers that take part in such rooms have always done.
fn deepest_allowed(version: &RoomVersion, resolved: &Resolved, events: &[Arc<Pdu>]) -> Arc<Pdu> {
    let is_allowed = |event: &&Arc<Pdu>| auth::check_dependent(version, event, resolved).is_ok();
    let found = events.iter().rev().find(is_allowed).or(events.first());
    Arc::clone(found.expect("a conflict has events"))
}

fn sha1(id: &OwnedEventId) -> [u8; 20] {
    Sha1::digest(id.as_bytes()).into()
}

#[cfg(test)]
mod tests;
