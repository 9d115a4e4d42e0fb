//! Payloads that have had their day: what is to be taken out of the log once a grace period is over, and since when.
//!
//! A projector lists a record when the last use of its payload is over, and strikes it off when the log says, by
//! `v1::Erased`, that the payload goes. The list is rows of the projector's own table, and as pure as those: it names
//! records and no times; whoever erases looks up when the record came that made an entry due. On a log whose payloads
//! are gone already the entries may never come to be; past the record of the erasure both lists are the same.

use std::ops::{Bound, ControlFlow};

use engram_log::Offset;

use crate::error::ViewError;
use crate::projector::Apply;
use crate::read::Read;
use crate::table::Table;

const BY_TIME: u8 = 0;
const BY_RECORD: u8 = 1;

/// A list in a table of a projector's. Rows: 0x00, since (u64), record (u64) → nothing; 0x01, record (u64) → since
/// (u64).
#[derive(Clone, Copy, Debug)]
pub struct DueList(pub &'static Table);

/// A record whose payload may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Due {
    /// The record by which that came to be.
    pub since: Offset,
    /// The record itself.
    pub record: Offset,
}

impl DueList {
    /// Lists a record, as of the record that is being applied; one that is listed already stays as it is.
    pub fn add<D>(&self, view: &mut Apply<'_, D>, record: Offset) -> Result<(), ViewError> {
        let key = by_record(record);
        if view.get(self.0, &key)?.is_none() {
            let since = view.offset();
            view.put(self.0, &by_time(Due { since, record }), &[]);
            view.put(self.0, &key, &since.to_be_bytes());
        }
        Ok(())
    }

    /// Strikes a record off; whether it was there.
    pub fn settle<D>(&self, view: &mut Apply<'_, D>, record: Offset) -> Result<bool, ViewError> {
        let key = by_record(record);
        let Some(row) = view.get(self.0, &key)? else { return Ok(false) };
        let since = row.as_ref().try_into().map(Offset::from_be_bytes);
        let since = since.map_err(|_| ViewError::Row { table: self.0.name, what: "an offset has not eight bytes" })?;
        view.remove(self.0, &by_time(Due { since, record }));
        view.remove(self.0, &key);
        Ok(true)
    }

    /// The entries after one of them, or from the first on, in the order in which they became due; at most `limit`.
    pub fn after(&self, reader: &dyn Read, after: Option<Due>, limit: usize) -> Result<Vec<Due>, ViewError> {
        let first = after.map_or([BY_TIME; 17], by_time);
        let from = if after.is_some() { Bound::Excluded(&first[..]) } else { Bound::Included(&first[..]) };
        let mut found = Vec::new();
        let mut visit = |key: &[u8], _: &[u8]| {
            if found.len() == limit {
                return ControlFlow::Break(());
            }
            found.push(decode(key).ok_or(ViewError::Row { table: self.0.name, what: "a key has not 17 bytes" }));
            ControlFlow::Continue(())
        };
        reader.scan(self.0, from, Bound::Excluded(&[BY_RECORD]), false, &mut visit)?;
        found.into_iter().collect()
    }
}

fn by_time(due: Due) -> [u8; 17] {
    let mut key = [BY_TIME; 17];
    key[1..9].copy_from_slice(&due.since.to_be_bytes());
    key[9..].copy_from_slice(&due.record.to_be_bytes());
    key
}

fn by_record(record: Offset) -> [u8; 9] {
    let mut key = [BY_RECORD; 9];
    key[1..].copy_from_slice(&record.to_be_bytes());
    key
}

fn decode(key: &[u8]) -> Option<Due> {
    let numbers: &[u8; 16] = key.get(1..)?.try_into().ok()?;
    let (since, record) = numbers.split_first_chunk::<8>()?;
    Some(Due { since: Offset::from_be_bytes(*since), record: Offset::from_be_bytes(record.try_into().ok()?) })
}
