//! The room server's projector: from PDUs in the log to verdicts, state, timelines and members.

use engram_log::{InputRef, Record};
use engram_views::{Apply, ProjectError, Projector, Table};

/// The projector. Its fields are memos of what the tables hold.
#[derive(Default)]
pub struct RoomsProjector {}

impl Projector for RoomsProjector {
    fn name(&self) -> &'static str {
        "rooms"
    }

    fn version(&self) -> u32 {
        1
    }

    fn tables(&self) -> &'static [&'static Table] {
        crate::tables::ALL
    }

    fn apply(&mut self, _record: &Record, _input: InputRef<'_>, _view: &mut Apply<'_>) -> Result<(), ProjectError> {
        todo!()
    }

    fn reset(&mut self) {
        todo!()
    }
}
