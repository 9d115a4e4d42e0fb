//! Events as the authorization rules ask for them: by ID, by position, by state entry.

use std::cell::RefCell;
use std::sync::Arc;

use engram_log::Offset;
use engram_matrix::auth::StateMap;
use engram_matrix::pdu::Pdu;
use engram_views::{Read, ViewError};

use super::resolution::Fact;
use crate::limits::FACTS_BYTES_MAX;
use crate::query::{self, Verdict};
use crate::recent::Recent;
use crate::state::{self, Remembering, Root};
use crate::types::RoomNumber;

/// Events that were read lately, with the mark of rejected ones, and the memory of states.
pub(super) struct Pdus {
    parsed: RefCell<Recent<Offset, Arc<Pdu>>>,
    places: RefCell<Recent<Box<str>, (RoomNumber, Offset)>>,
    pub(super) states: state::Memo,
    /// What state resolution knows of events, by every place that they have had.
    pub(super) facts: RefCell<Recent<Offset, Arc<Fact>>>,
}

impl Pdus {
    /// Remembers so many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        let weigh_pdu = |_: &Offset, pdu: &Arc<Pdu>| pdu.json().len() + size_of::<Pdu>() + 256;
        Self {
            parsed: RefCell::new(Recent::new(bytes / 3, weigh_pdu)),
            places: RefCell::new(Recent::new(bytes / 6, |id, _| 64 + id.len())),
            states: state::Memo::new(bytes / 2),
            facts: RefCell::new(Recent::new(FACTS_BYTES_MAX.min(bytes), |_, fact| fact.weight())),
        }
    }

    /// The event at a position.
    pub(super) fn at(&self, view: &dyn Read, room: RoomNumber, offset: Offset) -> Result<Arc<Pdu>, ViewError> {
        if let Some(pdu) = self.parsed.borrow_mut().get(&offset) {
            return Ok(pdu);
        }
        let mut pdu = query::pdu(view, offset)?;
        let meta = query::meta(view, room, offset)?;
        if meta.is_some_and(|meta| meta.verdict == Verdict::Rejected) {
            pdu = Arc::new(Pdu::clone(&pdu).into_rejected());
        }
        self.keep(offset, &pdu);
        Ok(pdu)
    }

    /// Forgets an event that is about to be judged again.
    pub(super) fn forget(&self, offset: Offset) {
        self.parsed.borrow_mut().forget(&offset);
        self.facts.borrow_mut().forget(&offset);
    }

    /// Remembers an event that is in the tables and was not rejected.
    pub(super) fn keep(&self, offset: Offset, pdu: &Arc<Pdu>) {
        self.parsed.borrow_mut().put(offset, Arc::clone(pdu));
    }

    /// [`query::locate`].
    pub(super) fn locate(&self, view: &dyn Read, event_id: &str) -> Result<Option<(RoomNumber, Offset)>, ViewError> {
        if let Some(place) = self.places.borrow_mut().get(event_id) {
            return Ok(Some(place));
        }
        let found = query::locate(view, event_id)?;
        if let Some((room, offset)) = found {
            self.place(event_id, room, offset);
        }
        Ok(found)
    }

    /// Remembers where an event is now.
    pub(super) fn place(&self, event_id: &str, room: RoomNumber, offset: Offset) {
        self.places.borrow_mut().put(event_id.into(), (room, offset));
    }
}

/// Look-ups for rules that know no errors: the first one is kept, and surfaces in [`Lookup::finish`].
pub(super) struct Lookup<'a> {
    view: &'a dyn Read,
    pdus: &'a Pdus,
    room: RoomNumber,
    error: RefCell<Option<ViewError>>,
}

impl<'a> Lookup<'a> {
    pub(super) fn new(view: &'a dyn Read, pdus: &'a Pdus, room: RoomNumber) -> Self {
        Self { view, pdus, room, error: RefCell::default() }
    }

    /// An event of any room by its ID; outliers too.
    pub(super) fn event(&self, event_id: &str) -> Option<Arc<Pdu>> {
        self.located(event_id).map(|(_, pdu)| pdu)
    }

    /// An event by its ID, with its position.
    pub(super) fn located(&self, event_id: &str) -> Option<(Offset, Arc<Pdu>)> {
        let find = || {
            let Some((room, offset)) = self.pdus.locate(self.view, event_id)? else { return Ok(None) };
            Ok(Some((offset, self.pdus.at(self.view, room, offset)?)))
        };
        self.noted(find())
    }

    /// An event of the room by its position.
    pub(super) fn at(&self, offset: Offset) -> Option<Arc<Pdu>> {
        self.noted(self.pdus.at(self.view, self.room, offset).map(Some))
    }

    /// The position of a state entry.
    pub(super) fn entry(&self, root: Root, event_type: &str, state_key: &str) -> Option<Offset> {
        self.noted(self.states().entry(root, event_type, state_key))
    }

    /// The states of the room.
    pub(super) fn states(&self) -> Remembering<'a> {
        Remembering::new(self.view, &self.pdus.states)
    }

    /// Whether everything could be read: an answer that was given before this is not to be used otherwise.
    pub(super) fn finish(&self) -> Result<(), ViewError> {
        self.error.borrow_mut().take().map_or(Ok(()), Err)
    }

    fn noted<T>(&self, result: Result<Option<T>, ViewError>) -> Option<T> {
        result.unwrap_or_else(|error| {
            self.error.borrow_mut().get_or_insert(error);
            None
        })
    }
}

/// A state as the rules see it.
pub(super) struct StoredState<'a> {
    pub(super) lookup: &'a Lookup<'a>,
    pub(super) root: Root,
}

impl StateMap for StoredState<'_> {
    fn get(&self, event_type: &str, state_key: &str) -> Option<Arc<Pdu>> {
        self.lookup.at(self.lookup.entry(self.root, event_type, state_key)?)
    }
}

/// The state that a list of auth events amounts to.
pub(super) struct ListedState(pub(super) Vec<Arc<Pdu>>);

impl StateMap for ListedState {
    fn get(&self, event_type: &str, state_key: &str) -> Option<Arc<Pdu>> {
        self.0.iter().find(|event| event.is_state_of(event_type, state_key)).cloned()
    }
}
