//! Tables: the named, ordered key-value maps that a view consists of.

/// One table of one projector. Declared as a `static` beside a comment that documents its key and value encoding.
///
/// Keys are big-endian, so that byte order is the order wanted; 1 to 65,534 bytes.
#[derive(Debug)]
pub struct Table {
    /// A number unique over all projectors: rooms 0–31, users 32–63, ephemeral 64–79, erasures 80–83.
    pub number: u8,
    /// `<projector>.<table>`.
    pub name: &'static str,
}

impl Table {
    /// Declares a table.
    pub const fn new(number: u8, name: &'static str) -> Self {
        Self { number, name }
    }
}
