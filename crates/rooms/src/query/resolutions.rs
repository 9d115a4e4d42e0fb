//! What became of resolutions that a room could not pay for.

use engram_log::Offset;
use engram_views::{Read, ViewError};

use crate::codec::room_offset_key;
use crate::projector::Unresolved;
use crate::tables::UNRESOLVED;
use crate::types::RoomNumber;
use crate::{counters, rows};

/// Why the room's current state stands for the state before an event that joins branches, with what the room owed; none
/// if it does not.
pub fn unresolved(reader: &dyn Read, room: RoomNumber, offset: Offset) -> Result<Option<(Unresolved, u64)>, ViewError> {
    let row = reader.get(&UNRESOLVED, &room_offset_key(room, offset))?;
    row.map(|row| rows::decode_unresolved(&row)).transpose()
}

/// Events of all rooms for which that is so.
pub fn unresolved_count(reader: &dyn Read) -> Result<u32, ViewError> {
    counters::value(reader, "unresolved")
}

/// How many times a room's current state began to be put off.
pub fn put_off_count(reader: &dyn Read) -> Result<u32, ViewError> {
    counters::value(reader, "put_off")
}
