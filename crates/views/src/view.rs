//! One view in a store: what it is, and how far it has come.

use engram_log::Offset;

use crate::table::Table;

/// One view and how far it has come.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) name: &'static str,
    pub(crate) version: u32,
    pub(crate) generation: u32,
    pub(crate) tables: &'static [&'static Table],
    /// The last journal record applied.
    pub(crate) cursor: Offset,
    /// What its cursor row says: less, if nothing was written for the last records.
    pub(crate) written: Offset,
}
