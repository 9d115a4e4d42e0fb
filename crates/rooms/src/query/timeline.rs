//! The shown events of a room, in the order in which they arrived.

use std::ops::{Bound, ControlFlow};

use engram_log::Offset;
use engram_views::{Read, ViewError};

use super::EventMeta;
use crate::codec::{offset_in_key, room_offset_key};
use crate::rows;
use crate::tables::EVENTS;
use crate::types::RoomNumber;

/// Rows of shown events in `after < offset <= through`, newest first if `backwards`, at most `limit`.
pub fn timeline(
    reader: &dyn Read,
    room: RoomNumber,
    after: Offset,
    through: Offset,
    backwards: bool,
    limit: usize,
) -> Result<Vec<(Offset, EventMeta)>, ViewError> {
    if limit == 0 || after >= through {
        return Ok(Vec::new());
    }
    let (from, to) = (room_offset_key(room, after), room_offset_key(room, through));
    let decode = |key: &[u8], row: &[u8]| {
        let offset = offset_in_key(EVENTS.name, key)?;
        let Some(meta) = rows::decode_meta(offset, row)? else { return Ok(None) };
        Ok(meta.is_shown_live().then_some((offset, meta)))
    };
    let mut shown = Vec::new();
    let mut visit = |key: &[u8], row: &[u8]| {
        shown.extend(decode(key, row).transpose());
        if shown.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    reader.scan(&EVENTS, Bound::Excluded(&from), Bound::Included(&to), backwards, &mut visit)?;
    shown.into_iter().collect()
}
