//! The two orders in which conflicted events are judged: the reverse topological power ordering, and the mainline
//! ordering.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use engram_matrix::OwnedEventId;
use engram_matrix::auth::{Level, PowerLevels};

use super::arena::{Arena, Id, Set};
use super::facts::Kind;
use super::work::{CHAIN_EVENT, CONFLICTED_EVENT, Halt, Meter};

/// Power events among the full conflicted set, with what of their auth chains is in it, in reverse topological power
/// ordering.
pub(super) fn by_power(arena: &mut Arena<'_>, full: &Set, meter: &mut Meter) -> Result<Vec<Id>, Halt> {
    let graph = power_graph(arena, full, meter)?;
    let mut waits: HashMap<Id, usize> = HashMap::with_capacity(graph.len());
    let mut followers: HashMap<Id, Vec<Id>> = HashMap::new();
    let mut ready = BinaryHeap::new();
    for (id, parents) in &graph {
        waits.insert(*id, parents.len());
        for parent in parents {
            followers.entry(*parent).or_default().push(*id);
        }
        if parents.is_empty() {
            ready.push(Reverse(rank(arena, *id)?));
        }
    }
    let mut order = Vec::with_capacity(graph.len());
    while let Some(Reverse((.., id))) = ready.pop() {
        order.push(id);
        for follower in followers.remove(&id).unwrap_or_default() {
            let left = waits.get_mut(&follower).expect("every event of the graph has its count");
            *left -= 1;
            if *left == 0 {
                ready.push(Reverse(rank(arena, follower)?));
            }
        }
    }
    Ok(order)
}

/// The events to order, each with those of its auth events that are in the full conflicted set, once each.
fn power_graph(arena: &mut Arena<'_>, full: &Set, meter: &mut Meter) -> Result<Vec<(Id, Vec<Id>)>, Halt> {
    let mut seen = Set::default();
    let mut pending: Vec<Id> = full.iter().filter(|id| arena.fact(*id).is_power).collect();
    for id in &pending {
        seen.insert(*id);
    }
    let mut graph = Vec::with_capacity(pending.len());
    while let Some(id) = pending.pop() {
        meter.spend(CONFLICTED_EVENT)?;
        let mut parents: Vec<Id> = arena.auth(id)?.filter(|parent| full.contains(*parent)).collect();
        parents.sort_unstable();
        parents.dedup();
        pending.extend(parents.iter().filter(|parent| seen.insert(**parent)));
        graph.push((id, parents));
    }
    Ok(graph)
}

/// What is smaller comes first: by more power, then by the earlier time, then by ID.
type Rank = (Reverse<Level>, u64, OwnedEventId, Id);

fn rank(arena: &mut Arena<'_>, id: Id) -> Result<Rank, Halt> {
    let power = power_of_sender(arena, id)?;
    let fact = arena.fact(id);
    Ok((Reverse(power), fact.ts, fact.event_id.clone(), id))
}

/// The power of an event's sender, by its auth events alone.
fn power_of_sender(arena: &mut Arena<'_>, id: Id) -> Result<Level, Halt> {
    let fact = Arc::clone(arena.fact(id));
    let levels = match fact.levels {
        Some(levels) => {
            let levels = arena.id(levels)?;
            match &arena.fact(levels).kind {
                Kind::Levels(levels) => levels.clone(),
                _ => None,
            }
        }
        None => default_levels(arena)?,
    };
    // Nobody has any power by levels that cannot be read.
    Ok(levels.map_or(Level::Finite(0), |levels| levels.user_level(fact.sender())))
}

/// The levels of the room without an event that sets them.
pub(super) fn default_levels(arena: &Arena<'_>) -> Result<Option<Arc<PowerLevels>>, Halt> {
    let Some(creation) = arena.facts.creation()? else { return Ok(None) };
    Ok(PowerLevels::parse(arena.facts.room.version, None, &creation).ok().map(Arc::new))
}

/// Events in the mainline ordering based on a power levels event, those left out that refer to what is not known.
pub(super) fn by_mainline(
    arena: &mut Arena<'_>,
    events: Vec<Id>,
    levels: Option<Id>,
    meter: &mut Meter,
) -> Result<Vec<Id>, Halt> {
    let mut mainline = Mainline::of(arena, levels, meter)?;
    let mut order = Vec::with_capacity(events.len());
    for id in events {
        meter.spend(CONFLICTED_EVENT)?;
        if let Some(position) = mainline.position(arena, id, meter)? {
            order.push((position, arena.fact(id).ts, id));
        }
    }
    order.sort_unstable_by(|left, right| {
        let by_id = || arena.fact(left.2).event_id.cmp(&arena.fact(right.2).event_id);
        (left.0, left.1).cmp(&(right.0, right.1)).then_with(by_id)
    });
    Ok(order.into_iter().map(|(.., id)| id).collect())
}

/// Positions, counted from the oldest power levels event of the mainline, which has one. Zero is before all of them,
/// and belongs to what leads to none.
struct Mainline {
    /// None is what has no position.
    positions: HashMap<Id, Option<u32>>,
}

impl Mainline {
    fn of(arena: &mut Arena<'_>, levels: Option<Id>, meter: &mut Meter) -> Result<Self, Halt> {
        let (mut line, mut seen) = (Vec::new(), Set::default());
        let mut next = levels;
        // A malformed cycle ends where it closes.
        while let Some(id) = next.filter(|id| seen.insert(*id)) {
            meter.spend(CHAIN_EVENT)?;
            line.push(id);
            next = arena.fact(id).levels.map(|offset| arena.id(offset)).transpose()?;
        }
        let positions = line.into_iter().rev().zip(1..).map(|(id, position)| (id, Some(position))).collect();
        Ok(Self { positions })
    }

    fn position(&mut self, arena: &mut Arena<'_>, id: Id, meter: &mut Meter) -> Result<Option<u32>, Halt> {
        let mut path = Vec::new();
        let mut next = Some(id);
        let position = loop {
            let Some(id) = next else { break Some(0) };
            if let Some(known) = self.positions.get(&id) {
                break *known;
            }
            meter.spend(CHAIN_EVENT)?;
            // Until it is known; a malformed cycle finds this.
            self.positions.insert(id, Some(0));
            path.push(id);
            if arena.fact(id).is_unordered() {
                break None;
            }
            next = arena.fact(id).levels.map(|offset| arena.id(offset)).transpose()?;
        };
        for id in path {
            self.positions.insert(id, position);
        }
        Ok(position)
    }
}
