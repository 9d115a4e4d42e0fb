//! Opening: which views can be used as they are, which must be built anew, and why.

use std::mem;
use std::path::Path;
use std::sync::Arc;

use engram_failpoints::{Point, reached};
use engram_log::{Log, Offset, ReadError};
use fjall::Keyspace;

use crate::engine::{Engine, View};
use crate::error::{ProjectError, ViewError};
use crate::former;
use crate::key::CURSOR_KEY;
use crate::layout::{self, CURSORS, Entry, LAYOUT};
use crate::projector::AnyProjector;
use crate::replay::{self, Until};
use crate::store::{Store, Tables, keyspace_name};

/// How the views are opened.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Cache for blocks read from disk, in bytes; zero for the default.
    pub cache_bytes: u64,
    /// Free space below which the views wait instead of writing, in bytes; zero for none.
    pub free_bytes_min: u64,
    /// Pending rows from which on a replay writes them out; zero for the default. Fewer take less memory and more time.
    pub ingest_rows: usize,
}

/// Opens the views in `dir`, heals them where needed, and replays the journal to its durable end, which is returned.
pub(crate) fn open(
    dir: &Path,
    log: &Arc<dyn Log>,
    mut projectors: Vec<Box<dyn AnyProjector>>,
    options: &Options,
) -> Result<(Engine, Offset), ProjectError> {
    match attempt(dir, log, &mut projectors, options) {
        Err(error) if error.is_damage() => {
            tracing::warn!(%error, dir = %dir.display(), "the views are damaged: rebuilding all of them from the log");
            Store::wipe(dir)?;
            attempt(dir, log, &mut projectors, options)
        }
        other => other,
    }
}

/// Opens the views, hands the projectors back if that fails.
fn attempt(
    dir: &Path,
    log: &Arc<dyn Log>,
    projectors: &mut Vec<Box<dyn AnyProjector>>,
    options: &Options,
) -> Result<(Engine, Offset), ProjectError> {
    let mut engine = assemble(dir, log, projectors, options.cache_bytes)?;
    if options.ingest_rows > 0 {
        engine.ingest_rows = options.ingest_rows;
    }
    match replay::replay(&mut engine, Until::End, &mut |_| {}) {
        Ok(end) => Ok((engine, end)),
        Err(error) => {
            *projectors = engine.projectors;
            Err(error)
        }
    }
}

/// Opens the store and decides on each view; none is caught up yet. Takes the projectors only if it succeeds.
pub(crate) fn assemble(
    dir: &Path,
    log: &Arc<dyn Log>,
    projectors: &mut Vec<Box<dyn AnyProjector>>,
    cache_bytes: u64,
) -> Result<Engine, ViewError> {
    check_declarations(projectors);
    if let Some(reason) = Store::condemnation(dir) {
        tracing::warn!(reason, dir = %dir.display(), "the views were found damaged: rebuilding all of them from the log");
        Store::wipe(dir)?;
    }
    let store = Arc::new(Store::open(dir, cache_bytes)?);
    reached(Point::ViewsOpened);
    let entries = read_entries(&store)?;
    check_mark(store.take_clean_mark()?, &entries)?;

    let mut tables = Tables::new();
    let mut views = Vec::new();
    for projector in &*projectors {
        let entry = entries.iter().find(|entry| entry.name == projector.name());
        let (view, keyspace) = match recover(&store, &**log, &**projector, entry)? {
            Ok(recovered) => recovered,
            Err(reason) => {
                if !entries.is_empty() {
                    tracing::warn!(view = projector.name(), reason, "rebuilding a view from the log");
                }
                if let Some((entry, table)) = entry.zip(projector.compared())
                    && entry.version != projector.version()
                {
                    former::keep(dir, &store, entry, table)?;
                }
                fresh(&store, &**projector, entry.map_or(0, |entry| entry.generation))?
            }
        };
        tables.set(view.tables, &keyspace);
        views.push(view);
    }
    let unchanged = views.len() == entries.len()
        && views.iter().zip(&entries).all(|(view, entry)| {
            (view.name, view.version, view.generation) == (entry.name.as_str(), entry.version, entry.generation)
        });
    let mut engine = Engine::new(store, Arc::new(tables), views, mem::take(projectors), Arc::clone(log));
    let result = if unchanged { engine.store.delete_others(&engine.tables) } else { engine.make_current() };
    if let Err(error) = result {
        *projectors = engine.projectors;
        return Err(error);
    }
    Ok(engine)
}

/// Opens the store without healing anything: what [`assemble`] would build anew is damage.
pub(crate) fn strictly(
    dir: &Path,
    log: &Arc<dyn Log>,
    projectors: Vec<Box<dyn AnyProjector>>,
) -> Result<Engine, ViewError> {
    check_declarations(&projectors);
    if let Some(reason) = Store::condemnation(dir) {
        return Err(ViewError::Damaged(reason));
    }
    let store = Store::open_existing(dir)?.ok_or_else(|| ViewError::Damaged("there are no views".to_owned()))?;
    let store = Arc::new(store);
    let entries = read_entries(&store)?;
    check_mark(store.clean_mark(), &entries)?;
    if !entries.iter().map(|entry| entry.name.as_str()).eq(projectors.iter().map(|projector| projector.name())) {
        return Err(ViewError::Damaged("the store holds other views than those of this version".to_owned()));
    }
    let mut tables = Tables::new();
    let mut views = Vec::new();
    for (projector, entry) in projectors.iter().zip(&entries) {
        let (view, keyspace) = recover(&store, &**log, &**projector, Some(entry))?
            .map_err(|reason| ViewError::Damaged(format!("the view {}: {reason}", entry.name)))?;
        tables.set(view.tables, &keyspace);
        views.push(view);
    }
    // From here on the views may move.
    store.take_clean_mark()?;
    Ok(Engine::new(store, Arc::new(tables), views, projectors, Arc::clone(log)))
}

