//! What a projector is, and what it may do while it applies a record.

use std::any::Any;
use std::ops::{Bound, ControlFlow};

use engram_log::{InputRef, Offset, Record};

use crate::error::{ProjectError, ViewError};
use crate::read::{Read, Value};
use crate::table::Table;
use crate::views::Snapshot;

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

    /// Applies one journal record. Called once per record, in order.
    fn apply(
        &mut self,
        record: &Record,
        input: InputRef<'_>,
        view: &mut Apply<'_>,
    ) -> Result<(), ProjectError>;

    /// Drops all memos: the tables were replaced underneath.
    fn reset(&mut self);
}

/// Told of what has been applied, after the commit and before anybody who waits for it is woken.
///
/// Lives on the pipeline's thread: must be quick and must not block.
pub trait Observer: Send + 'static {
    /// A batch was committed; `deltas` are what projectors emitted, in order, each with the offset of its record.
    /// `ephemeral` are the records of the ephemeral lane in the same stretch of the log, in order.
    fn committed(
        &mut self,
        snapshot: &Snapshot,
        deltas: &[(Offset, Box<dyn Any + Send>)],
        ephemeral: &[Record],
    );
}

/// The view while a record is being applied: reads see the writes of this batch.
pub struct Apply<'a> {
    _runtime: std::marker::PhantomData<&'a mut ()>,
}

impl Apply<'_> {
    /// Sets the value of a key.
    pub fn put(&mut self, _table: &Table, _key: &[u8], _value: &[u8]) {
        todo!()
    }

    /// Removes a key.
    pub fn remove(&mut self, _table: &Table, _key: &[u8]) {
        todo!()
    }

    /// Hands a delta to the observers. Dropped unread while replaying.
    pub fn emit<D: Any + Send>(&mut self, _delta: D) {
        todo!()
    }

    /// Whether anybody observes: lets a projector save the work of making deltas while replaying.
    pub fn is_live(&self) -> bool {
        todo!()
    }
}

impl Read for Apply<'_> {
    fn get(&self, _table: &Table, _key: &[u8]) -> Result<Option<Value>, ViewError> {
        todo!()
    }

    fn scan(
        &self,
        _table: &Table,
        _from: Bound<&[u8]>,
        _to: Bound<&[u8]>,
        _reverse: bool,
        _visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), ViewError> {
        todo!()
    }

    fn record(&self, _offset: Offset) -> Result<Record, ViewError> {
        todo!()
    }
}
