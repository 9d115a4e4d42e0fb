//! What a projector is, and what it may do while it applies a record.

use std::ops::Bound;

use engram_log::{InputRef, Log, Offset, Record};
use fjall::Readable;

use crate::delta::{Batch, DeltaList, Told};
use crate::error::{ProjectError, ViewError};
use crate::key::Key;
use crate::overlay::Overlay;
use crate::read::{KEY_BYTES_MAX, Read, Value, Visit};
use crate::scan::{self, Range};
use crate::store::Tables;
use crate::table::Table;

/// A deterministic function of the log: (view before, record) → (view after, deltas).
///
/// Invariant: no clock, no randomness, no network, no environment, no iteration over unordered maps.
/// Fields of the implementing type are memos of what the tables hold: dropping them changes nothing.
pub trait Projector: Send + 'static {
    /// What it tells its observers.
    type Delta: Send + 'static;

    /// The view's name: the prefix of its tables' names.
    fn name(&self) -> &'static str;

    /// Version of the tables' schema and meaning. A change means: rebuild.
    fn version(&self) -> u32;

    /// The tables that belong to this projector; it writes no other.
    fn tables(&self) -> &'static [&'static Table];

    /// A table of which the rows of a former version are kept until they have been compared with this one's: see
    /// [`crate::Views::former`]. Its name and encoding are the same in every version that has it.
    fn compared(&self) -> Option<&'static Table> {
        None
    }

    /// Applies one journal record. Called once per record, in order.
    fn apply(
        &mut self,
        record: &Record,
        input: InputRef<'_>,
        view: &mut Apply<'_, Self::Delta>,
    ) -> Result<(), ProjectError>;

    /// Drops all memos: the tables were replaced underneath.
    fn reset(&mut self);
}

/// A projector whatever it tells: what views are opened with. Every [`Projector`] is one.
pub trait AnyProjector: Send + 'static {
    /// See [`Projector::name`].
    fn name(&self) -> &'static str;

    /// See [`Projector::version`].
    fn version(&self) -> u32;

    /// See [`Projector::tables`].
    fn tables(&self) -> &'static [&'static Table];

    /// See [`Projector::compared`].
    fn compared(&self) -> Option<&'static Table>;

    /// See [`Projector::reset`].
    fn reset(&mut self);

    /// An empty list for what it tells.
    fn list(&self) -> DeltaList;

    /// [`Projector::apply`] at a place of the view, with the list that [`AnyProjector::list`] made; none while
    /// replaying.
    fn apply(
        &mut self,
        record: &Record,
        input: InputRef<'_>,
        place: Place<'_>,
        list: Option<&mut DeltaList>,
    ) -> Result<(), ProjectError>;
}

impl<P: Projector> AnyProjector for P {
    fn name(&self) -> &'static str {
        Projector::name(self)
    }

    fn version(&self) -> u32 {
        Projector::version(self)
    }

    fn tables(&self) -> &'static [&'static Table] {
        Projector::tables(self)
    }

    fn compared(&self) -> Option<&'static Table> {
        Projector::compared(self)
    }

    fn reset(&mut self) {
        Projector::reset(self);
    }

    fn list(&self) -> DeltaList {
        DeltaList::of::<P>()
    }

    fn apply(
        &mut self,
        record: &Record,
        input: InputRef<'_>,
        place: Place<'_>,
        list: Option<&mut DeltaList>,
    ) -> Result<(), ProjectError> {
        assert_eq!(place.offset, record.offset, "a record is applied at its own offset");
        let deltas = list.map(DeltaList::told_mut::<P>);
        Projector::apply(self, record, input, &mut Apply { place, deltas })
    }
}

/// Told of what has been applied, after the commit and before anybody who waits for it is woken.
///
/// Lives on the pipeline's thread: must be quick and must not block.
pub trait Observer: Send + 'static {
    /// A batch was committed.
    fn committed(&mut self, batch: &Batch<'_>);
}

/// The view while a record is being applied: reads see the writes of this batch.
///
/// A projector reads and writes its own tables only: a view can then be rebuilt while the others stay
/// where they are. Touching another's table is a bug and panics.
pub struct Apply<'a, D> {
    place: Place<'a>,
    deltas: Option<&'a mut Told<D>>,
}

/// Where a record is applied: the part of [`Apply`] that is the same for all projectors.
pub struct Place<'a> {
    pub(crate) offset: Offset,
    /// The view whose projector is at work.
    pub(crate) view: u8,
    pub(crate) owners: &'a [u8; 256],
    pub(crate) tables: &'a Tables,
    pub(crate) base: &'a fjall::Snapshot,
    pub(crate) overlay: &'a mut Overlay,
    pub(crate) log: &'a dyn Log,
}

impl<D> Apply<'_, D> {
    /// Sets the value of a key.
    pub fn put(&mut self, table: &Table, key: &[u8], value: &[u8]) {
        self.place.check(table, key);
        self.place.overlay.set(&Key::new(table.number, key), Some(value));
    }

    /// Removes a key.
    pub fn remove(&mut self, table: &Table, key: &[u8]) {
        let place = &mut self.place;
        place.check(table, key);
        let key = Key::new(table.number, key);
        // A row that came and went since the last commit leaves nothing behind: a queue that a long replay fills and
        // empties would else be scanned past ever more that is gone. In doubt the removal is noted; that is always
        // right.
        let came_since = matches!(place.overlay.get(&key), Some(Some(_)));
        if came_since && matches!(place.base.contains_key(place.tables.get(table), &key), Ok(false)) {
            place.overlay.forget(&key);
        } else {
            place.overlay.set(&key, None);
        }
    }

    /// Hands a delta to the observers. Dropped unread while replaying.
    pub fn emit(&mut self, delta: D) {
        if let Some(deltas) = &mut self.deltas {
            deltas.push((self.place.offset, delta));
        }
    }

    /// The record that is being applied.
    pub fn offset(&self) -> Offset {
        self.place.offset
    }

    /// Whether anybody observes: lets a projector save the work of making deltas while replaying.
    pub fn is_live(&self) -> bool {
        self.deltas.is_some()
    }
}

impl Place<'_> {
    fn check(&self, table: &Table, key: &[u8]) {
        self.check_owner(table);
        // fjall panics on these while it holds its journal, which poisons it.
        assert!(!key.is_empty() && key.len() <= KEY_BYTES_MAX, "a key of {} has {} bytes", table.name, key.len());
    }

    fn check_owner(&self, table: &Table) {
        let owner = self.owners[usize::from(table.number)];
        assert!(owner == self.view, "a projector touches {}, which belongs to another view", table.name);
    }
}

impl<D> Read for Apply<'_, D> {
    fn get(&self, table: &Table, key: &[u8]) -> Result<Option<Value>, ViewError> {
        let place = &self.place;
        place.check_owner(table);
        if key.len() > KEY_BYTES_MAX {
            return Ok(None);
        }
        let key = Key::new(table.number, key);
        match place.overlay.get(&key) {
            Some(pending) => Ok(pending.clone()),
            None => Ok(place.base.get(place.tables.get(table), key)?),
        }
    }

    fn scan(
        &self,
        table: &Table,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        reverse: bool,
        visit: Visit<'_>,
    ) -> Result<(), ViewError> {
        let place = &self.place;
        place.check_owner(table);
        let range = Range::new(table.number, from, to, reverse);
        scan::overlaid(place.base, place.tables.get(table), place.overlay, &range, visit)
    }

    fn record(&self, offset: Offset) -> Result<Record, ViewError> {
        Ok(self.place.log.read(offset)?)
    }
}
