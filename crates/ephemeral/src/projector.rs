//! The receipt server: the latest receipt of everybody.

use engram_log::{InputRef, Record};
use engram_views::{Apply, ProjectError, Projector, Table};

/// Receipts: a deterministic function of the journal.
#[derive(Debug, Default)]
pub struct EphemeralProjector;

impl Projector for EphemeralProjector {
    fn name(&self) -> &'static str {
        "ephemeral"
    }

    fn version(&self) -> u32 {
        1
    }

    fn tables(&self) -> &'static [&'static Table] {
        todo!()
    }

    fn apply(&mut self, _record: &Record, _input: InputRef<'_>, _view: &mut Apply<'_>) -> Result<(), ProjectError> {
        todo!()
    }

    fn reset(&mut self) {}
}
