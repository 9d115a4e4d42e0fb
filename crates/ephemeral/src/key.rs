//! How table keys and rows are put together from typed parts, and taken apart again.
//!
//! A text is its length (u16) and its UTF-8 bytes; one that is longer than [`TEXT_BYTES_MAX`] is cut there, which a writer never
//! lets happen. An optional text is `00`, or `01` and the text. Numbers are eight bytes. All big-endian.

use engram_log::Offset;

/// Longest text in a key.
const TEXT_BYTES_MAX: usize = 1024;

/// A key or a row under construction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Key(Vec<u8>);

impl Key {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn text(mut self, text: &str) -> Self {
        let mut end = text.len().min(TEXT_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let text = &text[..end];
        self.0.extend_from_slice(&(text.len() as u16).to_be_bytes());
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    pub(crate) fn optional_text(mut self, text: Option<&str>) -> Self {
        self.0.push(u8::from(text.is_some()));
        match text {
            Some(text) => self.text(text),
            None => self,
        }
    }

    pub(crate) fn number(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    pub(crate) fn offset(self, offset: Offset) -> Self {
        self.number(offset.0)
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
pub(crate) struct Parts<'a>(pub(crate) &'a [u8]);

impl<'a> Parts<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(count)?;
        self.0 = tail;
        Some(head)
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        let length = u16::from_be_bytes(self.take(2)?.try_into().ok()?);
        std::str::from_utf8(self.take(usize::from(length))?).ok()
    }

    #[expect(clippy::option_option, reason = "the outer says whether the row is intact, the inner what it holds")]
    pub(crate) fn optional_text(&mut self) -> Option<Option<&'a str>> {
        match self.take(1)? {
            [0] => Some(None),
            [1] => self.text().map(Some),
            _ => None,
        }
    }

    pub(crate) fn number(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.take(8)?.try_into().ok()?))
    }

    pub(crate) fn offset(&mut self) -> Option<Offset> {
        self.number().map(Offset)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parts_come_back(text in ".{0,40}", optional in proptest::option::of(".{0,40}"), number: u64) {
            let key = Key::new().text(&text).optional_text(optional.as_deref()).number(number);
            let mut parts = Parts(&key);
            prop_assert_eq!(parts.text(), Some(text.as_str()));
            prop_assert_eq!(parts.optional_text(), Some(optional.as_deref()));
            prop_assert_eq!(parts.number(), Some(number));
            prop_assert_eq!(parts.0.len(), 0);
            let mut torn = Parts(&key[..key.len() - 1]);
            prop_assert!(torn.text().and_then(|_| torn.optional_text()).and_then(|_| torn.number()).is_none());
        }
    }

    #[test]
    fn an_overlong_text_is_cut_between_characters() {
        let key = Key::new().text(&"ü".repeat(600));
        assert_eq!(Parts(&key).text().map(str::len), Some(1024));
        let key = Key::new().text(&format!("x{}", "ü".repeat(600)));
        assert_eq!(Parts(&key).text().map(str::len), Some(1023));
    }
}
