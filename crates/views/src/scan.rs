//! Scanning: rows of the store and pending writes merged into one ordered stream.

use std::iter::Peekable;
use std::ops::{Bound, ControlFlow};

use fjall::{Iter, Readable};

use crate::error::ViewError;
use crate::key::{Key, of_table};
use crate::overlay::Overlay;
use crate::read::{Value, Visit};

/// What a scan is given.
pub(crate) struct Range {
    table: u8,
    from: Bound<Key>,
    to: Bound<Key>,
    reverse: bool,
}

impl Range {
    pub(crate) fn new(table: u8, from: Bound<&[u8]>, to: Bound<&[u8]>, reverse: bool) -> Self {
        let (from, to) = Key::range(table, from, to);
        Self { table, from, to, reverse }
    }

    fn from(&self) -> Bound<&[u8]> {
        self.from.as_ref().map(AsRef::as_ref)
    }

    fn to(&self) -> Bound<&[u8]> {
        self.to.as_ref().map(AsRef::as_ref)
    }

    /// Whether no key can lie within: such bounds make ordered maps panic.
    fn is_empty(&self) -> bool {
        use Bound::{Excluded, Included};
        match (&self.from, &self.to) {
            (Included(from), Included(to)) => from > to,
            (Included(from) | Excluded(from), Excluded(to)) | (Excluded(from), Included(to)) => from >= to,
            _ => false,
        }
    }
}

/// Visits the rows of the store alone.
pub(crate) fn stored(
    base: &fjall::Snapshot,
    keyspace: &fjall::Keyspace,
    range: &Range,
    visit: Visit<'_>,
) -> Result<(), ViewError> {
    if range.is_empty() {
        return Ok(());
    }
    let mut rows = Stored::new(base, keyspace, range);
    while let Some((key, value)) = rows.next()? {
        if visit(of_table(&key), &value).is_break() {
            break;
        }
    }
    Ok(())
}

/// Visits the rows of the store with pending writes laid over them.
pub(crate) fn overlaid(
    base: &fjall::Snapshot,
    keyspace: &fjall::Keyspace,
    overlay: &Overlay,
    range: &Range,
    visit: Visit<'_>,
) -> Result<(), ViewError> {
    if range.is_empty() {
        return Ok(());
    }
    let pending = overlay.range(range.table, range.from(), range.to());
    if range.reverse {
        merge(Stored::new(base, keyspace, range), pending.rev().peekable(), true, visit)
    } else {
        merge(Stored::new(base, keyspace, range), pending.peekable(), false, visit)
    }
}

fn merge<'a>(
    mut stored: Stored,
    mut pending: Peekable<impl Iterator<Item = (&'a Value, &'a Option<Value>)>>,
    reverse: bool,
    visit: Visit<'_>,
) -> Result<(), ViewError> {
    let mut row = stored.next()?;
    loop {
        let pending_is_next = match (&row, pending.peek()) {
            (None, None) => return Ok(()),
            (Some(_), None) => false,
            (None, Some(_)) => true,
            (Some((key, _)), Some((pending_key, _))) => {
                if *pending_key == key {
                    // The pending write replaces the stored row.
                    row = stored.next()?;
                    true
                } else {
                    (*pending_key < key) != reverse
                }
            }
        };
        let flow = if pending_is_next {
            match pending.next() {
                Some((key, Some(value))) => visit(of_table(key), value),
                _ => ControlFlow::Continue(()),
            }
        } else {
            let Some((key, value)) = row else { return Ok(()) };
            row = stored.next()?;
            visit(of_table(&key), &value)
        };
        if flow.is_break() {
            return Ok(());
        }
    }
}

/// The rows of the store in the wanted direction.
struct Stored {
    rows: Iter,
    reverse: bool,
}

impl Stored {
    fn new(base: &fjall::Snapshot, keyspace: &fjall::Keyspace, range: &Range) -> Self {
        Self { rows: base.range::<&[u8], _>(keyspace, (range.from(), range.to())), reverse: range.reverse }
    }

    fn next(&mut self) -> Result<Option<(Value, Value)>, ViewError> {
        let guard = if self.reverse { self.rows.next_back() } else { self.rows.next() };
        Ok(guard.map(fjall::Guard::into_inner).transpose()?)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use fjall::{Database, KeyspaceCreateOptions};
    use proptest::prelude::*;

    use super::*;
    use crate::key::CURSOR_KEY;

    fn bound() -> impl Strategy<Value = Bound<Vec<u8>>> {
        let key = prop::collection::vec(0..4u8, 0..3);
        prop_oneof![Just(Bound::Unbounded), key.clone().prop_map(Bound::Included), key.prop_map(Bound::Excluded),]
    }

    fn borrowed(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
        bound.as_ref().map(Vec::as_slice)
    }

    #[test]
    fn a_scan_shows_pending_writes_over_stored_rows() {
        let directory = tempfile::tempdir().unwrap();
        let db = Database::builder(directory.path()).open().unwrap();
        let keyspace = db.keyspace("rows", KeyspaceCreateOptions::default).unwrap();
        let key = || prop::collection::vec(0..4u8, 1..3);
        let stored = prop::collection::btree_set(key(), 0..12);
        let pending = prop::collection::btree_map(key(), any::<bool>(), 0..8);
        let strategy = (stored, pending, bound(), bound(), any::<bool>(), 0..8usize);
        let mut runner = proptest::test_runner::TestRunner::default();
        let check = |(stored, pending, from, to, reverse, limit)| {
            let stored: std::collections::BTreeSet<Vec<u8>> = stored;
            let pending: BTreeMap<Vec<u8>, bool> = pending;
            for guard in keyspace.iter() {
                keyspace.remove(guard.key().unwrap()).unwrap();
            }
            keyspace.insert(CURSOR_KEY, "cursor").unwrap();
            let mut model = BTreeMap::new();
            for key in &stored {
                // The tables before and after are no concern of this one.
                for table in 6..=8 {
                    keyspace.insert(Key::new(table, key).as_ref(), "stored").unwrap();
                }
                model.insert(key.clone(), b"stored".to_vec());
            }
            let mut overlay = Overlay::new();
            for (key, present) in &pending {
                overlay.set(&Key::new(7, key), present.then_some(b"pending"));
                model.remove(key);
                if *present {
                    model.insert(key.clone(), b"pending".to_vec());
                }
            }
            let range = Range::new(7, borrowed(&from), borrowed(&to), reverse);
            let within = |key: &Vec<u8>| {
                use std::ops::RangeBounds;
                RangeBounds::<[u8]>::contains(&(borrowed(&from), borrowed(&to)), key.as_slice())
            };
            let mut expected: Vec<_> = model.into_iter().filter(|(key, _)| within(key)).collect();
            if reverse {
                expected.reverse();
            }
            expected.truncate(limit + 1);
            let mut seen = Vec::new();
            let visit = &mut |key: &[u8], value: &[u8]| {
                seen.push((key.to_vec(), value.to_vec()));
                if seen.len() > limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            overlaid(&db.snapshot(), &keyspace, &overlay, &range, visit).unwrap();
            prop_assert_eq!(&seen, &expected);
            Ok(())
        };
        runner.run(&strategy, check).unwrap();
    }
}
