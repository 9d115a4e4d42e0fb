//! Rebuilding views from the log while no server runs.

use std::path::Path;
use std::sync::Arc;

use engram_log::Log;

use crate::engine::Engine;
use crate::error::{ProjectError, ViewError};
use crate::open;
use crate::pipeline::finish;
use crate::projector::AnyProjector;
use crate::replay::{self, replay};
pub use crate::replay::{Progress, Until};
use crate::snapshot::Snapshot;
use crate::store::Store;

/// Which views to rebuild.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which<'a> {
    /// Every view.
    All,
    /// The one of this name.
    Named(&'a str),
}

/// Builds all views in a directory of their own, up to a point of the log, and returns them to be read there.
///
/// The directory must hold no views yet. What is built is complete: the views of a server can be opened in it.
pub fn into(
    dir: &Path,
    log: Arc<dyn Log>,
    mut projectors: Vec<Box<dyn AnyProjector>>,
    until: Until,
    progress: &mut dyn FnMut(Progress),
) -> Result<Arc<Snapshot>, ProjectError> {
    if dir.join("db").exists() {
        let error = std::io::Error::new(std::io::ErrorKind::AlreadyExists, "the directory holds views already");
        return Err(ViewError::Io(error).into());
    }
    let mut engine = open::assemble(dir, &log, &mut projectors, 0)?;
    let offset = replay(&mut engine, until, progress)?;
    finish(&mut engine);
    Ok(Arc::new(Snapshot::of(&engine, engine.views.clone().into(), offset)))
}

/// Builds new generations of views from the whole log and puts them in the place of the current ones, all at once.
///
/// If it is interrupted, the current generations stay, and the next opening removes what was half-built.
/// Returns all views, caught up with the log.
pub fn in_place(
    dir: &Path,
    log: Arc<dyn Log>,
    mut projectors: Vec<Box<dyn AnyProjector>>,
    which: Which<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Arc<Snapshot>, ProjectError> {
    let engine = match open::assemble(dir, &log, &mut projectors, 0) {
        Err(error) if error.is_damage() => {
            tracing::warn!(%error, dir = %dir.display(), "the views are damaged: rebuilding all of them");
            Store::wipe(dir)?;
            open::assemble(dir, &log, &mut projectors, 0)?
        }
        other => other?,
    };
    let mut engine = swap(engine, which, progress)?;
    // The views that were not rebuilt may have been behind.
    let offset = replay(&mut engine, Until::End, &mut |_| {})?;
    finish(&mut engine);
    Ok(Arc::new(Snapshot::of(&engine, engine.views.clone().into(), offset)))
}

fn swap(engine: Engine, which: Which<'_>, progress: &mut dyn FnMut(Progress)) -> Result<Engine, ProjectError> {
    let Engine { store, tables: mut current_tables, views, projectors, log, .. } = engine;
    let mut kept = Vec::new();
    let mut chosen = Vec::new();
    for (place, (view, projector)) in views.into_iter().zip(projectors).enumerate() {
        match which {
            Which::Named(name) if name != view.name => kept.push((place, view, projector)),
            _ => chosen.push((place, view.generation, projector)),
        }
    }
    let mut views = Vec::new();
    let mut places = Vec::new();
    let mut projectors = Vec::new();
    for (place, generation, projector) in chosen {
        let (view, keyspace) = open::fresh(&store, &*projector, generation)?;
        Arc::make_mut(&mut current_tables).set(view.tables, &keyspace);
        places.push(place);
        views.push(view);
        projectors.push(projector);
    }
    let tables = Arc::clone(&current_tables);
    let mut building = Engine::new(Arc::clone(&store), tables, views, projectors, Arc::clone(&log));
    if !building.views.is_empty() {
        replay::run(&mut building, Until::End, progress)?;
    }
    let built = places.into_iter().zip(building.views).zip(building.projectors);
    kept.extend(built.map(|((place, view), projector)| (place, view, projector)));
    kept.sort_by_key(|(place, ..)| *place);
    let (views, projectors) = kept.into_iter().map(|(_, view, projector)| (view, projector)).unzip();
    let mut engine = Engine::new(store, current_tables, views, projectors, log);
    engine.make_current()?;
    Ok(engine)
}
