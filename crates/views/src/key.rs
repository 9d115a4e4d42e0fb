//! Keys as they are stored: the number of the table, then the key that the projector knows.
//!
//! All tables of a view share one keyspace. So their rows and the view's cursor are written and lost together, a
//! message touches one tree instead of four, and a new directory needs few files to be made and synced.

use std::ops::Bound;

use smallvec::SmallVec;

/// The key of the row that says how far a view is: after those of all tables.
pub(crate) const CURSOR_KEY: [u8; 1] = [u8::MAX];

/// A key as it is stored. Most fit in without an allocation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(SmallVec<[u8; 64]>);

impl Key {
    /// The stored form of a table's key.
    pub(crate) fn new(table: u8, key: &[u8]) -> Self {
        assert!(table < CURSOR_KEY[0], "the cursor's key is after those of all tables");
        let mut stored = SmallVec::new();
        stored.push(table);
        stored.extend_from_slice(key);
        Self(stored)
    }

    /// The table.
    pub(crate) fn table(&self) -> u8 {
        self.0[0]
    }

    /// Bounds of a table's keys as bounds of stored keys.
    pub(crate) fn range(table: u8, from: Bound<&[u8]>, to: Bound<&[u8]>) -> (Bound<Self>, Bound<Self>) {
        // No table's key is empty.
        let from = from.map(|key| Self::new(table, key));
        let to = to.map(|key| Self::new(table, key));
        (
            if from == Bound::Unbounded { Bound::Excluded(Self::new(table, &[])) } else { from },
            if to == Bound::Unbounded { Bound::Excluded(Self::new(table + 1, &[])) } else { to },
        )
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The key that the projector knows.
pub(crate) fn of_table(stored: &[u8]) -> &[u8] {
    &stored[1..]
}
