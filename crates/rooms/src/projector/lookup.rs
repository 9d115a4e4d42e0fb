//! Events as the authorization rules ask for them: by ID, by position, by state entry.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use engram_log::Offset;
use engram_matrix::auth::StateMap;
use engram_matrix::pdu::Pdu;
use engram_views::{Read, ViewError};

use crate::query::{self, Verdict};
use crate::state::Root;
use crate::types::RoomNumber;

/// Bytes of events that are kept parsed.
const BYTES_MAX: usize = 16 << 20;

/// Parsed events by position, with the mark of rejected ones.
#[derive(Default)]
pub(super) struct Pdus {
    parsed: RefCell<Parsed>,
}

#[derive(Default)]
struct Parsed {
    events: HashMap<Offset, Arc<Pdu>>,
    bytes: usize,
}

impl Pdus {
    /// The event at a position.
    pub(super) fn at(&self, view: &dyn Read, room: RoomNumber, offset: Offset) -> Result<Arc<Pdu>, ViewError> {
        if let Some(pdu) = self.parsed.borrow().events.get(&offset) {
            return Ok(Arc::clone(pdu));
        }
        let mut pdu = query::pdu(view, offset)?;
        let meta = query::meta(view, room, offset)?;
        if meta.is_some_and(|meta| meta.verdict == Verdict::Rejected) {
            pdu = Arc::new(Pdu::clone(&pdu).into_rejected());
        }
        self.keep(offset, &pdu);
        Ok(pdu)
    }

    /// Remembers an event that is in the tables and was not rejected.
    pub(super) fn keep(&self, offset: Offset, pdu: &Arc<Pdu>) {
        let mut parsed = self.parsed.borrow_mut();
        if parsed.bytes > BYTES_MAX {
            *parsed = Parsed::default();
        }
        parsed.bytes += pdu.json().len() + size_of::<Pdu>();
        parsed.events.insert(offset, Arc::clone(pdu));
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
            let Some((room, offset)) = query::locate(self.view, event_id)? else { return Ok(None) };
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
        self.noted(query::state_entry(self.view, root, event_type, state_key))
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
