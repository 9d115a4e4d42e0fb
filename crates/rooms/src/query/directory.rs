//! Local aliases and published rooms.

use std::ops::{Bound, ControlFlow};

use engram_views::{Read, ReadExt as _, ViewError};

use super::malformed;
use crate::codec::{Reader, names_key};
use crate::tables::{ALIASES, PUBLISHED, ROOM_ALIASES};

/// The room of a local alias.
pub fn alias(reader: &dyn Read, alias: &str) -> Result<Option<String>, ViewError> {
    Ok(alias_row(reader, alias)?.map(|(room_id, _)| room_id))
}

/// Who made a local alias.
pub fn alias_creator(reader: &dyn Read, alias: &str) -> Result<Option<String>, ViewError> {
    Ok(alias_row(reader, alias)?.map(|(_, creator)| creator))
}

fn alias_row(reader: &dyn Read, alias: &str) -> Result<Option<(String, String)>, ViewError> {
    if alias.is_empty() {
        return Ok(None);
    }
    let Some(row) = reader.get(&ALIASES, alias.as_bytes())? else { return Ok(None) };
    let mut fields = Reader::new(ALIASES.name, &row);
    let room_id = fields.text()?.to_owned();
    let creator = fields.rest();
    Ok(Some((room_id, fields.utf8(creator)?.to_owned())))
}

/// The local aliases of a room.
pub fn aliases(reader: &dyn Read, room_id: &str) -> Result<Vec<String>, ViewError> {
    let prefix = names_key(&[room_id, ""]);
    let mut aliases = Vec::new();
    let mut visit = |key: &[u8], _row: &[u8]| {
        let alias = std::str::from_utf8(&key[prefix.len()..]).map(str::to_owned);
        aliases.push(alias.map_err(|_| malformed(&ROOM_ALIASES, "text is not UTF-8")));
        ControlFlow::Continue(())
    };
    reader.scan_prefix(&ROOM_ALIASES, &prefix, &mut visit)?;
    aliases.into_iter().collect()
}

/// Whether the room is in the directory.
pub fn is_published(reader: &dyn Read, room_id: &str) -> Result<bool, ViewError> {
    if room_id.is_empty() {
        return Ok(false);
    }
    reader.contains(&PUBLISHED, room_id.as_bytes())
}

/// The IDs of all rooms in the directory, in order.
pub fn published(reader: &dyn Read) -> Result<Vec<String>, ViewError> {
    let mut rooms = Vec::new();
    let mut visit = |key: &[u8], _row: &[u8]| {
        let room_id = std::str::from_utf8(key).map(str::to_owned);
        rooms.push(room_id.map_err(|_| malformed(&PUBLISHED, "text is not UTF-8")));
        ControlFlow::Continue(())
    };
    reader.scan(&PUBLISHED, Bound::Unbounded, Bound::Unbounded, false, &mut visit)?;
    rooms.into_iter().collect()
}
