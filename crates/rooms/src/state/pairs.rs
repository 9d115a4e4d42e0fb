//! Interning: (event type, state key) pairs to small numbers, shared by all rooms.

use engram_views::{Apply, Read, ViewError};

use super::Pair;
use crate::codec::{Reader, names_key};
use crate::counters;
use crate::tables::{PAIR_NAMES, PAIRS};

/// The pair's number, if it was ever seen.
pub fn pair(reader: &dyn Read, event_type: &str, state_key: &str) -> Result<Option<Pair>, ViewError> {
    let Some(row) = reader.get(&PAIRS, &names_key(&[event_type, state_key]))? else {
        return Ok(None);
    };
    Ok(Some(Pair(u32::from_be_bytes(Reader::new(PAIRS.name, &row).array()?))))
}

/// The pair that a number stands for.
pub fn pair_name(reader: &dyn Read, pair: Pair) -> Result<(String, String), ViewError> {
    let malformed = |what| ViewError::Row { table: PAIR_NAMES.name, what };
    let row = reader.get(&PAIR_NAMES, &pair.0.to_be_bytes())?.ok_or(malformed("a pair has no name"))?;
    let mut reader = Reader::new(PAIR_NAMES.name, &row);
    let event_type = reader.text()?.to_owned();
    let state_key = reader.rest();
    Ok((event_type, reader.utf8(state_key)?.to_owned()))
}

/// The pair's number, given out now if it was never seen.
pub(crate) fn intern(view: &mut Apply<'_>, event_type: &str, state_key: &str) -> Result<Pair, ViewError> {
    if let Some(pair) = pair(view, event_type, state_key)? {
        return Ok(pair);
    }
    let number = counters::next(view, "pair")?;
    let name = names_key(&[event_type, state_key]);
    view.put(&PAIRS, &name, &number.to_be_bytes());
    view.put(&PAIR_NAMES, &number.to_be_bytes(), &name);
    Ok(Pair(number))
}
