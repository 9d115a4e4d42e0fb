//! What the log was asked to give up. Nothing here says whether it has: that is read off the records themselves.

use std::ops::{Bound, ControlFlow};

use engram_log::{InputRef, Offset, Record};
use engram_views::{Apply, ProjectError, Projector, Read, Table, ViewError};

/// record (u64) → nothing: its payload was to go.
pub static ANNOUNCED: Table = Table::new(80, "erasures.announced");

static TABLES: &[&Table] = &[&ANNOUNCED];

/// The projector.
#[derive(Debug, Default)]
pub struct ErasuresProjector;

impl Projector for ErasuresProjector {
    type Delta = ();

    fn name(&self) -> &'static str {
        "erasures"
    }

    fn version(&self) -> u32 {
        1
    }

    fn tables(&self) -> &'static [&'static Table] {
        TABLES
    }

    fn apply(&mut self, _record: &Record, input: InputRef<'_>, view: &mut Apply<'_, ()>) -> Result<(), ProjectError> {
        if let InputRef::Erased(erased) = input {
            for record in erased.records.iter() {
                view.put(&ANNOUNCED, &record.offset.to_native().to_be_bytes(), &[]);
            }
        }
        Ok(())
    }

    fn reset(&mut self) {}
}

/// The records after an offset whose payloads were to go, in order; at most `limit`.
pub fn announced(reader: &dyn Read, after: Offset, limit: usize) -> Result<Vec<Offset>, ViewError> {
    let mut found = Vec::new();
    let mut visit = |key: &[u8], _: &[u8]| {
        if found.len() == limit {
            return ControlFlow::Break(());
        }
        let offset = key.try_into().map(Offset::from_be_bytes);
        found.push(offset.map_err(|_| ViewError::Row { table: ANNOUNCED.name, what: "a key has not eight bytes" }));
        ControlFlow::Continue(())
    };
    let from = after.to_be_bytes();
    reader.scan(&ANNOUNCED, Bound::Excluded(&from), Bound::Unbounded, false, &mut visit)?;
    found.into_iter().collect()
}
