//! State snapshots: persistent, content-addressed tries from interned (type, state key) pairs to event offsets.
//!
//! Same state, same root, however it came about.

use engram_log::Offset;
use engram_views::{Apply, Read, ViewError};

/// The identity of a state snapshot; equal exactly if the states are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Root(pub [u8; 32]);

impl Root {
    /// The state before anything happened.
    pub const EMPTY: Self = Self([0; 32]);
}

/// Number of an interned (event type, state key) pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pair(pub u32);

/// One difference between two snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which entry.
    pub pair: Pair,
    /// The event that held it before.
    pub before: Option<Offset>,
    /// The event that holds it after.
    pub after: Option<Offset>,
}

/// The pair's number, if it was ever seen.
pub fn pair(_reader: &dyn Read, _event_type: &str, _state_key: &str) -> Result<Option<Pair>, ViewError> {
    todo!()
}

/// The pair that a number stands for.
pub fn pair_name(_reader: &dyn Read, _pair: Pair) -> Result<(String, String), ViewError> {
    todo!()
}

/// The event that holds an entry.
pub fn get(_reader: &dyn Read, _root: Root, _pair: Pair) -> Result<Option<Offset>, ViewError> {
    todo!()
}

/// All entries, in the order of their pairs.
pub fn entries(_reader: &dyn Read, _root: Root) -> Result<Vec<(Pair, Offset)>, ViewError> {
    todo!()
}

/// What differs, at a cost that follows the number of differences.
pub fn diff(_reader: &dyn Read, _before: Root, _after: Root) -> Result<Vec<Change>, ViewError> {
    todo!()
}

/// Sets or removes one entry; writes the new nodes.
pub fn set(_view: &mut Apply<'_>, _root: Root, _pair: Pair, _value: Option<Offset>) -> Result<Root, ViewError> {
    todo!()
}
