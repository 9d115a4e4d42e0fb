//! The auth difference, without walking the auth chains of a whole room.
//!
//! The full auth chain of a state is that of its conflicted entries and that of its unconflicted ones. The latter is the same for all
//! states, so an event is in the difference if only some of the former have it, and the latter has not. So the former are followed
//! down to unconflicted entries only. Whether the latter has an event is seldom far to seek: mostly the event, or one that leads to it, is an unconflicted entry itself. Where it is not,
//! the events that name it are followed upwards until one is.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use engram_log::Offset;
use engram_matrix::pdu::Pdu;
use engram_matrix::resolve::AuthChain;
use engram_matrix::{EventId, OwnedEventId};
use engram_views::{Read, ViewError};

use super::chains::{self, Budget};
use super::lookup::Lookup;
use crate::limits::AUTH_CHILDREN_VISITS_MAX;
use crate::rows::event_id_mark;
use crate::state::{Pair, Root};
use crate::tables::AUTH_CHILDREN;

/// Rows that are read at once; the first of them nearly always settles the matter.
const PAGE_ROWS: usize = 8;

/// An event that was looked up by its ID.
pub(super) type Located = Option<(Offset, Arc<Pdu>)>;

/// The entries that all states have in common.
pub(super) struct Common<'a> {
    pub(super) view: &'a dyn Read,
    pub(super) lookup: &'a Lookup<'a>,
    /// Any of the states.
    pub(super) base: Root,
    pub(super) is_conflicted: &'a dyn Fn(Pair) -> bool,
    pub(super) fetch: &'a dyn Fn(&EventId) -> Located,
}

/// Key of the row that says that the event at `child` names another among its auth events.
pub(super) fn child_key(event_id: &str, child: Offset) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&event_id_mark(event_id));
    key[8..].copy_from_slice(&child.to_be_bytes());
    key
}

impl Common<'_> {
    /// What is reached from events of one state, but not beyond common entries: what is below those is in all states' chains.
    pub(super) fn chain<'a>(
        &self,
        events: impl IntoIterator<Item = &'a OwnedEventId>,
        budget: &mut Budget,
    ) -> Result<Option<AuthChain>, ViewError> {
        let fetch = |id: &EventId| (self.fetch)(id).map(|(_, event)| event);
        chains::chain(events, &fetch, &|id| self.has(id), budget)
    }

    /// The events that are in some state's full auth chain, but not in all of them, without the conflicted ones; none if that is too far to seek. `chains` are
    /// those of each state's conflicted entries, by [`Common::chain`].
    pub(super) fn difference(
        &self,
        chains: &[AuthChain],
        conflicted: &BTreeSet<OwnedEventId>,
        budget: &mut Budget,
    ) -> Result<Option<AuthChain>, ViewError> {
        let all: AuthChain = chains.iter().flatten().cloned().collect();
        let in_all = |id: &OwnedEventId| chains.iter().all(|chain| chain.contains(id));
        let candidates: Vec<OwnedEventId> =
            all.into_iter().filter(|id| !conflicted.contains(id) && !in_all(id)).collect();
        let (mut in_common, mut difference) = (AuthChain::new(), AuthChain::new());
        let visits = Cell::new(0);
        for id in &candidates {
            if in_common.contains(id) || self.has(id)? {
                continue;
            }
            match self.leads_to(id, &visits)? {
                Some(true) => {
                    let Some(below) = self.chain([id], budget)? else { return Ok(None) };
                    in_common.extend(below);
                }
                Some(false) => drop(difference.insert(id.clone())),
                None => return self.difference_from_all(candidates, budget),
            }
        }
        Ok(Some(difference))
    }

    /// Which of the candidates no common entry leads to, by way of all of them.
    fn difference_from_all(
        &self,
        candidates: Vec<OwnedEventId>,
        budget: &mut Budget,
    ) -> Result<Option<AuthChain>, ViewError> {
        let fetch = |id: &EventId| (self.fetch)(id).map(|(_, event)| event);
        let everything = chains::chain(&self.all_entries()?, &fetch, &|_| Ok(false), budget)?;
        Ok(everything.map(|everything| candidates.into_iter().filter(|id| !everything.contains(id)).collect()))
    }

    /// Whether an event is a common entry.
    fn has(&self, id: &EventId) -> Result<bool, ViewError> {
        let Some((offset, event)) = (self.fetch)(id) else { return Ok(false) };
        let Some(state_key) = &event.state_key else { return Ok(false) };
        let states = self.lookup.states();
        match states.pair(&event.event_type, state_key)? {
            Some(pair) if !(self.is_conflicted)(pair) => {
                let entry = states.get(self.base, pair)?;
                // A state that was given names an event that has its place since where it was before.
                Ok(entry
                    .is_some_and(|at| at == offset || self.lookup.at(at).is_some_and(|entry| entry.event_id == *id)))
            }
            _ => Ok(false),
        }
    }

    /// Whether the event is in the auth chain of a common entry; none if that is too far to seek.
    fn leads_to(&self, id: &OwnedEventId, visits: &Cell<usize>) -> Result<Option<bool>, ViewError> {
        let mut seen = BTreeSet::from([id.clone()]);
        let mut pending = vec![(id.clone(), Offset(u64::MAX))];
        while let Some((id, before)) = pending.pop() {
            let page = self.children(&id, before)?;
            if page.len() == PAGE_ROWS {
                pending.extend(page.last().map(|last| (id.clone(), *last)));
            }
            for child in page {
                visits.set(visits.get() + 1);
                if visits.get() > AUTH_CHILDREN_VISITS_MAX {
                    return Ok(None);
                }
                let Some(child) = self.lookup.at(child).filter(|child| child.auth_events.contains(&id)) else {
                    continue;
                };
                if self.has(&child.event_id)? {
                    return Ok(Some(true));
                }
                if seen.insert(child.event_id.clone()) {
                    pending.push((child.event_id.clone(), Offset(u64::MAX)));
                }
            }
        }
        Ok(Some(false))
    }

    /// The next page of events before an offset that may name an event among their auth events, newest first: those
    /// are more likely to be entries still.
    fn children(&self, id: &EventId, before: Offset) -> Result<Vec<Offset>, ViewError> {
        let (from, to) = (child_key(id.as_str(), Offset::ZERO), child_key(id.as_str(), before));
        let mut children = Vec::with_capacity(PAGE_ROWS);
        let mut visit = |key: &[u8], _: &[u8]| {
            let offset = key.get(8..16).and_then(|bytes| bytes.try_into().ok());
            children.push(offset.map(Offset::from_be_bytes));
            if children.len() == PAGE_ROWS { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        self.view.scan(&AUTH_CHILDREN, Bound::Included(&from), Bound::Excluded(&to), true, &mut visit)?;
        let malformed = ViewError::Row { table: AUTH_CHILDREN.name, what: "the key is too short" };
        children.into_iter().collect::<Option<_>>().ok_or(malformed)
    }

    fn all_entries(&self) -> Result<Vec<OwnedEventId>, ViewError> {
        let entries = self.lookup.states().entries(self.base)?;
        let common = entries.into_iter().filter(|(pair, _)| !(self.is_conflicted)(*pair));
        Ok(common.filter_map(|(_, offset)| self.lookup.at(offset)).map(|event| event.event_id.clone()).collect())
    }
}
