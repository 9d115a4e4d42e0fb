//! Interning: (event type, state key) pairs to small numbers, shared by all rooms.

use std::sync::Arc;

use crate::delta::Apply;
use engram_views::{Read, ViewError};

use super::memo::{Memo, PairName};
use super::{Pair, Remembering};
use crate::codec::{Reader, names_key};
use crate::counters;
use crate::tables::{PAIR_NAMES, PAIRS};

/// The pair's number, if it was ever seen.
pub fn pair(reader: &dyn Read, event_type: &str, state_key: &str) -> Result<Option<Pair>, ViewError> {
    stored(reader, &names_key(&[event_type, state_key]))
}

fn stored(reader: &dyn Read, name: &[u8]) -> Result<Option<Pair>, ViewError> {
    let Some(row) = reader.get(&PAIRS, name)? else { return Ok(None) };
    Ok(Some(Pair(u32::from_be_bytes(Reader::new(PAIRS.name, &row).array()?))))
}

/// The pair that a number stands for.
pub fn pair_name(reader: &dyn Read, pair: Pair) -> Result<(String, String), ViewError> {
    let malformed = |what| ViewError::Row { table: PAIR_NAMES.name, what };
    let row = reader.get(&PAIR_NAMES, &pair.0.to_be_bytes())?.ok_or_else(|| malformed("a pair has no name"))?;
    let mut reader = Reader::new(PAIR_NAMES.name, &row);
    let event_type = reader.text()?.to_owned();
    let state_key = reader.rest();
    Ok((event_type, reader.utf8(state_key)?.to_owned()))
}

/// The pair's number, given out now if it was never seen.
pub(crate) fn intern(view: &mut Apply<'_>, memo: &Memo, event_type: &str, state_key: &str) -> Result<Pair, ViewError> {
    if let Some(pair) = Remembering::new(view, memo).pair(event_type, state_key)? {
        return Ok(pair);
    }
    let number = counters::next(view, "pair")?;
    let name = names_key(&[event_type, state_key]);
    view.put(&PAIRS, &name, &number.to_be_bytes());
    view.put(&PAIR_NAMES, &number.to_be_bytes(), &name);
    memo.pairs.borrow_mut().put(name, Pair(number));
    Ok(Pair(number))
}

impl Remembering<'_> {
    /// [`pair`].
    pub(crate) fn pair(&self, event_type: &str, state_key: &str) -> Result<Option<Pair>, ViewError> {
        let name = names_key(&[event_type, state_key]);
        if let Some(pair) = self.memo.pairs.borrow_mut().get(name.as_slice()) {
            return Ok(Some(pair));
        }
        let found = stored(self.reader, &name)?;
        if let Some(pair) = found {
            self.memo.pairs.borrow_mut().put(name, pair);
        }
        Ok(found)
    }

    /// [`pair_name`].
    pub(crate) fn pair_name(&self, pair: Pair) -> Result<PairName, ViewError> {
        if let Some(name) = self.memo.names.borrow_mut().get(&pair) {
            return Ok(name);
        }
        let name = Arc::new(pair_name(self.reader, pair)?);
        self.memo.names.borrow_mut().put(pair, Arc::clone(&name));
        Ok(name)
    }
}
