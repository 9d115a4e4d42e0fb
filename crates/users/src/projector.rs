//! The projector of everything that belongs to users.

use engram_log::{InputRef, Record};
use engram_views::{Apply, ProjectError, Projector, Table};

/// Account, device and key server: a deterministic function of the log.
#[derive(Debug, Default)]
pub struct UsersProjector;

impl Projector for UsersProjector {
    fn name(&self) -> &'static str {
        "users"
    }

    fn version(&self) -> u32 {
        1
    }

    fn tables(&self) -> &'static [&'static Table] {
        todo!()
    }

    fn apply(
        &mut self,
        _record: &Record,
        _input: InputRef<'_>,
        _view: &mut Apply<'_>,
    ) -> Result<(), ProjectError> {
        todo!()
    }

    fn reset(&mut self) {}
}
