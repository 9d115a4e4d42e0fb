//! Counters that give out numbers or count what was passed over.

use crate::delta::Apply;
use engram_views::{Read, ViewError};

use crate::codec::Reader;
use crate::tables::COUNTERS;

/// The counter's value; zero if it never counted.
pub(crate) fn value(reader: &dyn Read, name: &str) -> Result<u32, ViewError> {
    match reader.get(&COUNTERS, name.as_bytes())? {
        Some(row) => Ok(u32::from_be_bytes(Reader::new(COUNTERS.name, &row).array()?)),
        None => Ok(0),
    }
}

/// Counts one up and returns the new value: numbers begin at one.
pub(crate) fn next(view: &mut Apply<'_>, name: &str) -> Result<u32, ViewError> {
    let number = value(view, name)?.checked_add(1).expect("2^32 numbers are more than a server gives out");
    view.put(&COUNTERS, name.as_bytes(), &number.to_be_bytes());
    Ok(number)
}
