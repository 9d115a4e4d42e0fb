//! The iterative auth checks: events in an order, each applied to the state if the rules allow it there.

use std::collections::HashMap;
use std::sync::Arc;

use engram_matrix::auth::{self, PowerLevels, StateMap, parsed};
use engram_matrix::membership::Membership;
use engram_matrix::pdu::Pdu;

use super::arena::{Arena, Id};
use super::conflict::Conflict;
use super::facts::{Fact, Kind};
use super::order::default_levels;
use super::work::{CHECK, FULL_CHECK, FULL_CHECK_LEVEL, Halt, LEVELS_A_UNIT, Meter};
use crate::state::Pair;

/// In which of its two passes the algorithm has applied an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Among the power events, in reverse topological power ordering.
    Power,
    /// After those, in mainline ordering.
    Mainline,
}

/// The state as it is being resolved.
pub(super) struct Checks<'c> {
    conflict: &'c mut Conflict,
    /// Version 2.1 begins with an empty state, others with what all states share.
    begins_empty: bool,
    /// The entries that events have set.
    set: HashMap<Pair, (Id, Step)>,
    rules: Pairs,
    create: Id,
    default_levels: Option<Arc<PowerLevels>>,
}

/// The pairs of the entries by which nearly every event is judged.
struct Pairs {
    create: Option<Pair>,
    levels: Option<Pair>,
    join_rules: Option<Pair>,
}

/// What one event is judged by.
struct Inputs {
    create: Id,
    levels: Option<Id>,
    sender: Option<Id>,
    target: Option<Id>,
    join_rules: Option<Id>,
}

impl<'c> Checks<'c> {
    pub(super) fn new(arena: &mut Arena<'_>, conflict: &'c mut Conflict, begins_empty: bool) -> Result<Self, Halt> {
        let pair = |event_type: &str| arena.facts.states().pair(event_type, "");
        let rules = Pairs {
            create: pair("m.room.create")?,
            levels: pair("m.room.power_levels")?,
            join_rules: pair("m.room.join_rules")?,
        };
        let create = arena.id(arena.facts.room.create)?;
        let default_levels = default_levels(arena)?;
        Ok(Self { conflict, begins_empty, set: HashMap::new(), rules, create, default_levels })
    }

    /// Applies events in order.
    pub(super) fn apply(
        &mut self,
        arena: &mut Arena<'_>,
        events: &[Id],
        step: Step,
        meter: &mut Meter,
    ) -> Result<(), Halt> {
        for id in events {
            let fact = Arc::clone(arena.fact(*id));
            let Some(pair) = fact.pair else { continue };
            if self.is_allowed(arena, &fact, meter)? {
                self.set.insert(pair, (*id, step));
            }
        }
        Ok(())
    }

    /// What holds an entry, and since which step if an event was applied there.
    pub(super) fn set(&self) -> &HashMap<Pair, (Id, Step)> {
        &self.set
    }

    /// The power levels event by which the mainline goes.
    pub(super) fn levels(&mut self, arena: &mut Arena<'_>) -> Result<Option<Id>, Halt> {
        self.rules.levels.map_or(Ok(None), |pair| self.entry(arena, pair))
    }

    fn entry(&mut self, arena: &mut Arena<'_>, pair: Pair) -> Result<Option<Id>, Halt> {
        if let Some((id, _)) = self.set.get(&pair) {
            return Ok(Some(*id));
        }
        if self.begins_empty { Ok(None) } else { self.conflict.agreed(arena, pair) }
    }

