//! How the state before an event came about that joins branches, for whoever asks: what they differed in, and who won.

use engram_log::Offset;
use engram_views::{Read, ViewError};

use super::super::lookup::Pdus;
use super::Decided;
use super::arena::Arena;
use super::checks::Step;
use super::facts::Facts;
use super::work::{Halt, Meter};
use crate::limits::EXPLANATION_MEMO_BYTES;
use crate::query::{self, EventMeta};
use crate::state;
use crate::types::RoomNumber;

/// A resolution of states.
#[derive(Clone, Debug, Default)]
pub struct Resolution {
    /// The number of states that differed.
    pub states: usize,
    /// The number of entries in which they did.
    pub entries: usize,
    /// The number of different events that held those.
    pub events: usize,
    /// Those, and the events of auth chains that were judged with them.
    pub full: usize,
    /// How many of them were ordered by power.
    pub by_power: usize,
    /// What it cost, in units: see [`crate::limits::RESOLUTION_UNITS_MAX`].
    pub units: u64,
    /// The first entries of those, in no order that would mean anything.
    pub contests: Vec<Contest>,
}

/// An entry in which states differed.
#[derive(Clone, Debug)]
pub struct Contest {
    /// Its event type.
    pub event_type: String,
    /// Its state key.
    pub state_key: String,
    /// The events that held it, each once. With none, a state had no such entry.
    pub candidates: Vec<Option<Offset>>,
    /// The event that holds it now, if one does.
    pub winner: Option<Offset>,
    /// In which step that event was allowed. The first algorithm knows no such steps.
    pub step: Option<Step>,
}

/// Resolves the states once more that met before an event, with at most `contests_max` entries told of; none if they
/// were all the same, or the resolution takes more than any may.
pub fn resolution_before(
    reader: &dyn Read,
    room: RoomNumber,
    offset: Offset,
    meta: &EventMeta,
    contests_max: usize,
) -> Result<Option<Resolution>, ViewError> {
    if !meta.state_is_resolved {
        return Ok(None);
    }
    let mut roots = Vec::new();
    for parent in &query::pdu(reader, offset)?.prev_events {
        let Some((_, parent)) = query::locate(reader, parent.as_str())?.filter(|(at, _)| *at == room) else { continue };
        if let Some((parent, meta)) = query::placed(reader, room, parent)?
            && meta.place != query::Place::Apart
        {
            roots.push(query::state_after(reader, room, parent, &meta)?);
        }
    }
    roots.sort_unstable();
    roots.dedup();
    if roots.len() < 2 {
        return Ok(None);
    }
    let info = query::room_by_number(reader, room)?;
    let pdus = Pdus::new(EXPLANATION_MEMO_BYTES);
    let mut arena = Arena::new(Facts::new(reader, &pdus, &info));
    let mut meter = Meter::default();
    match Decided::of(&mut arena, &roots, &mut meter) {
        Ok(decided) => told(reader, &arena, &decided, meter.spent(), contests_max).map(Some),
        Err(Halt::View(error)) => Err(error),
        Err(Halt::TooMuch) => Ok(None),
    }
}

fn told(
    reader: &dyn Read,
    arena: &Arena<'_>,
    decided: &Decided,
    units: u64,
    contests_max: usize,
) -> Result<Resolution, ViewError> {
    let mut resolution = Resolution {
        states: decided.entries.first().map_or(0, |(_, values)| values.len()),
        entries: decided.entries.len(),
        events: decided.conflicted,
        full: decided.full,
        by_power: decided.power_events,
        units,
        contests: Vec::new(),
    };
    for (pair, values) in decided.entries.iter().take(contests_max) {
        let (event_type, state_key) = state::pair_name(reader, *pair)?;
        let mut candidates: Vec<Option<Offset>> =
            values.iter().map(|value| value.map(|id| arena.fact(id).place)).collect();
        candidates.sort_unstable();
        candidates.dedup();
        let winner = decided.winners.get(pair);
        let step = winner.and_then(|(_, step)| *step);
        let winner = winner.map(|(id, _)| arena.fact(*id).place);
        resolution.contests.push(Contest { event_type, state_key, candidates, winner, step });
    }
    Ok(resolution)
}
