//! What must be applied before the next decision about an alias, or about what a room has of aliases and listings.
//!
//! A decision names all keys that it depends on. If a record about one of them is on its way, it is told to wait, and
//! asks again; otherwise it decides and appends at once, and its record is the keys' fence.

use std::collections::HashMap;

use engram_log::Offset;
use parking_lot::Mutex;

use super::{RoomError, RoomServer};

/// The fences of all keys. A key takes memory only until its fence is applied.
#[derive(Default)]
pub(super) struct Fences(Mutex<HashMap<Box<str>, Offset>>);

/// What came of an attempt to decide.
pub(super) enum Attempt<T> {
    /// It is decided.
    Decided(T),
    /// First the views have to come so far.
    After(Offset),
}

/// What was decided, its last record, and the keys that it concerns.
pub(super) struct Decision<T> {
    pub(super) value: T,
    pub(super) appended: Offset,
    pub(super) keys: Vec<String>,
}

/// Aliases that are read, and those that a decision sets, belong to rooms whose keys go along.
pub(super) struct Keys<'a> {
    fences: &'a HashMap<Box<str>, Offset>,
    behind: Offset,
}

impl Keys<'_> {
    /// Whether nothing about these is on its way. To be asked before anything is read that depends on them.
    pub(super) fn are_settled<'k>(&mut self, keys: impl IntoIterator<Item = &'k str>) -> bool {
        let fence = keys.into_iter().filter_map(|key| self.fences.get(key)).max();
        self.behind = self.behind.max(fence.copied().unwrap_or(Offset::ZERO));
        self.behind == Offset::ZERO
    }
}

impl Fences {
    /// Decides, unless it has to be waited: then `decide` returns none, after [`Keys::are_settled`] has told it so.
    pub(super) fn attempt<T>(
        &self,
        applied: Offset,
        decide: impl FnOnce(&mut Keys<'_>) -> Result<Option<Decision<T>>, RoomError>,
    ) -> Result<Attempt<T>, RoomError> {
        let mut fences = self.0.lock();
        fences.retain(|_, fence| *fence > applied);
        let mut keys = Keys { fences: &fences, behind: Offset::ZERO };
        let decided = decide(&mut keys)?;
        let behind = keys.behind;
        let Some(Decision { value, appended, keys }) = decided else {
            assert!(behind > applied, "only what is on its way is waited for");
            return Ok(Attempt::After(behind));
        };
        assert!(behind == Offset::ZERO, "nothing is decided while something is on its way");
        fences.extend(keys.into_iter().map(|key| (key.into(), appended)));
        Ok(Attempt::Decided(value))
    }
}

impl RoomServer {
    /// Decides about aliases and listings as soon as nothing that the decision depends on is on its way.
    pub(super) async fn settled<T>(
        &self,
        mut decide: impl FnMut(&mut Keys<'_>) -> Result<Option<Decision<T>>, RoomError>,
    ) -> Result<T, RoomError> {
        loop {
            match self.fences.attempt(self.reading.applied(), &mut decide)? {
                Attempt::Decided(value) => return Ok(value),
                Attempt::After(offset) => self.reading.caught_up(offset).await?,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn try_to(fences: &Fences, applied: u64, keys: &[&str], appended: u64) -> Option<u64> {
        let attempt = fences.attempt(Offset(applied), |known| {
            let settled = known.are_settled(keys.iter().copied());
            let keys = keys.iter().map(|key| (*key).to_owned()).collect();
            Ok(settled.then_some(Decision { value: (), appended: Offset(appended), keys }))
        });
        match attempt.expect("nothing fails") {
            Attempt::Decided(()) => None,
            Attempt::After(offset) => Some(offset.0),
        }
    }

    #[test]
    fn a_key_waits_for_its_own_last_record_and_no_other() {
        let fences = Fences::default();
        assert_eq!(try_to(&fences, 0, &["#a", "!room"], 5), None);
        assert_eq!(try_to(&fences, 4, &["#b"], 6), None);
        assert_eq!(try_to(&fences, 4, &["#b", "!room"], 9), Some(6));
        assert_eq!(try_to(&fences, 5, &["#a", "!room"], 9), None);
        assert_eq!(try_to(&fences, 9, &["#c"], 10), None);
        assert_eq!(fences.0.lock().len(), 1, "what is applied is forgotten");
    }
}
