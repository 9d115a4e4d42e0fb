//! The writes of a batch that is not committed yet.

use std::collections::BTreeMap;
use std::mem;
use std::ops::Bound;

use crate::key::Key;
use crate::read::Value;

/// Pending writes by table: a value, or none for a removal. Ordered, so that scans can merge them.
pub(crate) struct Overlay {
    tables: Vec<Rows>,
    /// Tables with pending writes, in the order in which they were first written.
    touched: Vec<u8>,
    rows: usize,
}

/// Pending writes of one table, by the key as it is stored.
pub(crate) type Rows = BTreeMap<Value, Option<Value>>;

impl Overlay {
    pub(crate) fn new() -> Self {
        Self { tables: vec![Rows::new(); 256], touched: Vec::new(), rows: 0 }
    }

    /// Sets or removes a row.
    pub(crate) fn set(&mut self, key: &Key, value: Option<&[u8]>) {
        let rows = &mut self.tables[usize::from(key.table())];
        if rows.is_empty() && !self.touched.contains(&key.table()) {
            self.touched.push(key.table());
        }
        if rows.insert(key.as_ref().into(), value.map(Into::into)).is_none() {
            self.rows += 1;
        }
    }

    /// Drops the pending write of a key.
    pub(crate) fn forget(&mut self, key: &Key) {
        if self.tables[usize::from(key.table())].remove(key.as_ref()).is_some() {
            self.rows -= 1;
        }
    }

    /// The pending write of a key, if there is one.
    pub(crate) fn get(&self, key: &Key) -> Option<&Option<Value>> {
        let rows = &self.tables[usize::from(key.table())];
        if rows.is_empty() { None } else { rows.get(key.as_ref()) }
    }

    /// Pending writes of a table within bounds, of which the lower is not above the upper.
    pub(crate) fn range<'a>(
        &'a self,
        table: u8,
        from: Bound<&'a [u8]>,
        to: Bound<&'a [u8]>,
    ) -> std::collections::btree_map::Range<'a, Value, Option<Value>> {
        self.tables[usize::from(table)].range::<[u8], _>((from, to))
    }

    /// The number of rows written.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Takes everything out, table by table in order of their numbers, rows in key order.
    pub(crate) fn drain(&mut self) -> Vec<(u8, Rows)> {
        let rows = mem::take(&mut self.rows);
        self.touched.sort_unstable();
        assert!(self.touched.is_sorted_by(|one, two| one < two), "a table is named once");
        let tables = &mut self.tables;
        let take = |table| (table, mem::take(&mut tables[usize::from(table)]));
        let drained: Vec<(u8, Rows)> = self.touched.drain(..).map(take).collect();
        assert!(drained.iter().map(|(_, rows)| rows.len()).sum::<usize>() == rows, "all rows that were counted");
        debug_assert!(self.tables.iter().all(Rows::is_empty), "no table was passed over");
        drained
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_came_and_went_leaves_nothing() {
        let mut overlay = Overlay::new();
        for round in 0..3u8 {
            overlay.set(&Key::new(7, &[round]), Some(b"value"));
            overlay.forget(&Key::new(7, &[round]));
            overlay.forget(&Key::new(7, &[round]));
        }
        assert_eq!((overlay.rows(), overlay.get(&Key::new(7, &[0]))), (0, None));
        assert_eq!(overlay.range(7, Bound::Unbounded, Bound::Unbounded).count(), 0);
        overlay.set(&Key::new(7, b"a"), None);
        overlay.set(&Key::new(3, b"b"), Some(b"value"));
        let drained = overlay.drain();
        assert_eq!(drained.iter().map(|(table, rows)| (*table, rows.len())).collect::<Vec<_>>(), [(3, 1), (7, 1)]);
        assert_eq!(overlay.rows(), 0);
    }
}
