//! Tables: the named, ordered key-value maps that a view consists of.

/// How a table is used. Says it to readers only: since all tables of a view lie in one keyspace, the store does not
/// tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tuning {
    /// Mostly looked up by exact key; most look-ups find something.
    Points,
    /// Mostly looked up by exact key, often in vain.
    Misses,
    /// Mostly scanned in key order.
    Scans,
}

/// One table of one projector. Declared as a `static` beside a comment that documents its key and value encoding.
///
/// Keys are big-endian, so that byte order is the order wanted; 1 to 65,534 bytes.
#[derive(Debug)]
pub struct Table {
    /// A number unique over all projectors: rooms 0–31, users 32–63, ephemeral 64–79, erasures 80–83.
    pub number: u8,
    /// `<projector>.<table>`.
    pub name: &'static str,
    /// How it is used.
    pub tuning: Tuning,
}

impl Table {
    /// Declares a table.
    pub const fn new(number: u8, name: &'static str, tuning: Tuning) -> Self {
        Self { number, name, tuning }
    }
}
