//! The events that one resolution looks at, numbered in the order in which it meets them.

use std::collections::HashMap;
use std::sync::Arc;

use engram_log::Offset;

use super::facts::{Fact, Facts};
use super::work::Halt;
use crate::limits::RESOLUTION_EVENTS_MAX;
use crate::state::{Pair, Root};

/// Number of an event in one resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Id(u32);

impl Id {
    pub(super) fn at(self) -> usize {
        self.0 as usize
    }
}

/// All events that were met.
pub(super) struct Arena<'a> {
    pub(super) facts: Facts<'a>,
    events: Vec<Arc<Fact>>,
    /// By every place under which an event was asked for.
    ids: HashMap<Offset, Id>,
}

impl<'a> Arena<'a> {
    pub(super) fn new(facts: Facts<'a>) -> Self {
        Self { facts, events: Vec::new(), ids: HashMap::new() }
    }

    /// The event at a place, or at one that was its place before.
    pub(super) fn id(&mut self, offset: Offset) -> Result<Id, Halt> {
        if let Some(id) = self.ids.get(&offset) {
            return Ok(*id);
        }
        let fact = self.facts.at(offset)?;
        let id = match self.ids.get(&fact.place) {
            Some(id) => *id,
            None if self.events.len() >= RESOLUTION_EVENTS_MAX => return Err(Halt::TooMuch),
            None => {
                let id = Id(u32::try_from(self.events.len()).expect("the work of a resolution has a limit below 2^32"));
                self.ids.insert(fact.place, id);
                self.events.push(fact);
                id
            }
        };
        self.ids.insert(offset, id);
        Ok(id)
    }

    pub(super) fn fact(&self, id: Id) -> &Arc<Fact> {
        &self.events[id.at()]
    }

    /// The auth events that are known.
    pub(super) fn auth(&mut self, id: Id) -> Result<impl Iterator<Item = Id> + use<>, Halt> {
        let fact = Arc::clone(self.fact(id));
        let mut ids = smallvec::SmallVec::<[Id; 4]>::new();
        for offset in &fact.auth {
            ids.push(self.id(*offset)?);
        }
        Ok(ids.into_iter())
    }
}

/// A set of events.
#[derive(Clone, Default)]
pub(super) struct Set {
    has: Vec<bool>,
    list: Vec<Id>,
}

impl Set {
    /// Whether it was not there before.
    pub(super) fn insert(&mut self, id: Id) -> bool {
        if self.has.len() <= id.at() {
            self.has.resize(id.at() + 1, false);
        }
        let is_new = !std::mem::replace(&mut self.has[id.at()], true);
        if is_new {
            self.list.push(id);
        }
        is_new
    }

    pub(super) fn contains(&self, id: Id) -> bool {
        self.has.get(id.at()).copied().unwrap_or(false)
    }

    /// In the order in which they were put in.
    pub(super) fn iter(&self) -> impl Iterator<Item = Id> + '_ {
        self.list.iter().copied()
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }
}

/// The entries of one state, each looked up once.
pub(super) struct Entries {
    root: Root,
    known: HashMap<Pair, Option<Id>>,
}

impl Entries {
    pub(super) fn new(root: Root) -> Self {
        Self { root, known: HashMap::new() }
    }

    pub(super) fn root(&self) -> Root {
        self.root
    }

    pub(super) fn get(&mut self, arena: &mut Arena<'_>, pair: Pair) -> Result<Option<Id>, Halt> {
        if let Some(known) = self.known.get(&pair) {
            return Ok(*known);
        }
        let offset = arena.facts.states().get(self.root, pair)?;
        let id = offset.map(|offset| arena.id(offset)).transpose()?;
        self.known.insert(pair, id);
        Ok(id)
    }
}
