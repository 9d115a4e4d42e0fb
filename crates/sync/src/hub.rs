//! What the pipeline has just applied, in memory: where each room and each user changed last, who waits for what.
//!
//! The hub knows the users who have synced since the start of the process, and the rooms that they are in; both are
//! loaded from a snapshot when they are first asked for. From then on the [`observer`] keeps them current. Offsets in
//! here may be later than what really changed, never earlier: a request that finds one beyond its token looks into the
//! views, and one that finds none has missed nothing.
//!
//! Locks are taken in the order: a user's rooms, the map of rooms, a room's own. None is held across a read of the
//! views. There is no bound on the users who stay known: an entry costs some hundred bytes, plus about a hundred for
//! each room.

mod observer;
mod room;
mod strangers;
mod user;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use engram_log::Offset;
use engram_rooms::{Membership, RoomNumber, query};
use engram_views::{Snapshot, ViewError, Views};
use parking_lot::RwLock;

pub(crate) use observer::HubObserver;
pub(crate) use room::{Peek, Recent, RoomHub};
pub(crate) use user::{Entry, Ignored, UserHub};

/// An offset that only grows and is shared between the pipeline and the requests.
#[derive(Debug, Default)]
pub(crate) struct Mark(AtomicU64);

impl Mark {
    pub(crate) fn new(offset: Offset) -> Self {
        Self(AtomicU64::new(offset.0))
    }

    pub(crate) fn get(&self) -> Offset {
        Offset(self.0.load(Ordering::Acquire))
    }

    pub(crate) fn raise(&self, offset: Offset) {
        self.0.fetch_max(offset.0, Ordering::AcqRel);
    }
}

/// The memory of the sync server.
pub(crate) struct Hub {
    views: Arc<Views>,
    users: RwLock<HashMap<Arc<str>, Arc<UserHub>>>,
    rooms: RwLock<Rooms>,
    /// The snapshot up to which everything in here is known: the position of answers.
    current: RwLock<Arc<Snapshot>>,
    /// The end of the batch that is being taken in, set before anything else is.
    taking: Mark,
    stopping: AtomicBool,
}

#[derive(Default)]
struct Rooms {
    by_number: HashMap<RoomNumber, Arc<RoomHub>>,
    by_id: HashMap<Arc<str>, Arc<RoomHub>>,
}

impl Hub {
    pub(crate) fn new(views: Arc<Views>) -> Self {
        let snapshot = views.snapshot();
        Self {
            views,
            users: RwLock::default(),
            rooms: RwLock::default(),
            taking: Mark::new(snapshot.offset()),
            current: RwLock::new(snapshot),
            stopping: AtomicBool::new(false),
        }
    }

    /// The views at the position up to which the hub knows everything.
    pub(crate) fn current(&self) -> Arc<Snapshot> {
        Arc::clone(&self.current.read())
    }

    /// A user, whose rooms may still have to be loaded.
    pub(crate) fn user(&self, user_id: &str) -> Arc<UserHub> {
        self.known_user(user_id).unwrap_or_else(|| {
            let mut users = self.users.write();
            let user_id: Arc<str> = user_id.into();
            // `taking` is read under the lock: a batch that did not see this user has been begun before.
            let new = || Arc::new(UserHub::new(Arc::clone(&user_id), self.taking.get()));
            Arc::clone(users.entry(Arc::clone(&user_id)).or_insert_with(new))
        })
    }

    /// A user who has synced since the start.
    pub(crate) fn known_user(&self, user_id: &str) -> Option<Arc<UserHub>> {
        self.users.read().get(user_id).cloned()
    }

    /// Everybody who has synced since the start.
    fn known_users(&self) -> Vec<Arc<UserHub>> {
        self.users.read().values().cloned().collect()
    }

    pub(crate) fn known_room(&self, room: RoomNumber) -> Option<Arc<RoomHub>> {
        self.rooms.read().by_number.get(&room).cloned()
    }

    fn known_room_by_id(&self, room_id: &str) -> Option<Arc<RoomHub>> {
        self.rooms.read().by_id.get(room_id).cloned()
    }

    /// The room's memory, made if need be.
    pub(crate) fn room(&self, number: RoomNumber, room_id: &str) -> Arc<RoomHub> {
        if let Some(room) = self.known_room(number) {
            return room;
        }
        let mut rooms = self.rooms.write();
        if let Some(room) = rooms.by_number.get(&number) {
            return Arc::clone(room);
        }
        let room = Arc::new(RoomHub::new(number, room_id.into(), self.taking.get()));
        rooms.by_number.insert(number, Arc::clone(&room));
        rooms.by_id.insert(Arc::clone(&room.id), Arc::clone(&room));
        room
    }

    /// As long as the result lives the user is told of what happens in a room, whether they are in it or not.
    pub(crate) fn peek(&self, number: RoomNumber, room_id: &str, user: &Arc<UserHub>) -> Peek {
        Peek::new(self.room(number, room_id), Arc::clone(user))
    }

    /// Loads a user's rooms if need be. Should one of them change meanwhile, it starts again.
    pub(crate) fn load(&self, user: &Arc<UserHub>) -> Result<(), ViewError> {
        loop {
            let Some(generation) = user.rooms.lock().to_load() else { return Ok(()) };
            // Not the current one of the hub: the change that made a reload necessary may be further than that.
            let snapshot = self.views.snapshot();
            let mut entries = Vec::new();
            for row in query::rooms_of(&*snapshot, &user.id)? {
                let room = match self.known_room(row.room) {
                    Some(room) => room,
                    None => self.room(row.room, &query::room_by_number(&*snapshot, row.room)?.room_id),
                };
                entries.push(Entry { room, membership: row.membership, event: row.event, forgotten: row.forgotten });
            }
            let mut rooms = user.rooms.lock();
            if rooms.to_load() != Some(generation) {
                continue;
            }
            for entry in entries.iter().filter(|entry| entry.membership == Membership::Join) {
                entry.room.listen(user);
            }
            rooms.install(entries, snapshot.offset());
            // What came before it began to listen has woken nobody: whoever asks next has to look.
            user.latest.raise(self.taking.get());
            return Ok(());
        }
    }

    /// Ends all long polls, now and from now on.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        for user in self.known_users() {
            user.wake();
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}
