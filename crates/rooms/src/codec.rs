//! How rows are written: varints, and keys made of fixed-width big-endian integers.

use engram_base::Parts;
pub(crate) use engram_base::varint::{put_bytes, put_varint, unzigzag, zigzag};
use engram_log::Offset;
use engram_views::ViewError;

use crate::types::RoomNumber;

/// [`Parts`] of a row of a table. Everything it meets was written by this crate, so an error means damage.
pub(crate) struct Reader<'a> {
    table: &'static str,
    parts: Parts<'a>,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(table: &'static str, row: &'a [u8]) -> Self {
        Self { table, parts: Parts(row) }
    }

    pub(crate) const fn error(&self, what: &'static str) -> ViewError {
        ViewError::Row { table: self.table, what }
    }

    pub(crate) fn byte(&mut self) -> Result<u8, ViewError> {
        self.parts.byte().ok_or_else(|| self.error("a byte is missing"))
    }

    pub(crate) fn varint(&mut self) -> Result<u64, ViewError> {
        self.parts.varint().ok_or_else(|| self.error("a varint does not end"))
    }

    pub(crate) fn varint32(&mut self) -> Result<u32, ViewError> {
        u32::try_from(self.varint()?).map_err(|_| self.error("a number exceeds 32 bits"))
    }

    pub(crate) fn offset(&mut self) -> Result<Offset, ViewError> {
        self.varint().map(Offset)
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], ViewError> {
        self.parts.take(length).ok_or_else(|| self.error("the row is too short"))
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], ViewError> {
        self.parts.array().ok_or_else(|| self.error("the row is too short"))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], ViewError> {
        self.parts.bytes().ok_or_else(|| self.error("the row is too short for what it says"))
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, ViewError> {
        let bytes = self.bytes()?;
        self.utf8(bytes)
    }

    pub(crate) fn utf8(&self, bytes: &'a [u8]) -> Result<&'a str, ViewError> {
        std::str::from_utf8(bytes).map_err(|_| self.error("text is not UTF-8"))
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.parts.0)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.parts.0.is_empty()
    }
}

/// Room number and offset: the key of everything that is in a room's order.
pub(crate) fn room_offset_key(room: RoomNumber, offset: Offset) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&room.0.to_be_bytes());
    key[4..].copy_from_slice(&offset.to_be_bytes());
    key
}

/// The offset in a key that [`room_offset_key`] made.
pub(crate) fn offset_in_key(table: &'static str, key: &[u8]) -> Result<Offset, ViewError> {
    let bytes = key.get(4..12).ok_or(ViewError::Row { table, what: "the key is too short" })?;
    Ok(Offset::from_be_bytes(bytes.try_into().expect("eight bytes were sliced")))
}

/// Room number and a name: members.
pub(crate) fn room_name_key(room: RoomNumber, name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(4 + name.len());
    key.extend_from_slice(&room.0.to_be_bytes());
    key.extend_from_slice(name.as_bytes());
    key
}

/// Names, each but the last after its length, so that no choice of names collides with another.
pub(crate) fn names_key(names: &[&str]) -> Vec<u8> {
    let mut key = Vec::with_capacity(names.iter().map(|name| name.len() + 2).sum());
    let (last, first) = names.split_last().expect("a key has at least one name");
    for name in first {
        put_bytes(&mut key, name.as_bytes());
    }
    key.extend_from_slice(last.as_bytes());
    key
}

/// User ID, 0x00, room number.
pub(crate) fn user_room_key(user_id: &str, room: RoomNumber) -> Vec<u8> {
    let mut key = Vec::with_capacity(user_id.len() + 5);
    key.extend_from_slice(user_id.as_bytes());
    key.push(0);
    key.extend_from_slice(&room.0.to_be_bytes());
    key
}
