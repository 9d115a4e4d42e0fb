//! How table keys and rows are put together from typed parts, and taken apart again.
//!
//! | part     | bytes                                                                        |
//! |----------|------------------------------------------------------------------------------|
//! | `text`   | length (u16), UTF-8 bytes. Longer than [`TEXT_BYTES_MAX`]: `ff ff`, BLAKE3    |
//! | `number` | u64                                                                          |
//! | `index`  | u32                                                                          |
//! | `byte`   | u8                                                                           |
//! | `string` | length (u32), UTF-8 bytes; for rows only                                      |
//! | optional | `00`, or `01` and the part                                                   |
//! | `varint` | see [`crate::varint`]; for rows only                                          |
//! | `bytes`  | length (`varint`), bytes; for rows only                                       |
//!
//! All but varints are big-endian. A text carries its length, so that no identifier, whatever it contains, is a prefix
//! of another one's key. Writers refuse identifiers that are too long; a look-up by one finds nothing and does no harm.

use engram_log_format::Offset;

/// Longest text that a key holds as it is.
const TEXT_BYTES_MAX: usize = 1024;
const HASHED: u16 = u16::MAX;

const _: () = assert!(TEXT_BYTES_MAX < HASHED as usize, "a length is never taken for the mark of a hash");
const _: () = assert!(crate::limits::IDENTIFIER_BYTES_MAX <= TEXT_BYTES_MAX, "no identifier is hashed");

/// A key or a row under construction.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Vec<u8>);

impl Key {
    /// Without any part.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a `text`.
    pub fn text(mut self, text: &str) -> Self {
        if text.len() > TEXT_BYTES_MAX {
            self.0.extend_from_slice(&HASHED.to_be_bytes());
            self.0.extend_from_slice(blake3::hash(text.as_bytes()).as_bytes());
        } else {
            self.0.extend_from_slice(&(text.len() as u16).to_be_bytes());
            self.0.extend_from_slice(text.as_bytes());
        }
        self
    }

    /// Adds an optional `text`.
    pub fn optional_text(self, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.byte(1).text(text),
            None => self.byte(0),
        }
    }

    /// Adds a `number`.
    pub fn number(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    /// Adds an offset, as a `number`.
    pub fn offset(self, offset: Offset) -> Self {
        self.number(offset.0)
    }

    /// Adds an `index`.
    pub fn index(mut self, index: u32) -> Self {
        self.0.extend_from_slice(&index.to_be_bytes());
        self
    }

    /// Adds a `byte`.
    pub fn byte(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }

    /// Adds 32 bytes as they are: digests.
    pub fn array(mut self, bytes: &[u8; 32]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Adds an optional `number`.
    pub fn optional_number(self, number: Option<u64>) -> Self {
        match number {
            Some(number) => self.byte(1).number(number),
            None => self.byte(0),
        }
    }

    /// Adds an optional `string`.
    pub fn optional_string(mut self, string: Option<&str>) -> Self {
        let Some(string) = string else {
            return self.byte(0);
        };
        self = self.byte(1).index(string.len() as u32);
        self.0.extend_from_slice(string.as_bytes());
        self
    }
}

impl std::ops::Deref for Key {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// Takes a key or a row apart, part by part. None: it is not as its table promises.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a>(pub &'a [u8]);

impl<'a> Parts<'a> {
    /// So many bytes.
    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(count)?;
        self.0 = tail;
        Some(head)
    }

    /// So many bytes as an array.
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    /// A `text`; none if the key holds only its hash.
    pub fn text(&mut self) -> Option<&'a str> {
        let length = u16::from_be_bytes(self.array()?);
        if length == HASHED {
            return None;
        }
        std::str::from_utf8(self.take(usize::from(length))?).ok()
    }

    /// An optional `text`.
    pub fn optional_text(&mut self) -> Option<Option<&'a str>> {
        Some(if self.flag()? { Some(self.text()?) } else { None })
    }

    /// A `number`.
    pub fn number(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.array()?))
    }

    /// An offset, as a `number`.
    pub fn offset(&mut self) -> Option<Offset> {
        self.number().map(Offset)
    }

    /// An `index`.
    pub fn index(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.array()?))
    }

    /// A `byte`.
    pub fn byte(&mut self) -> Option<u8> {
        Some(self.take(1)?[0])
    }

    /// A `byte` that is 0 or 1.
    pub fn flag(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    /// An optional `number`.
    pub fn optional_number(&mut self) -> Option<Option<u64>> {
        Some(if self.flag()? { Some(self.number()?) } else { None })
    }

    /// An optional `string`.
    pub fn optional_string(&mut self) -> Option<Option<String>> {
        if !self.flag()? {
            return Some(None);
        }
        let length = self.index()? as usize;
        let text = std::str::from_utf8(self.take(length)?).ok()?;
        Some(Some(text.to_owned()))
    }

    /// A `varint`; none if it does not end within 64 bits.
    pub fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// `bytes`.
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.varint()?).ok()?;
        self.take(length)
    }

    /// The end of the row: nothing may follow.
    pub fn end(self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parts_come_back(
            text in ".{0,40}",
            optional in proptest::option::of(".{0,40}"),
            number: u64,
            maybe in proptest::option::of(any::<u64>()),
            index: u32,
        ) {
            let key = Key::new()
                .text(&text)
                .optional_text(optional.as_deref())
                .number(number)
                .optional_number(maybe)
                .optional_string(optional.as_deref())
                .index(index);
            let mut parts = Parts(&key);
            prop_assert_eq!(parts.text(), Some(text.as_str()));
            prop_assert_eq!(parts.optional_text(), Some(optional.as_deref()));
            prop_assert_eq!(parts.number(), Some(number));
            prop_assert_eq!(parts.optional_number(), Some(maybe));
            prop_assert_eq!(parts.optional_string(), Some(optional.clone()));
            prop_assert_eq!(parts.index(), Some(index));
            prop_assert!(parts.end().is_some());
            let mut torn = Parts(&key[..key.len() - 1]);
            let whole = torn.text().and_then(|_| torn.optional_text()).and_then(|_| torn.number())
                .and_then(|_| torn.optional_number()).and_then(|_| torn.optional_string()).and_then(|_| torn.index());
            prop_assert!(whole.is_none(), "the last part is torn");
        }

        #[test]
        fn no_text_is_a_prefix_of_another(a in ".{0,8}", b in ".{0,8}") {
            let (left, right) = (Key::new().text(&a), Key::new().text(&b));
            prop_assert_eq!(left.starts_with(&right), a == b);
        }
    }

    #[test]
    fn an_overlong_text_is_hashed_and_not_read_back() {
        let key = Key::new().text(&"x".repeat(70_000));
        assert_eq!(key.len(), 34);
        assert_eq!(Parts(&key).text(), None);
    }
}
