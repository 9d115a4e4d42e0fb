//! The rooms that writers have in memory: for each its line, and what is known of it at the front.
//!
//! A room that others have written to (a server that sent events) has no head any more, but a **fence**: the next head
//! is loaded when the views have come so far. Whoever finds one waits for it outside of the room's mutex.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use engram_log::Offset;
use engram_views::ViewError;
use parking_lot::Mutex;

use super::head::Head;
use super::line::Line;
use super::reach::Reading;
use super::{RoomError, RoomServer};
use crate::limits::{HEADS_BYTES_MAX, HEADS_MAX};

/// The rooms in memory.
#[derive(Default)]
pub(super) struct Slots {
    rooms: Mutex<HashMap<Box<str>, Arc<Slot>>>,
    /// What the heads weigh, about.
    heads_bytes: Arc<AtomicUsize>,
}

/// One room.
#[derive(Default)]
pub(super) struct Slot {
    line: Line,
    present: Mutex<Present>,
}

/// What is known of a room.
#[derive(Default)]
pub(super) struct Present {
    /// Where the next event goes; none until somebody needs it, or if the room is not known.
    pub(super) head: Option<Head>,
    /// Without a head: the views have to be so far for the next one.
    pub(super) fence: Offset,
}

impl Present {
    /// What is appended here goes round the head: the views will say where the next event goes.
    pub(super) fn raise_fence(&mut self, appended: Offset) {
        assert!(appended > self.fence, "what is appended later has a greater offset");
        self.head = None;
        self.fence = appended;
    }

    /// Makes sure of a head, if the room is known.
    fn load(&mut self, reading: &Reading, room_id: &str, bytes: &Arc<AtomicUsize>) -> Result<(), ViewError> {
        assert!(self.fence <= reading.applied(), "nobody decides before the fence");
        if self.head.as_ref().is_some_and(|head| head.is_worn() && head.is_applied(reading)) {
            self.head = None;
        }
        if self.head.is_none() {
            self.head = Head::load(reading, room_id, bytes)?;
        }
        Ok(())
    }

    fn is_idle(&self, applied: Offset) -> bool {
        self.fence <= applied && self.head.as_ref().is_none_or(|head| head.appended <= applied)
    }
}

impl Slots {
    fn of(&self, room_id: &str, applied: Offset) -> Arc<Slot> {
        let mut rooms = self.rooms.lock();
        if rooms.len() >= HEADS_MAX || self.heads_bytes.load(Ordering::Relaxed) > HEADS_BYTES_MAX {
            // Those stay that somebody uses, or that the views have not caught up with.
            rooms.retain(|_, slot| Arc::strong_count(slot) > 1 || !slot.present.lock().is_idle(applied));
        }
        if let Some(slot) = rooms.get(room_id) {
            return Arc::clone(slot);
        }
        let slot = Arc::<Slot>::default();
        rooms.insert(room_id.into(), Arc::clone(&slot));
        slot
    }

    /// Takes the slot of a room that does not exist out again: anybody can name any number of those.
    fn forget_unknown(&self, room_id: &str, slot: &Arc<Slot>, applied: Offset) {
        let mut rooms = self.rooms.lock();
        // The map and this thread hold it, nobody else does or can: and nobody has put a head into it meanwhile.
        let is_unused = |present: &Present| present.head.is_none() && present.fence <= applied;
        if Arc::strong_count(slot) == 2 && slot.present.try_lock().is_some_and(|present| is_unused(&present)) {
            rooms.remove(room_id);
        }
    }
}

impl RoomServer {
    /// Runs a decision about a room when all earlier ones are taken, and the views know what went round the head.
    pub(super) async fn in_turn<T>(
        &self,
        room_id: &str,
        decide: impl FnOnce(&mut Present) -> Result<T, RoomError>,
    ) -> Result<T, RoomError> {
        let slot = self.slots.of(room_id, self.reading.applied());
        let mut place = slot.line.line_up();
        place.front().await;
        // Only whoever is at the front raises the fence.
        let fence = slot.present.lock().fence;
        if fence > self.reading.applied() {
            self.reading.caught_up(fence).await?;
        }
        let (decided, is_empty) = {
            let mut present = slot.present.lock();
            (decide(&mut present), present.head.is_none())
        };
        drop(place);
        if is_empty {
            self.slots.forget_unknown(room_id, &slot, self.reading.applied());
        }
        decided
    }

    /// [`RoomServer::in_turn`] on the room's head, for rooms that are known.
    pub(super) async fn with_head<T>(
        &self,
        room_id: &str,
        decide: impl FnOnce(&mut Head) -> Result<T, RoomError>,
    ) -> Result<T, RoomError> {
        self.in_turn(room_id, |present| {
            present.load(&self.reading, room_id, &self.slots.heads_bytes)?;
            match &mut present.head {
                Some(head) => decide(head),
                None => Err(RoomError::NotInRoom(room_id.to_owned())),
            }
        })
        .await
    }
}
