//! How rows are written: LEB128 varints, and keys made of fixed-width big-endian integers.

use engram_log::Offset;
use engram_views::ViewError;

use crate::types::RoomNumber;

/// Appends an integer, seven bits a byte, least significant first.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a length and the bytes.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Signed to unsigned, small magnitudes to small numbers.
pub(crate) const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// The inverse of [`zigzag`].
pub(crate) const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

/// A cursor over a row. Everything it meets was written by this crate, so an error means damage.
pub(crate) struct Reader<'a> {
    table: &'static str,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(table: &'static str, row: &'a [u8]) -> Self {
        Self { table, rest: row }
    }

    pub(crate) const fn error(&self, what: &'static str) -> ViewError {
        ViewError::Row { table: self.table, what }
    }

    pub(crate) fn byte(&mut self) -> Result<u8, ViewError> {
        let (&first, rest) = self.rest.split_first().ok_or_else(|| self.error("a byte is missing"))?;
        self.rest = rest;
        Ok(first)
    }

    pub(crate) fn varint(&mut self) -> Result<u64, ViewError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.error("a varint does not end"))
    }

    pub(crate) fn varint32(&mut self) -> Result<u32, ViewError> {
        u32::try_from(self.varint()?).map_err(|_| self.error("a number exceeds 32 bits"))
    }

    pub(crate) fn offset(&mut self) -> Result<Offset, ViewError> {
        self.varint().map(Offset)
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], ViewError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or_else(|| self.error("the row is too short"))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], ViewError> {
        Ok(self.take(N)?.try_into().expect("exactly N bytes were taken"))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], ViewError> {
        let length = usize::try_from(self.varint()?).map_err(|_| self.error("a length is absurd"))?;
        self.take(length)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, ViewError> {
        let bytes = self.bytes()?;
        self.utf8(bytes)
    }

    pub(crate) fn utf8(&self, bytes: &'a [u8]) -> Result<&'a str, ViewError> {
        std::str::from_utf8(bytes).map_err(|_| self.error("text is not UTF-8"))
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn varints_and_zigzag_round_trip(value: u64, signed: i64) {
            let mut row = Vec::new();
            put_varint(&mut row, value);
            put_varint(&mut row, zigzag(signed));
            let mut reader = Reader::new("test", &row);
            prop_assert_eq!(reader.varint().unwrap(), value);
            prop_assert_eq!(unzigzag(reader.varint().unwrap()), signed);
            prop_assert!(reader.is_empty());
            prop_assert!(reader.byte().is_err());
        }
    }
}
