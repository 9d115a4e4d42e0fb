//! The events of a room by the time that they name, whatever the order in which they came.

use std::ops::{Bound, ControlFlow};

use engram_log::Offset;
use engram_views::{Read, ViewError};

use super::malformed;
use crate::rows::time_key;
use crate::tables::TIMES;
use crate::types::RoomNumber;

/// Visits accepted events of a room with `origin_server_ts >= ts`, the earliest first, or, if `backwards`, with
/// `origin_server_ts <= ts`, the latest first, until the visitor has had enough.
pub fn by_time(
    reader: &dyn Read,
    room: RoomNumber,
    ts: u64,
    backwards: bool,
    visit: &mut dyn FnMut(Offset) -> Result<ControlFlow<()>, ViewError>,
) -> Result<(), ViewError> {
    let (from, to) = if backwards { (0, ts) } else { (ts, u64::MAX) };
    let (from, to) = (time_key(room, from, Offset::ZERO), time_key(room, to, Offset(u64::MAX)));
    let mut result = Ok(());
    let mut at = |key: &[u8], _: &[u8]| {
        let offset = key.last_chunk().map(|offset| Offset::from_be_bytes(*offset));
        let visited = offset.ok_or_else(|| malformed(&TIMES, "a key is too short")).and_then(&mut *visit);
        visited.unwrap_or_else(|error| {
            result = Err(error);
            ControlFlow::Break(())
        })
    };
    reader.scan(&TIMES, Bound::Included(&from), Bound::Included(&to), backwards, &mut at)?;
    result
}