/// What the store says about itself.
pub(crate) fn read_entries(store: &Store) -> Result<Vec<Entry>, ViewError> {
    match (store.meta.get(LAYOUT)?, store.meta.get(CURSORS)?) {
        (None, None) => Ok(Vec::new()),
        (Some(layout), Some(cursors)) => layout::decode(&layout, &cursors)
            .ok_or_else(|| ViewError::Damaged("the rows that describe the views are malformed".to_owned())),
        _ => Err(ViewError::Damaged("one of the rows that describe the views is missing".to_owned())),
    }
}

/// After a clean stop every view must be where it was: a store that silently lost its tail may have lost more.
fn check_mark(mark: Option<Offset>, entries: &[Entry]) -> Result<(), ViewError> {
    let Some(mark) = mark.filter(|mark| *mark > Offset::ZERO) else { return Ok(()) };
    if entries.is_empty() || entries.iter().any(|entry| entry.cursor != mark) {
        let cursors: Vec<_> = entries.iter().map(|entry| entry.cursor).collect();
        return Err(ViewError::Damaged(format!("stopped cleanly at {mark}, and now the views are at {cursors:?}")));
    }
    Ok(())
}

/// A view and its keyspace.
type Opened = (View, Keyspace);

/// The current generation of a view if it can be trusted, else the reason why not.
fn recover(
    store: &Store,
    log: &dyn Log,
    projector: &dyn AnyProjector,
    entry: Option<&Entry>,
) -> Result<Result<Opened, String>, ViewError> {
    let Some(entry) = entry else { return Ok(Err("it is new".to_owned())) };
    if entry.version != projector.version() {
        return Ok(Err(format!("its version changed from {} to {}", entry.version, projector.version())));
    }
    let name = keyspace_name(&entry.name, entry.version, entry.generation);
    if !store.has(&name) {
        return Ok(Err("its keyspace is missing".to_owned()));
    }
    let opened = store.keyspace(&name).and_then(|keyspace| Ok((read_cursor(&keyspace)?, keyspace)));
    let (cursor, keyspace) = match opened {
        Ok(opened) => opened,
        Err(error) if error.is_damage() => return Ok(Err(error.to_string())),
        Err(error) => return Err(error),
    };
    if cursor < entry.cursor {
        return Ok(Err(format!("it is at {cursor}, and was left at {}", entry.cursor)));
    }
    if cursor > log.durable_end() {
        return Ok(Err(format!("it is at {cursor}, beyond the end of the log at {}", log.durable_end())));
    }
    if cursor > Offset::ZERO {
        match log.read(cursor) {
            Ok(_) => {}
            Err(ReadError::NotFound(offset)) => {
                return Ok(Err(format!("it is at {offset}, and the log has no such record")));
            }
            Err(error) => return Err(error.into()),
        }
    }
    let view = View {
        name: projector.name(),
        version: entry.version,
        generation: entry.generation,
        tables: projector.tables(),
        cursor,
        written: cursor,
    };
    Ok(Ok((view, keyspace)))
}

/// How far the view in a keyspace is.
pub(crate) fn read_cursor(keyspace: &Keyspace) -> Result<Offset, ViewError> {
    let Some(row) = keyspace.get(CURSOR_KEY)? else { return Ok(Offset::ZERO) };
    let bytes = <[u8; 8]>::try_from(&*row);
    bytes.map(Offset::from_be_bytes).map_err(|_| ViewError::Damaged("a cursor row is malformed".to_owned()))
}

/// An empty generation of a view, later than `last` and never used before.
pub(crate) fn fresh(store: &Store, projector: &dyn AnyProjector, last: u32) -> Result<Opened, ViewError> {
    let tables = projector.tables();
    let version = projector.version();
    let name = projector.name();
    let mut generation = last + 1;
    while store.has(&keyspace_name(name, version, generation)) {
        generation += 1;
    }
    let keyspace = store.keyspace(&keyspace_name(name, version, generation))?;
    let view = View { name, version, generation, tables, cursor: Offset::ZERO, written: Offset::ZERO };
    Ok((view, keyspace))
}

/// Numbers and names are the runtime's addresses: two tables that share one would write into each other.
fn check_declarations(projectors: &[Box<dyn AnyProjector>]) {
    assert!(projectors.len() < usize::from(u8::MAX), "views are numbered with a byte");
    let mut numbers = [false; 256];
    for projector in projectors {
        let name = projector.name();
        let namesakes = projectors.iter().filter(|other| other.name() == name).count();
        assert_eq!(namesakes, 1, "two projectors are called {name}");
        assert!(!projector.tables().is_empty(), "the projector {name} has no table");
        for table in projector.tables() {
            let seen = mem::replace(&mut numbers[usize::from(table.number)], true);
            assert!(!seen, "the number of the table {} is taken", table.name);
            assert!(table.number < u8::MAX, "the last number belongs to the runtime");
            let own = table.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
            assert!(own, "the table {} is not named after its projector {name}", table.name);
            let namesakes = projector.tables().iter().filter(|other| other.name == table.name).count();
            assert_eq!(namesakes, 1, "two tables are called {}", table.name);
        }
    }
}
