//! Views as they were left, for tools that look for damage: where a server would heal, this is an error.

use std::path::Path;
use std::sync::Arc;

use engram_log::Log;

use crate::error::ProjectError;
use crate::open;
use crate::pipeline::finish;
use crate::projector::AnyProjector;
use crate::replay::{Until, replay};
use crate::snapshot::Snapshot;

/// Opens the views in `dir`, which no process has open, and catches them up with the log.
///
/// An error that [`ProjectError::is_damage`] is one that a server would meet by building views anew; it stays
/// there for the next who looks.
pub fn open(
    dir: &Path,
    log: Arc<dyn Log>,
    projectors: Vec<Box<dyn AnyProjector>>,
) -> Result<Arc<Snapshot>, ProjectError> {
    let mut engine = open::strictly(dir, &log, projectors)?;
    let offset = replay(&mut engine, Until::End, &mut |_| {})?;
    finish(&mut engine);
    Ok(Arc::new(Snapshot::of(&engine, engine.views.clone().into(), offset)))
}
