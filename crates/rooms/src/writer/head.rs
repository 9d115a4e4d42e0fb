//! A room's head in memory: where the next event goes and what it is judged against.
//!
//! It includes what is appended but not yet applied, so that the next send need not wait for the last
//! one. Every writer of a room goes through its head, under the room's lock; so an entry of the state
//! that the head has not seen change is the one that the views hold.
//!
//! If the process dies, heads and the unacknowledged tail that they knew of are lost together.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use engram_log::Offset;
use engram_matrix::auth::StateMap;
use engram_matrix::pdu::Pdu;
use engram_matrix::room_version::RoomVersion;
use engram_views::{Read, Snapshot, ViewError};
use smallvec::SmallVec;

use super::power::Powers;
use super::reach::Reading;
use super::send::{OwnedScope, Sent};
use crate::limits::HEAD_BYTES_MAX;
use crate::query;
use crate::state::{self, Root};
use crate::types::{Membership, RoomNumber};

/// A key of the state map.
type StateKey = (Box<str>, Box<str>);

/// Where the next event of a room goes.
pub(super) struct Head {
    pub(super) room_id: Arc<str>,
    pub(super) version: &'static RoomVersion,
    pub(super) prev_events: SmallVec<[Box<str>; 2]>,
    pub(super) depth: u64,
    /// The room has more forward extremities than the next event can name, or its current state is put off. The views
    /// know them; the head is loaded afresh as soon as those have what it has.
    is_partial: bool,
    /// The event that this process appended last.
    pub(super) last: Option<Arc<Pdu>>,
    /// The last record of this room that was appended by this process.
    pub(super) appended: Offset,
    pub(super) state: HeadState,
    /// What this process appended and the views may not have yet, oldest first.
    in_flight: VecDeque<InFlight>,
    pub(super) powers: RefCell<Option<Arc<Powers>>>,
}

/// An event that was appended a moment ago.
struct InFlight {
    offset: Offset,
    event: Arc<Pdu>,
    transaction: Option<OwnedScope>,
}

/// The current state: what changed since the head was loaded, and whatever was looked up.
pub(super) struct HeadState {
    reading: Option<Reading>,
    stored: Option<(RoomNumber, Root)>,
    entries: RefCell<HashMap<StateKey, Option<Arc<Pdu>>>>,
    weight: Weight,
}

/// Bytes of the entries in memory: of this head, and of all heads of the server.
#[derive(Default)]
struct Weight {
    own: Cell<usize>,
    all: Arc<AtomicUsize>,
}

impl Weight {
    fn add(&self, bytes: usize) {
        self.own.set(self.own.get() + bytes);
        self.all.fetch_add(bytes, Ordering::Relaxed);
    }