    /// What the state holds for an entry or else the event's own auth events do, without rejected events.
    fn input(&mut self, arena: &mut Arena<'_>, fact: &Fact, pair: Option<Pair>) -> Result<Option<Id>, Halt> {
        let Some(pair) = pair else { return Ok(None) };
        if let Some(id) = self.entry(arena, pair)?
            && !arena.fact(id).is_rejected
        {
            return Ok(Some(id));
        }
        for offset in fact.auth.iter().rev() {
            let id = arena.id(*offset)?;
            if arena.fact(id).pair == Some(pair) && !arena.fact(id).is_rejected {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    fn is_allowed(&mut self, arena: &mut Arena<'_>, fact: &Fact, meter: &mut Meter) -> Result<bool, Halt> {
        meter.spend(CHECK)?;
        if fact.name.as_ref().is_some_and(|name| name.0 == "m.room.create") {
            // Nothing that depends on a state forbids it.
            return Ok(true);
        }
        let Some(inputs) = self.inputs(arena, fact)? else { return Ok(false) };
        if let Some(is_allowed) = self.judge(arena, fact, &inputs, meter)? {
            return Ok(is_allowed);
        }
        self.judge_in_full(arena, fact, meter)
    }

    /// None if there is no create event, without which nothing is allowed.
    fn inputs(&mut self, arena: &mut Arena<'_>, fact: &Fact) -> Result<Option<Inputs>, Halt> {
        let create = if arena.facts.room.version.create_is_room_id() {
            Some(self.create)
        } else {
            self.input(arena, fact, self.rules.create)?
        };
        let Some(create) = create else { return Ok(None) };
        let (is_member, asks_rules) = match &fact.kind {
            Kind::Member(Some(member)) => (true, matches!(member.membership, Membership::Join | Membership::Knock)),
            _ => (false, false),
        };
        Ok(Some(Inputs {
            create,
            levels: self.input(arena, fact, self.rules.levels)?,
            sender: self.input(arena, fact, fact.sender_pair)?,
            target: if is_member { self.input(arena, fact, fact.pair)? } else { None },
            join_rules: if asks_rules { self.input(arena, fact, self.rules.join_rules)? } else { None },
        }))
    }

    /// Judges an event by what is parsed. None if something was not, or is to be read by the full rules.
    fn judge(&self, arena: &Arena<'_>, fact: &Fact, inputs: &Inputs, meter: &mut Meter) -> Result<Option<bool>, Halt> {
        // Levels were parsed with the room's own create event.
        let Kind::Create(Some(creation)) = &arena.fact(inputs.create).kind else { return Ok(None) };
        if inputs.create != self.create {
            return Ok(None);
        }
        let levels = match inputs.levels.map(|id| &arena.fact(id).kind) {
            Some(Kind::Levels(levels)) => levels.as_ref(),
            Some(_) => None,
            None => self.default_levels.as_ref(),
        };
        let Some(levels) = levels else { return Ok(None) };
        if let Kind::Levels(Some(next)) = &fact.kind {
            meter.spend(((levels.entries() + next.entries()) / LEVELS_A_UNIT) as u64)?;
        }
        let membership = |id: Option<Id>| match id.map(|id| &arena.fact(id).kind) {
            Some(Kind::Member(member)) => member.as_ref().map(|member| member.membership),
            Some(_) => None,
            None => Some(Membership::Leave),
        };
        let (Some(sender), Some(target)) = (membership(inputs.sender), membership(inputs.target)) else {
            return Ok(None);
        };
        let entrance = match inputs.join_rules.map(|id| &arena.fact(id).kind) {
            Some(Kind::JoinRules(entrance)) => *entrance,
            _ => None,
        };
        let Some(subject) = fact.subject() else { return Ok(None) };
        let create = arena.fact(inputs.create).event_id.as_str();
        let has_levels = inputs.levels.is_some();
        let state = parsed::State { create, creation, has_levels, levels, sender, target, entrance };
        Ok(parsed::check(arena.facts.room.version, &subject, &state))
    }

    /// Judges an event by the full rules.
    fn judge_in_full(&mut self, arena: &mut Arena<'_>, fact: &Fact, meter: &mut Meter) -> Result<bool, Halt> {
        let version = arena.facts.room.version;
        let event = arena.facts.event(fact)?;
        let levels = self.input(arena, fact, self.rules.levels)?;
        let entries =
            [levels.map(|id| &arena.fact(id).kind), Some(&fact.kind)].into_iter().flatten().map(|kind| match kind {
                Kind::Levels(Some(levels)) => levels.entries(),
                _ => 0,
            });
        meter.spend(FULL_CHECK + (FULL_CHECK_LEVEL * entries.sum::<usize>()) as u64)?;
        let Some(reads) = auth::reads(version, &event) else { return Ok(false) };
        let mut state = Listed(Vec::new());
        for (event_type, state_key) in reads {
            let pair = arena.facts.states().pair(&event_type, &state_key)?;
            if let Some(id) = self.input(arena, fact, pair)? {
                state.0.push(arena.facts.event(arena.fact(id))?);
            }
        }
        if version.create_is_room_id() {
            state.0.push(arena.facts.event(arena.fact(self.create))?);
        }
        Ok(auth::check_dependent(version, &event, &state).is_ok())
    }
}

/// The few events by which one is judged.
struct Listed(Vec<Arc<Pdu>>);

impl StateMap for Listed {
    fn get(&self, event_type: &str, state_key: &str) -> Option<Arc<Pdu>> {
        self.0.iter().find(|event| event.is_state_of(event_type, state_key)).cloned()
    }
}
