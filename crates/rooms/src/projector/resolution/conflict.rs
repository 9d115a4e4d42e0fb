//! The entries in which states differ.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use engram_log::Offset;
use smallvec::{SmallVec, smallvec};

use super::arena::{Arena, Entries, Id, Set};
use super::work::{DIFFERENCE, Halt, Meter};
use crate::state::{Pair, Root};

/// What each of the states holds for an entry.
pub(super) type Values = SmallVec<[Option<Id>; 2]>;

/// States, and in what they differ.
pub(super) struct Conflict {
    /// The number of states.
    pub(super) states: usize,
    /// The entries of which not all states hold the same event, in the order of their pairs.
    pub(super) entries: Vec<(Pair, Values)>,
    /// Whether some state names the event of an entry, by pair, under a place that it has left.
    pub(super) renamed: BTreeSet<Pair>,
    places: HashMap<Pair, usize>,
    /// Entries of which all states hold the same event, but some of them under a place that it has left.
    pub(super) moved: Vec<(Pair, Id)>,
    /// The events of the entries: the conflicted state set.
    pub(super) events: Set,
    /// What all states have in common, and more: any of them, for entries that are not in conflict.
    pub(super) common: Entries,
}

impl Conflict {
    /// Compares states, of which there are two at least.
    pub(super) fn between(arena: &mut Arena<'_>, roots: &[Root], meter: &mut Meter) -> Result<Self, Halt> {
        assert!(roots.len() > 1, "one state is in no conflict");
        let mut offsets: BTreeMap<Pair, SmallVec<[Option<Offset>; 2]>> = BTreeMap::new();
        for (at, root) in roots.iter().enumerate().skip(1) {
            let changes = arena.facts.states().diff(roots[0], *root)?;
            meter.spend(DIFFERENCE * changes.len() as u64)?;
            for change in changes {
                let values = offsets.entry(change.pair).or_insert_with(|| smallvec![change.before; roots.len()]);
                values[at] = change.after;
            }
        }
        meter.spend(DIFFERENCE * (offsets.len() * roots.len()) as u64)?;
        let mut conflict = Self {
            states: roots.len(),
            entries: Vec::with_capacity(offsets.len()),
            renamed: BTreeSet::new(),
            places: HashMap::with_capacity(offsets.len()),
            moved: Vec::new(),
            events: Set::default(),
            common: Entries::new(roots[0]),
        };
        for (pair, values) in offsets {
            conflict.take(arena, pair, &values)?;
        }
        Ok(conflict)
    }

    fn take(&mut self, arena: &mut Arena<'_>, pair: Pair, offsets: &[Option<Offset>]) -> Result<(), Halt> {
        let mut values = Values::with_capacity(offsets.len());
        for offset in offsets {
            values.push(offset.map(|offset| arena.id(offset)).transpose()?);
        }
        if let Some(Some(only)) = values.first().copied()
            && values.iter().all(|value| *value == Some(only))
        {
            self.moved.push((pair, only));
            return Ok(());
        }
        for (id, offset) in values.iter().zip(offsets) {
            if let (Some(id), Some(offset)) = (id, offset) {
                self.events.insert(*id);
                if arena.fact(*id).place != *offset {
                    self.renamed.insert(pair);
                }
            }
        }
        self.places.insert(pair, self.entries.len());
        self.entries.push((pair, values));
        Ok(())
    }

    /// Whether the states differ in an entry.
    pub(super) fn contains(&self, pair: Pair) -> bool {
        self.places.contains_key(&pair)
    }

    /// What all states hold for an entry; none if they differ.
    pub(super) fn agreed(&mut self, arena: &mut Arena<'_>, pair: Pair) -> Result<Option<Id>, Halt> {
        if self.contains(pair) {
            return Ok(None);
        }
        self.common.get(arena, pair)
    }

    /// Whether an event holds an entry of all states.
    pub(super) fn is_agreed(&mut self, arena: &mut Arena<'_>, id: Id) -> Result<bool, Halt> {
        match arena.fact(id).pair {
            Some(pair) => Ok(self.agreed(arena, pair)? == Some(id)),
            None => Ok(false),
        }
    }
}
