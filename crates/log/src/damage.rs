//! What does not verify, and where it is.

use engram_log_format::Offset;

/// Something that does not verify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file, relative to the data directory.
    pub segment: String,
    /// Where in it: the start of the record, frame, or other part that does not verify.
    pub position: u64,
    /// The last record before it that verifies.
    pub after: Offset,
    /// What is wrong.
    pub reason: String,
}
