//! What a projector is, and what it may do while it applies a record.

use std::any::Any;
use std::ops::Bound;

use engram_log::{InputRef, Log, Offset, Record};
use fjall::Readable;

use crate::error::{ProjectError, ViewError};
use crate::key::Key;
use crate::overlay::Overlay;
use crate::read::{KEY_BYTES_MAX, Read, Value, Visit};
use crate::scan::{self, Range};
use crate::snapshot::Snapshot;
use crate::store::Tables;
use crate::table::Table;

/// A deterministic function of the log: (view before, record) → (view after, deltas).
///
/// Invariant: no clock, no randomness, no network, no environment, no iteration over unordered maps.
/// Fields of the implementing type are memos of what the tables hold: dropping them changes nothing.
pub trait Projector: Send + 'static {
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
    fn apply(&mut self, record: &Record, input: InputRef<'_>, view: &mut Apply<'_>) -> Result<(), ProjectError>;

    /// Drops all memos: the tables were replaced underneath.
    fn reset(&mut self);
}

/// Told of what has been applied, after the commit and before anybody who waits for it is woken.
///
/// Lives on the pipeline's thread: must be quick and must not block.
pub trait Observer: Send + 'static {
    /// A batch was committed; `deltas` are what projectors emitted, in order, each with the offset of its record.
    /// `ephemeral` are the records of the ephemeral lane in the same stretch of the log, in order.
    fn committed(&mut self, snapshot: &Snapshot, deltas: &[(Offset, Box<dyn Any + Send>)], ephemeral: &[Record]);
}

/// What projectors emitted, each with the offset of its record.
pub(crate) type Deltas = Vec<(Offset, Box<dyn Any + Send>)>;

/// The view while a record is being applied: reads see the writes of this batch.
///
/// A projector reads and writes its own tables only: a view can then be rebuilt while the others stay
/// where they are. Touching another's table is a bug and panics.
pub struct Apply<'a> {
    pub(crate) offset: Offset,
    /// The view whose projector is at work.
    pub(crate) view: u8,
    pub(crate) owners: &'a [u8; 256],
    pub(crate) tables: &'a Tables,
    pub(crate) base: &'a fjall::Snapshot,
    pub(crate) overlay: &'a mut Overlay,
    pub(crate) deltas: Option<&'a mut Deltas>,
    pub(crate) log: &'a dyn Log,
}

impl Apply<'_> {
    /// Sets the value of a key.
    pub fn put(&mut self, table: &Table, key: &[u8], value: &[u8]) {
        self.check(table, key);
        self.overlay.set(&Key::new(table.number, key), Some(value));
    }

    /// Removes a key.
    pub fn remove(&mut self, table: &Table, key: &[u8]) {
        self.check(table, key);
        let key = Key::new(table.number, key);
        // A row that came and went since the last commit leaves nothing behind: a queue that a long replay fills and empties
        // would else be scanned past ever more that is gone. In doubt the removal is noted; that is always right.
        let came_since = matches!(self.overlay.get(&key), Some(Some(_)));
        if came_since && matches!(self.base.contains_key(self.tables.get(table), &key), Ok(false)) {
            self.overlay.forget(&key);
        } else {
            self.overlay.set(&key, None);
        }
    }

    /// Hands a delta to the observers. Dropped unread while replaying.
    pub fn emit<D: Any + Send>(&mut self, delta: D) {
        if let Some(deltas) = &mut self.deltas {
            deltas.push((self.offset, Box::new(delta)));
        }
    }

    /// The record that is being applied.
    pub fn offset(&self) -> Offset {
        self.offset
    }

    /// Whether anybody observes: lets a projector save the work of making deltas while replaying.
    pub fn is_live(&self) -> bool {
        self.deltas.is_some()
    }

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

impl Read for Apply<'_> {
    fn get(&self, table: &Table, key: &[u8]) -> Result<Option<Value>, ViewError> {
        self.check_owner(table);
        if key.len() > KEY_BYTES_MAX {
            return Ok(None);
        }
        let key = Key::new(table.number, key);
        match self.overlay.get(&key) {
            Some(pending) => Ok(pending.clone()),
            None => Ok(self.base.get(self.tables.get(table), key)?),
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
        self.check_owner(table);
        let range = Range::new(table.number, from, to, reverse);
        scan::overlaid(self.base, self.tables.get(table), self.overlay, &range, visit)
    }

    fn record(&self, offset: Offset) -> Result<Record, ViewError> {
        Ok(self.log.read(offset)?)
    }
}
