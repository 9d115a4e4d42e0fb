//! State resolution of room version 1, on what differs between states: the algorithm itself is in
//! `engram_matrix::resolve`.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use engram_matrix::auth::auth_types;
use engram_matrix::pdu::Pdu;
use engram_matrix::resolve::{self, State};
use engram_matrix::{EventId, OwnedEventId};

use super::arena::{Arena, Id};
use super::conflict::Conflict;
use super::work::{FULL_CHECK, Halt, Meter};
use crate::state::Pair;

/// The events that hold the conflicted entries.
pub(super) fn resolve(
    arena: &mut Arena<'_>,
    conflict: &mut Conflict,
    meter: &mut Meter,
) -> Result<HashMap<Pair, Id>, Halt> {
    meter.spend(FULL_CHECK * conflict.events.len() as u64)?;
    let mut events: HashMap<OwnedEventId, (Id, Arc<Pdu>)> = HashMap::new();
    let mut states = vec![State::new(); conflict.states];
    for (_, values) in &conflict.entries {
        for (state, id) in states.iter_mut().zip(values) {
            if let Some((id, name)) = id.and_then(|id| Some((id, arena.fact(id).name.clone()?))) {
                let event = arena.facts.event(arena.fact(id))?;
                state.insert((*name).clone(), event.event_id.clone());
                events.insert(event.event_id.clone(), (id, event));
            }
        }
    }
    let agreed = agreed(arena, conflict, &mut events)?;
    for state in &mut states {
        state.extend(agreed.clone());
    }
    let fetch = |id: &EventId| events.get(id).map(|(_, event)| Arc::clone(event));
    let version = arena.facts.room.version;
    let resolved = resolve::resolve(version, &states, Vec::new(), &fetch);
    let resolved = resolved.expect("the first algorithm has no errors");
    let ids = resolved.values().filter_map(|event| events.get(event)).map(|(id, _)| *id);
    Ok(ids.filter_map(|id| Some((arena.fact(id).pair?, id))).filter(|(pair, _)| conflict.contains(*pair)).collect())
}

/// The entries that all states share by which the conflicted events are judged.
fn agreed(
    arena: &mut Arena<'_>,
    conflict: &mut Conflict,
    events: &mut HashMap<OwnedEventId, (Id, Arc<Pdu>)>,
) -> Result<State, Halt> {
    let mut keys: BTreeSet<(String, String)> = BTreeSet::new();
    for (_, event) in events.values() {
        let (sender, state_key) = (event.sender.as_str(), event.state_key.as_deref());
        keys.extend(auth_types(event.version(), &event.event_type, sender, state_key, event.content_str()));
    }
    let mut state = State::new();
    for key in keys {
        let Some(pair) = arena.facts.states().pair(&key.0, &key.1)? else { continue };
        if let Some(id) = conflict.agreed(arena, pair)? {
            let event = arena.facts.event(arena.fact(id))?;
            state.insert(key, event.event_id.clone());
            events.insert(event.event_id.clone(), (id, event));
        }
    }
    Ok(state)
}
