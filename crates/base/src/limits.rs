//! Limits that hold for every crate, each with its reason.

/// Longest identifier in bytes (specification, appendices: user IDs, room IDs, aliases, event IDs), and by the same
/// measure device IDs, key IDs, filter IDs, profile keys, event types, tags and transaction IDs: so every table key
/// stays small.
pub const IDENTIFIER_BYTES_MAX: usize = 255;

/// Whether a text may be an identifier: not empty, and no longer than [`IDENTIFIER_BYTES_MAX`].
pub fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.len() <= IDENTIFIER_BYTES_MAX
}
