//! All events of a room in the order in which they arrived, shown or not: for those who look into a room from outside.

use std::ops::{Bound, ControlFlow};

use engram_log::Offset;
use engram_views::{Read, ViewError};

use super::EventMeta;
use crate::codec::{offset_in_key, room_offset_key};
use crate::rows;
use crate::tables::EVENTS;
use crate::types::RoomNumber;

/// The last events of a room, at most `limit`, oldest first.
pub fn arrivals(reader: &dyn Read, room: RoomNumber, limit: usize) -> Result<Vec<(Offset, EventMeta)>, ViewError> {
    let (from, to) = (room_offset_key(room, Offset::ZERO), room_offset_key(room, Offset(u64::MAX)));
    let decode = |key: &[u8], row: &[u8]| {
        let offset = offset_in_key(EVENTS.name, key)?;
        Ok(rows::decode_meta(offset, row)?.map(|meta| (offset, meta)))
    };
    let mut events = Vec::new();
    let mut visit = |key: &[u8], row: &[u8]| {
        if events.len() == limit {
            return ControlFlow::Break(());
        }
        events.extend(decode(key, row).transpose());
        ControlFlow::Continue(())
    };
    reader.scan(&EVENTS, Bound::Included(&from), Bound::Included(&to), true, &mut visit)?;
    events.into_iter().rev().collect()
}
