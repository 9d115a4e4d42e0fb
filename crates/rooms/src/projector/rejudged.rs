//! Rooms of which clients have been shown something else than is now decided.

use std::sync::Arc;

use crate::delta::Apply;
use engram_log::Offset;
use engram_log_format::v1::{ArchivedInput, RoomsRejudged};
use engram_views::ViewError;

use crate::delta::RoomDelta;
use crate::query;
use crate::tables::REJUDGED;

/// Marks the rooms: whoever has been told of them before this offset is to be told anew.
pub(super) fn apply(
    view: &mut Apply<'_>,
    offset: Offset,
    rejudged: &ArchivedInput<RoomsRejudged>,
) -> Result<(), ViewError> {
    for room_id in rejudged.room_ids.iter() {
        let Some(room) = query::room(view, room_id)? else { continue };
        view.put(&REJUDGED, &room.number.0.to_be_bytes(), &offset.to_be_bytes());
        // Who is in the room did not change with this record, but with the version of the view.
        let (room_id, memberships) = (Arc::from(room_id.as_str()), Vec::new());
        view.emit(RoomDelta::State { room: room.number, room_id, offset, memberships });
    }
    Ok(())
}
