//! A room's head in memory: where the next event goes and what it is judged against.
//!
//! It includes what is appended but not yet applied, so that the next send need not wait for the last
//! one. Every writer of a room goes through its head, under the room's lock; so an entry of the state
//! that the head has not seen change is the one that the views hold.
//!
//! If the process dies, heads and the unacknowledged tail that they knew of are lost together.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use engram_log::Offset;
use engram_matrix::auth::StateMap;
use engram_matrix::pdu::Pdu;
use engram_matrix::room_version::RoomVersion;
use engram_views::{Read, Snapshot, ViewError, Views};
use smallvec::SmallVec;

use super::power::Powers;
use super::send::{Sent, TransactionScope};
use crate::limits::HEAD_BYTES_MAX;
use crate::query;
use crate::state::Root;
use crate::types::{Membership, RoomNumber};

/// A key of the state map.
type StateKey = (Box<str>, Box<str>);

/// Where the next event of a room goes.
pub(super) struct Head {
    pub(super) room_id: Arc<str>,
    pub(super) version: &'static RoomVersion,
    pub(super) prev_events: SmallVec<[Box<str>; 2]>,
    pub(super) depth: u64,
    /// The room has more forward extremities than the next event can name, or its current state is put off. The views know them; the head is loaded afresh
    /// as soon as those have what it has.
    is_partial: bool,
    /// The event that this process appended last.
    pub(super) last: Option<Arc<Pdu>>,
    /// The last record of this room that was appended by this process.
    pub(super) appended: Offset,
    pub(super) state: HeadState,
    /// Transactions whose events are not yet known to be in the views.
    in_flight: Vec<InFlight>,
    pub(super) powers: RefCell<Option<Arc<Powers>>>,
}

/// A transaction whose event was appended a moment ago.
struct InFlight {
    user_id: Box<str>,
    device_id: Box<str>,
    transaction_id: Box<str>,
    event_type: Box<str>,
    sent: Sent,
}

/// The current state: what changed since the head was loaded, and whatever was looked up.
pub(super) struct HeadState {
    views: Option<Arc<Views>>,
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
            state: HeadState { views: None, stored: None, entries: RefCell::default(), weight: Weight::default() },
            in_flight: Vec::new(),
            powers: RefCell::default(),
        }
    }

    /// Loads the head of a room from the views; none if the room is not known. What it weighs is counted in `all_bytes` too.
    pub(super) fn load(
        views: &Arc<Views>,
        room_id: &str,
        all_bytes: &Arc<AtomicUsize>,
    ) -> Result<Option<Self>, ViewError> {
        let snapshot = views.snapshot();
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
                views: Some(Arc::clone(views)),
                stored: Some((room.number, head.state)),
                entries: RefCell::default(),
                weight: Weight { own: Cell::new(0), all: Arc::clone(all_bytes) },
            },
            in_flight: Vec::new(),
            powers: RefCell::default(),
        }))
    }

    /// The room's number, if the room was in the views when the head was loaded.
    pub(super) fn number(&self) -> Option<RoomNumber> {
        self.state.stored.map(|(number, _)| number)
    }

    /// The event that a transaction made a moment ago.
    pub(super) fn remembered(&self, user_id: &str, scope: TransactionScope<'_>, event_type: &str) -> Option<Sent> {
        let same = |entry: &&InFlight| {
            &*entry.transaction_id == scope.transaction_id
                && &*entry.device_id == scope.device_id
                && &*entry.user_id == user_id
                && &*entry.event_type == event_type
        };
        self.in_flight.iter().rev().find(same).map(|entry| entry.sent.clone())
    }

    /// Keeps a transaction in mind until the views have it.
    pub(super) fn remember(
        &mut self,
        user_id: &str,
        scope: TransactionScope<'_>,
        event_type: &str,
        sent: &Sent,
        views: &Views,
    ) {
        let applied = views.applied();
        self.in_flight.retain(|entry| entry.sent.offset > applied);
        self.in_flight.push(InFlight {
            user_id: user_id.into(),
            device_id: scope.device_id.into(),
            transaction_id: scope.transaction_id.into(),
            event_type: event_type.into(),
            sent: sent.clone(),
        });
    }

    /// Whether everything this head knows of is in the views too, so that it may be dropped.
    pub(super) fn is_applied(&self, views: &Views) -> bool {
        views.applied() >= self.appended
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
        let (Some(views), Some((_, root))) = (&self.views, self.stored) else {
            return Ok(None);
        };
        // The root is content-addressed: it reads the same from every later snapshot.
        let snapshot: Arc<Snapshot> = views.snapshot();
        let reader: &dyn Read = &*snapshot;
        let Some(offset) = query::state_entry(reader, root, event_type, state_key)? else {
            return Ok(None);
        };
        query::pdu(reader, offset).map(Some)
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
