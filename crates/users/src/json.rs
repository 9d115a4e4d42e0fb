//! JSON that is kept as the text that was received.

use serde_json::value::RawValue;

/// One JSON value, kept as its exact text.
pub type RawJson = Box<RawValue>;

/// Parses bytes from a record or a row; none if they are no JSON (a writer never lets that happen).
pub(crate) fn from_bytes(bytes: &[u8]) -> Option<RawJson> {
    serde_json::from_slice(bytes).ok()
}
