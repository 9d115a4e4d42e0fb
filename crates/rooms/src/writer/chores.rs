//! What has to be done in rooms because of what was applied, whoever sent it: noted here, done by
//! [`RoomServer::join_crowded`] and
//! [`RoomServer::dismiss_guests`].

use std::sync::Arc;

use engram_log::Offset;
use engram_matrix::pdu::Pdu;
use engram_views::{Batch, Observer, Snapshot};

use super::RoomServer;
use crate::delta::RoomDelta;
use crate::projector::RoomsProjector;
use crate::query;
use crate::types::RoomNumber;

/// Notes the rooms in which there is something to do.
pub struct ChoreWatch(pub Arc<RoomServer>);

impl Observer for ChoreWatch {
    fn committed(&mut self, batch: &Batch<'_>) {
        tell_of_unresolved(batch);
        for (_, delta) in batch.deltas::<RoomsProjector>() {
            if let RoomDelta::Crowded { room_id } = delta {
                self.0.crowded.lock().insert(Arc::clone(room_id));
            }
            if let Some(room_id) = without_guests(batch.snapshot(), delta) {
                self.0.note_door(room_id);
            }
        }
    }
}

/// Tells the operator of rooms that made more work than they have paid for.
fn tell_of_unresolved(batch: &Batch<'_>) {
    for (_, delta) in batch.deltas::<RoomsProjector>() {
        if let RoomDelta::Postponed { room_id, owed } = delta {
            tracing::warn!(
                code = "W-STATE-PUT-OFF",
                %room_id,
                owed,
                "the branches of a room take more to resolve than its events have paid for: its current state stays what it was until they have"
            );
        } else if let RoomDelta::StoodFor { room_id, event_id, owed } = delta {
            tracing::warn!(
                code = "W-STATE-UNRESOLVED",
                %room_id,
                %event_id,
                owed,
                "an event joins branches that take more to resolve than the room's events have paid for: the current state stands for \
                 the state before it; see `engramctl room explain`"
            );
        }
    }
}

/// The room, if the change is one after which guests may have to leave.
fn without_guests<'a>(snapshot: &Snapshot, delta: &'a RoomDelta) -> Option<&'a Arc<str>> {
    match delta {
        RoomDelta::Event { room, room_id, offset, pdu, .. } => {
            let closes =
                pdu.is_state_of("m.room.guest_access", "") || closes_by_redaction(snapshot, *room, *offset, pdu);
            closes.then_some(room_id)
        }
        // States were resolved: anything may be otherwise.
        RoomDelta::State { room_id, .. } => Some(room_id),
        RoomDelta::Forgotten { .. }
        | RoomDelta::Crowded { .. }
        | RoomDelta::Postponed { .. }
        | RoomDelta::StoodFor { .. } => None,
    }
}

/// Whether an event redacts the one that says whether guests may join.
fn closes_by_redaction(snapshot: &Snapshot, room: RoomNumber, offset: Offset, pdu: &Pdu) -> bool {
    let Some(target) = &pdu.redacts else { return false };
    let redacted = || {
        let Some((of_room, at)) = query::locate(snapshot, target.as_str())? else { return Ok(false) };
        let by = query::meta(snapshot, of_room, at)?.and_then(|meta| meta.redacted_by);
        let is_door = || Ok(query::pdu(snapshot, at)?.is_state_of("m.room.guest_access", ""));
        if of_room == room && by == Some(offset) { is_door() } else { Ok::<_, engram_views::ViewError>(false) }
    };
    // A view that cannot be read is told of elsewhere; to look once too often does no harm.
    redacted().unwrap_or(true)
}
