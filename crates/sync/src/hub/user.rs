//! A user in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use engram_log::Offset;
use engram_rooms::{Membership, RoomNumber};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::{Mark, RoomHub};
use crate::limits;

/// What is known of a user who has synced since the start.
pub(crate) struct UserHub {
    pub(crate) id: Arc<str>,
    /// The last change of anything that this user gets to see, rooms included.
    pub(crate) latest: Mark,
    /// The last change of their account data.
    pub(crate) account_data: Mark,
    /// The last message to one of their devices.
    pub(crate) to_device: Mark,
    /// The last change of the keys of somebody they share a room with, or of whom they share rooms with.
    pub(crate) device_lists: Mark,
    /// The last changes of the one-time and fallback keys of their devices.
    pub(crate) keys: KeyMarks,
    /// The last change of the presence of somebody they share a room with.
    pub(crate) presence: Mark,
    pub(super) rooms: Mutex<UserRooms>,
    ignored: Mutex<Option<(Offset, Arc<Ignored>)>>,
    devices: Mutex<HashMap<String, DeviceMemory>>,
    signal: Notify,
    woken: AtomicBool,
}

/// Where the one-time and fallback keys of each of a user's devices last changed, or the device came to its end.
pub(crate) struct KeyMarks(Mutex<Keys>);

struct Keys {
    /// Of devices that are not listed: later than that nothing has changed.
    others: Offset,
    devices: HashMap<String, Offset>,
}

impl KeyMarks {
    fn new(now: Offset) -> Self {
        Self(Mutex::new(Keys { others: now, devices: HashMap::new() }))
    }

    /// The last change of a device's keys, or something later.
    pub(crate) fn get(&self, device_id: &str) -> Offset {
        let keys = self.0.lock();
        keys.devices.get(device_id).copied().unwrap_or(keys.others)
    }

    pub(super) fn raise(&self, device_id: &str, offset: Offset) {
        let mut keys = self.0.lock();
        if keys.devices.len() >= limits::DEVICES_MAX && !keys.devices.contains_key(device_id) {
            keys.devices.clear();
            keys.others = offset;
        }
        let mark = keys.devices.entry(device_id.to_owned()).or_default();
        *mark = offset.max(*mark);
    }
}

/// Whom a user ignores.
pub(crate) type Ignored = BTreeSet<String>;

/// What is remembered of a device. All of it may be forgotten at any time.
#[derive(Default)]
pub(crate) struct DeviceMemory {
    /// The part of an answer that says which keys are left, as of an offset.
    pub(crate) counts: Option<(Offset, Arc<str>)>,
    /// Up to where to-device messages were acknowledged.
    pub(crate) acknowledged: Offset,
    /// Member events that were sent with lazy loading: their offset, and the position of the answer.
    pub(crate) sent_members: HashMap<(RoomNumber, String), (Offset, Offset)>,
}

/// A user's relation to a room.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) room: Arc<RoomHub>,
    pub(crate) membership: Membership,
    /// A member event since when the membership is what it is.
    pub(crate) event: Offset,
    pub(crate) forgotten: bool,
}

/// A user's rooms, once they are loaded.
#[derive(Default)]
pub(super) struct UserRooms {
    loaded: bool,
    /// Counts the changes that came before the rooms were loaded.
    generation: u64,
    entries: BTreeMap<RoomNumber, Entry>,
    /// The last change, or where they were loaded.
    changed: Offset,
}

impl UserRooms {
    /// The generation, if the rooms have still to be loaded.
    pub(super) fn to_load(&self) -> Option<u64> {
        (!self.loaded).then_some(self.generation)
    }

    pub(super) fn install(&mut self, entries: Vec<Entry>, at: Offset) {
        self.changed = self.changed.max(at);
        self.entries = entries.into_iter().map(|entry| (entry.room.number, entry)).collect();
        self.loaded = true;
    }

    /// Takes in a change at `offset`. False if the rooms are not loaded: then there is nothing to change.
    pub(super) fn change(&mut self, offset: Offset, change: impl FnOnce(&mut BTreeMap<RoomNumber, Entry>)) -> bool {
        self.generation += 1;
        if self.loaded {
            change(&mut self.entries);
            self.changed = offset;
        }
        self.loaded
    }

    pub(super) fn joined(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values().filter(|entry| entry.membership == Membership::Join)
    }
}

impl UserHub {
    /// A user of whom nothing is known up to and including `now`.
    pub(super) fn new(id: Arc<str>, now: Offset) -> Self {
        Self {
            id,
            latest: Mark::new(now),
            account_data: Mark::new(now),
            to_device: Mark::new(now),
            device_lists: Mark::new(now),
            keys: KeyMarks::new(now),
            presence: Mark::new(now),
            rooms: Mutex::default(),
            ignored: Mutex::default(),
            devices: Mutex::default(),
            signal: Notify::new(),
            woken: AtomicBool::new(false),
        }
    }

    /// Something of interest happened. Whether the user was not yet on the list of those to be woken.
    pub(super) fn touch(&self, offset: Offset) -> bool {
        self.latest.raise(offset);
        !self.woken.swap(true, Ordering::AcqRel)
    }

    /// Wakes the user's sleeping requests.
    pub(super) fn wake(&self) {
        self.woken.store(false, Ordering::Release);
        self.signal.notify_waiters();
    }

    /// Resolves with the next wake-up after it was enabled.
    pub(crate) fn signal(&self) -> Notified<'_> {
        self.signal.notified()
    }

    /// The rooms for which `wanted` holds, in the order of their numbers. An error says from which position on it can
    /// be answered: they have changed since `through`.
    pub(crate) fn entries(&self, through: Offset, wanted: impl Fn(&Entry) -> bool) -> Result<Vec<Entry>, Offset> {
        let rooms = self.rooms.lock();
        if !rooms.loaded || rooms.changed > through {
            return Err(rooms.changed);
        }
        Ok(rooms.entries.values().filter(|entry| wanted(entry)).cloned().collect())
    }

    /// Whom the user ignores, if that is known for a position at or after the last change of account data.
    pub(crate) fn ignored(&self) -> Option<Arc<Ignored>> {
        let ignored = self.ignored.lock();
        ignored.as_ref().filter(|(at, _)| *at >= self.account_data.get()).map(|(_, ignored)| Arc::clone(ignored))
    }

    /// Remembers whom the user ignores at a position.
    pub(crate) fn remember_ignored(&self, at: Offset, ignored: &Arc<Ignored>) {
        *self.ignored.lock() = Some((at, Arc::clone(ignored)));
    }

    /// What is remembered of a device.
    pub(crate) fn device<T>(&self, device_id: &str, with: impl FnOnce(&mut DeviceMemory) -> T) -> T {
        let mut devices = self.devices.lock();
        if let Some(memory) = devices.get_mut(device_id) {
            return with(memory);
        }
        if devices.len() >= limits::DEVICES_MAX {
            devices.clear();
        }
        with(devices.entry(device_id.to_owned()).or_default())
    }
}
