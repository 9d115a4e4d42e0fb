//! A room and where it stands.

use std::ops::{Bound, ControlFlow};

use engram_log::Offset;
use engram_matrix::room_version::RoomVersion;
use engram_views::{Read, Table, ViewError};

use super::{Head, RoomInfo};
use crate::codec::Reader;
use crate::rows;
use crate::tables::{HEADS, IDS, INFO, REJUDGED};
use crate::types::RoomNumber;

/// A room by its ID.
pub fn room(reader: &dyn Read, room_id: &str) -> Result<Option<RoomInfo>, ViewError> {
    // Client input comes here unchecked, and a key cannot be empty.
    if room_id.is_empty() {
        return Ok(None);
    }
    let Some(row) = reader.get(&IDS, room_id.as_bytes())? else { return Ok(None) };
    let number = RoomNumber(u32::from_be_bytes(Reader::new(IDS.name, &row).array()?));
    room_by_number(reader, number).map(Some)
}

/// A room by its number.
pub fn room_by_number(reader: &dyn Read, room: RoomNumber) -> Result<RoomInfo, ViewError> {
    let row = reader.get(&INFO, &room.0.to_be_bytes())?.ok_or(malformed(&INFO, "a room is missing"))?;
    let mut fields = Reader::new(INFO.name, &row);
    let create = fields.offset()?;
    let version = RoomVersion::parse(fields.text()?).ok_or(fields.error("an unknown room version"))?;
    Ok(RoomInfo { number: room, room_id: fields.text()?.to_owned(), version, create })
}

/// All rooms, in the order in which they came to be known.
pub fn rooms(reader: &dyn Read) -> Result<Vec<RoomInfo>, ViewError> {
    let mut numbers = Vec::new();
    let mut visit = |key: &[u8], _: &[u8]| {
        numbers.extend(key.try_into().map(|number| RoomNumber(u32::from_be_bytes(number))));
        ControlFlow::Continue(())
    };
    reader.scan(&INFO, Bound::Unbounded, Bound::Unbounded, false, &mut visit)?;
    numbers.into_iter().map(|number| room_by_number(reader, number)).collect()
}

/// The room's head.
pub fn head(reader: &dyn Read, room: RoomNumber) -> Result<Head, ViewError> {
    let row = reader.get(&HEADS, &room.0.to_be_bytes())?.ok_or(malformed(&HEADS, "a room has no head"))?;
    rows::decode_head(&row)
}

/// Since when a room's verdicts or state are other ones than clients have been shown before; zero if they never
/// changed.
pub fn rejudged(reader: &dyn Read, room: RoomNumber) -> Result<Offset, ViewError> {
    match reader.get(&REJUDGED, &room.0.to_be_bytes())? {
        Some(row) => Ok(Offset::from_be_bytes(Reader::new(REJUDGED.name, &row).array()?)),
        None => Ok(Offset::ZERO),
    }
}

/// A row that is not what this crate writes.
pub(crate) const fn malformed(table: &'static Table, what: &'static str) -> ViewError {
    ViewError::Row { table: table.name, what }
}
