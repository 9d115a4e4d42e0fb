//! A room in memory.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use engram_log::Offset;
use engram_matrix::Pdu;
use engram_rooms::RoomNumber;
use parking_lot::Mutex;

use super::{Mark, UserHub};
use crate::content::summary::Members;

/// What is known of a room that somebody is in who has synced since the start.
pub(crate) struct RoomHub {
    pub(crate) number: RoomNumber,
    pub(crate) id: Arc<str>,
    /// The last shown event or change of the state.
    pub(crate) latest: Mark,
    /// The last change of the state that no shown event explains.
    pub(crate) state_changed: Mark,
    /// The last change of a membership.
    pub(crate) members_changed: Mark,
    /// The last change of typing or receipts.
    pub(crate) ephemeral: Mark,
    /// The members for summaries, as of an offset.
    pub(crate) members: Mutex<Option<(Offset, Arc<Members>)>>,
    listeners: Mutex<Vec<Arc<UserHub>>>,
    /// Those who look in without being members, once for each of their requests.
    visitors: Mutex<Vec<Arc<UserHub>>>,
    recent: Mutex<Ring>,
}

/// A shown event that has just arrived.
pub(crate) struct Recent {
    pub(crate) offset: Offset,
    pub(crate) pdu: Arc<Pdu>,
    /// The event in client format up to the value of `unsigned.age`: the same for everybody.
    head: OnceLock<String>,
}

/// The last events of a room.
struct Ring {
    /// Every shown event after this offset is in the list.
    from: Offset,
    events: VecDeque<Arc<Recent>>,
}

impl RoomHub {
    /// A room of which nothing is known up to and including `now`.
    pub(super) fn new(number: RoomNumber, id: Arc<str>, now: Offset) -> Self {
        Self {
            number,
            id,
            latest: Mark::new(now),
            state_changed: Mark::new(now),
            members_changed: Mark::new(now),
            ephemeral: Mark::new(now),
            members: Mutex::default(),
            listeners: Mutex::default(),
            visitors: Mutex::default(),
            recent: Mutex::new(Ring { from: now, events: VecDeque::new() }),
        }
    }

    /// From now on the user is told of what happens here.
    pub(super) fn listen(&self, user: &Arc<UserHub>) {
        let mut listeners = self.listeners.lock();
        if !listeners.iter().any(|listener| Arc::ptr_eq(listener, user)) {
            listeners.push(Arc::clone(user));
        }
    }

    /// From now on no more.
    pub(super) fn unlisten(&self, user: &Arc<UserHub>) {
        self.listeners.lock().retain(|listener| !Arc::ptr_eq(listener, user));
    }

    /// Calls `each` for everybody who is in the room and has synced since the start, and for visitors.
    pub(super) fn for_listeners(&self, mut each: impl FnMut(&Arc<UserHub>)) {
        self.listeners.lock().iter().for_each(&mut each);
        self.visitors.lock().iter().for_each(each);
    }

    /// Takes in a shown event. Whether it is kept, and [`RoomHub::drop_oldest`] has to be called for it one day.
    pub(super) fn push(&self, offset: Offset, pdu: &Arc<Pdu>) -> bool {
        let mut ring = self.recent.lock();
        if offset <= ring.from {
            return false;
        }
        if let Some(target) = &pdu.redacts {
            let redacted = ring.events.iter().find(|event| event.pdu.event_id == *target).map(|event| event.offset);
            // What was redacted looks different from now on, and is to be read from the views.
            ring.from = ring.from.max(redacted.unwrap_or_default());
        }
        ring.events.push_back(Arc::new(Recent { offset, pdu: Arc::clone(pdu), head: OnceLock::new() }));
        true
    }

    /// Forgets the oldest event.
    pub(super) fn drop_oldest(&self) {
        let mut ring = self.recent.lock();
        if let Some(event) = ring.events.pop_front() {
            ring.from = ring.from.max(event.offset);
        }
    }

    /// The shown events in `after < offset <= through`, if all of them are still here and no more than `limit`.
    pub(crate) fn recent(&self, after: Offset, through: Offset, limit: usize) -> Option<Vec<Arc<Recent>>> {
        let ring = self.recent.lock();
        if after < ring.from {
            return None;
        }
        let mut events = Vec::new();
        for event in ring.events.iter().rev().take_while(|event| event.offset > after) {
            if event.offset <= through {
                if events.len() == limit {
                    return None;
                }
                events.push(Arc::clone(event));
            }
        }
        events.reverse();
        Some(events)
    }
}

/// A look into a room that lasts as long as this value.
pub(crate) struct Peek {
    room: Arc<RoomHub>,
    user: Arc<UserHub>,
}

impl Peek {
    pub(super) fn new(room: Arc<RoomHub>, user: Arc<UserHub>) -> Self {
        room.visitors.lock().push(Arc::clone(&user));
        Self { room, user }
    }
}

impl Drop for Peek {
    fn drop(&mut self) {
        let mut visitors = self.room.visitors.lock();
        if let Some(at) = visitors.iter().position(|visitor| Arc::ptr_eq(visitor, &self.user)) {
            visitors.swap_remove(at);
        }
    }
}

impl Recent {
    /// Whether every member of the room gets to see the same, but for `unsigned`: no state, no redaction.
    pub(crate) fn is_plain(&self) -> bool {
        self.pdu.state_key.is_none() && self.pdu.redacts.is_none() && self.pdu.event_type != "m.room.redaction"
    }

    /// The event in client format up to the value of `unsigned.age`.
    pub(crate) fn head(&self) -> &str {
        self.head.get_or_init(|| crate::event::plain_head(&self.pdu))
    }
}
