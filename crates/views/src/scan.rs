//! Scanning: rows of the store and pending writes merged into one ordered stream.

use std::iter::Peekable;
use std::ops::{Bound, ControlFlow};

use fjall::{Iter, Readable};

use crate::error::ViewError;
use crate::overlay::Overlay;
use crate::read::{Value, Visit};
use crate::store::CURSOR_KEY;

/// What a scan is given.
pub(crate) struct Range<'a> {
    pub(crate) from: Bound<&'a [u8]>,
    pub(crate) to: Bound<&'a [u8]>,
    pub(crate) reverse: bool,
}

impl Range<'_> {
    /// Whether no key can lie within: such bounds make ordered maps panic.
    fn is_empty(&self) -> bool {
        use Bound::{Excluded, Included};
        match (self.from, self.to) {
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
    range: &Range<'_>,
    visit: Visit<'_>,
) -> Result<(), ViewError> {
    if range.is_empty() {
        return Ok(());
    }
    let mut rows = Stored::new(base, keyspace, range);
    while let Some((key, value)) = rows.next()? {
        if visit(&key, &value).is_break() {
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
    table: u8,
    range: &Range<'_>,
    visit: Visit<'_>,
) -> Result<(), ViewError> {
    if range.is_empty() {
        return Ok(());
    }
    let pending = overlay.range(table, range.from, range.to);
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
                Some((key, Some(value))) => visit(key, value),
                _ => ControlFlow::Continue(()),
            }
        } else {
            let Some((key, value)) = row else { return Ok(()) };
            row = stored.next()?;
            visit(&key, &value)
        };
        if flow.is_break() {
            return Ok(());
        }
    }
}

/// The rows of the store in the wanted direction, without the row that the runtime keeps for itself.
struct Stored {
    rows: Iter,
    reverse: bool,
}

impl Stored {
    fn new(base: &fjall::Snapshot, keyspace: &fjall::Keyspace, range: &Range<'_>) -> Self {
        Self { rows: base.range::<&[u8], _>(keyspace, (range.from, range.to)), reverse: range.reverse }
    }

    fn next(&mut self) -> Result<Option<(Value, Value)>, ViewError> {
        loop {
            let guard = if self.reverse { self.rows.next_back() } else { self.rows.next() };
            let Some(guard) = guard else { return Ok(None) };
            let (key, value) = guard.into_inner()?;
            if *key != CURSOR_KEY {
                return Ok(Some((key, value)));
            }
        }
    }
}
