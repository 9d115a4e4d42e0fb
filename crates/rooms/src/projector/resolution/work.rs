//! What resolution costs, in units that the log alone decides.
//!
//! A unit is about a quarter of a microsecond of a resolution whose events are remembered. What is counted is what the
//! algorithm looks at, whether it was remembered or not: so the same log costs the same on every machine, and in every
//! rebuild.

use engram_views::ViewError;

use crate::limits::RESOLUTION_UNITS_MAX;

/// Looking at an entry in which states differ, in one of them.
pub(super) const DIFFERENCE: u64 = 1;
/// Taking an event into the full conflicted set and into an order.
pub(super) const CONFLICTED_EVENT: u64 = 3;
/// Walking past an event of an auth chain.
pub(super) const CHAIN_EVENT: u64 = 2;
/// Looking at an event that names another among its auth events, in a table.
pub(super) const AUTH_CHILD: u64 = 12;
/// Judging an event by what is parsed already.
pub(super) const CHECK: u64 = 1;
/// Comparing so many entries of power levels takes one unit more.
pub(super) const LEVELS_A_UNIT: usize = 4;
/// Judging an event by the full rules, which parse everything anew.
pub(super) const FULL_CHECK: u64 = 100;
/// The same for each entry of power levels that is parsed.
pub(super) const FULL_CHECK_LEVEL: usize = 4;
/// Changing an entry of the state.
pub(super) const CHANGE: u64 = 1;

/// Why there is no result.
#[derive(Debug)]
pub(in super::super) enum Halt {
    /// The views cannot be read.
    View(ViewError),
    /// One resolution would take more than any may, in time or memory.
    TooMuch,
}

impl From<ViewError> for Halt {
    fn from(error: ViewError) -> Self {
        Self::View(error)
    }
}

/// Counts what one resolution takes.
#[derive(Debug, Default)]
pub(in super::super) struct Meter {
    spent: u64,
}

impl Meter {
    /// Takes units, as long as there are.
    pub(super) fn spend(&mut self, units: u64) -> Result<(), Halt> {
        self.spent = self.spent.saturating_add(units);
        if self.spent > RESOLUTION_UNITS_MAX { Err(Halt::TooMuch) } else { Ok(()) }
    }

    /// What was taken.
    pub(in super::super) fn spent(&self) -> u64 {
        self.spent
    }
}