    fn take(&self, bytes: usize) {
        self.own.set(self.own.get() - bytes);
        self.all.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Weight {
    fn drop(&mut self) {
        self.take(self.own.get());
    }
}

impl Head {
    /// A room that does not exist yet: nothing before its create event.
    pub(super) fn new_room(version: &'static RoomVersion) -> Self {
        Self {
            room_id: Arc::from(""),
            version,
            prev_events: SmallVec::new(),
            depth: 0,
            is_partial: false,
            last: None,
            appended: Offset::ZERO,
            state: HeadState { reading: None, stored: None, entries: RefCell::default(), weight: Weight::default() },
            in_flight: VecDeque::new(),
            powers: RefCell::default(),
        }
    }

    /// Loads the head of a room from the views; none if the room is not known. What it weighs is counted in `all_bytes`
    /// too.
    pub(super) fn load(
        reading: &Reading,
        room_id: &str,
        all_bytes: &Arc<AtomicUsize>,
    ) -> Result<Option<Self>, ViewError> {
        let snapshot = reading.snapshot();
        let Some(room) = query::room(&*snapshot, room_id)? else {
            return Ok(None);
        };
        let head = query::head(&*snapshot, room.number)?;
        Ok(Some(Self {
            room_id: Arc::from(room_id),
            version: room.version,
            depth: head.next.iter().map(|followed| followed.depth).max().unwrap_or(0),
            prev_events: head.next.iter().map(|followed| followed.event_id.as_str().into()).collect(),
            is_partial: head.put_off > 0 || head.next.len() < head.extremities.len(),
            last: None,
            appended: Offset::ZERO,
            state: HeadState {
                reading: Some(reading.clone()),
                stored: Some((room.number, head.state)),
                entries: RefCell::default(),
                weight: Weight { own: Cell::new(0), all: Arc::clone(all_bytes) },
            },
            in_flight: VecDeque::new(),
            powers: RefCell::default(),
        }))
    }

    /// The room's number, if the room was in the views when the head was loaded.
    pub(super) fn number(&self) -> Option<RoomNumber> {
        self.state.stored.map(|(number, _)| number)
    }

    /// The event that a transaction made a moment ago. What is applied is for the views to tell, which know when the
    /// device has ended.
    pub(super) fn remembered(&self, scope: &query::TransactionScope<'_>, applied: Offset) -> Option<Sent> {
        let known = |entry: &&InFlight| {
            entry.offset > applied && entry.transaction.as_ref().is_some_and(|known| known.is(scope))
        };
        let found = self.in_flight.iter().rev().find(known)?;
        Some(Sent::new(&found.event, found.offset))
    }

    /// Whether this process appended an event a moment ago that the views may not have yet.
    pub(super) fn has_in_flight(&self, event_id: &str) -> bool {
        self.in_flight.iter().any(|entry| entry.event.event_id == event_id)
    }

    /// Whether a redaction has taken an event's content away, or is about to.
    pub(super) fn is_redacted(&self, event: &Pdu) -> Result<bool, ViewError> {
        let redacts = |entry: &InFlight| entry.event.redacts.as_ref().is_some_and(|target| *target == event.event_id);
        if self.in_flight.iter().any(redacts) {
            return Ok(true);
        }
        match &self.state.reading {
            Some(reading) => query::is_redacted(&*reading.snapshot(), event),
            None => Ok(false),
        }
    }

    /// An entry of the current state as it may be shown: without what a redaction took.
    pub(super) fn presented(&self, event_type: &str, state_key: &str) -> Result<Option<Arc<Pdu>>, ViewError> {
        match self.state.entry(event_type, state_key)? {
            Some(event) if self.is_redacted(&event)? => query::redacted(&event).map(Some),
            entry => Ok(entry),
        }
    }

    /// Keeps an event in mind that was appended, until the views have it, and moves past it.
    pub(super) fn appended(
        &mut self,
        event: Arc<Pdu>,
        offset: Offset,
        transaction: Option<OwnedScope>,
        applied: Offset,
    ) {
        assert!(offset > self.appended, "what is appended later has a greater offset");
        while self.in_flight.front().is_some_and(|entry| entry.offset <= applied) {
            self.in_flight.pop_front();
        }
        self.in_flight.push_back(InFlight { offset, event: Arc::clone(&event), transaction });
        self.appended = offset;
        self.advance(event);
    }

    /// Whether everything this head knows of is in the views too, so that it may be dropped.
    pub(super) fn is_applied(&self, reading: &Reading) -> bool {
        reading.applied() >= self.appended
    }

    /// Whether the head should be loaded afresh once it may be dropped: it has grown too much, or knows too little.
    pub(super) fn is_worn(&self) -> bool {
        self.is_partial || self.state.weight.own.get() > HEAD_BYTES_MAX
    }

    /// Moves past an event that was taken into the log (or, for a new room, is about to be).
    pub(super) fn advance(&mut self, event: Arc<Pdu>) {
        self.depth = event.depth;
        self.prev_events.clear();
        self.prev_events.push(event.event_id.as_str().into());
        if self.room_id.is_empty() {
            self.room_id = Arc::from(event.room_id.as_str());
        }
        if let Some(state_key) = &event.state_key {
            let key = (event.event_type.as_str().into(), state_key.as_str().into());
            self.state.remember(key, Some(Arc::clone(&event)));
        }
        self.last = Some(event);
    }
}

impl HeadState {
    /// The event that holds an entry of the current state.
    pub(super) fn entry(&self, event_type: &str, state_key: &str) -> Result<Option<Arc<Pdu>>, ViewError> {
        let key: StateKey = (event_type.into(), state_key.into());
        if let Some(known) = self.entries.borrow().get(&key) {
            return Ok(known.clone());
        }
        let found = self.look_up(event_type, state_key)?;
        self.remember(key, found.clone());
        Ok(found)
    }

    fn remember(&self, key: StateKey, event: Option<Arc<Pdu>>) {
        let weight = |event: &Option<Arc<Pdu>>| event.as_ref().map_or(0, |event| event.json().len() + size_of::<Pdu>());
        let key_bytes = key.0.len() + key.1.len() + size_of::<(StateKey, Option<Arc<Pdu>>)>();
        self.weight.add(key_bytes + weight(&event));
        if let Some(former) = self.entries.borrow_mut().insert(key, event) {
            self.weight.take(key_bytes + weight(&former));
        }
    }

    fn look_up(&self, event_type: &str, state_key: &str) -> Result<Option<Arc<Pdu>>, ViewError> {
        let (Some(reading), Some((_, root))) = (&self.reading, self.stored) else {
            return Ok(None);
        };
        // The root is content-addressed: it reads the same from every later snapshot.
        let snapshot: Arc<Snapshot> = reading.snapshot();
        let reader: &dyn Read = &*snapshot;
        let Some(offset) = query::state_entry(reader, root, event_type, state_key)? else {
            return Ok(None);
        };
        query::pdu(reader, offset).map(Some)
    }

    /// The events of a type in the current state, by their state keys.
    pub(super) fn of_type(&self, event_type: &str) -> Result<BTreeMap<String, Arc<Pdu>>, ViewError> {
        let mut found = BTreeMap::new();
        if let (Some(reading), Some((_, root))) = (&self.reading, self.stored) {
            let snapshot: Arc<Snapshot> = reading.snapshot();
            for (pair, offset) in state::entries(&*snapshot, root)? {
                let (kind, state_key) = state::pair_name(&*snapshot, pair)?;
                if kind == event_type {
                    found.insert(state_key, query::pdu(&*snapshot, offset)?);
                }
            }
        }
        // What changed since has been remembered, all of it.
        found.extend(self.remembered_of_type(event_type));
        Ok(found)
    }

    /// The events of a type in the current state that are in memory, by their state keys: among them all that changed
    /// since the head was loaded.
    pub(super) fn remembered_of_type(&self, event_type: &str) -> BTreeMap<String, Arc<Pdu>> {
        let entries = self.entries.borrow();
        let of_type = entries.iter().filter(|((kind, _), _)| **kind == *event_type);
        of_type.filter_map(|((_, key), event)| Some((key.to_string(), Arc::clone(event.as_ref()?)))).collect()
    }

    /// What somebody is to the room now.
    pub(super) fn membership(&self, user_id: &str) -> Result<Option<Membership>, ViewError> {
        let Some(event) = self.entry("m.room.member", user_id)? else {
            return Ok(None);
        };
        Ok(membership_of(&event))
    }
}

/// The membership in a member event.
pub(super) fn membership_of(event: &Pdu) -> Option<Membership> {
    Membership::of(event)
}

impl StateMap for HeadState {
    fn get(&self, event_type: &str, state_key: &str) -> Option<Arc<Pdu>> {
        // A failing view surfaces in `entry`, which the writers call for the same keys first.
        self.entry(event_type, state_key).ok().flatten()
    }
}
