//! What a view has decided about a room, in 32 bytes: by which two versions of the view are compared.
//!
//! Verdicts are a view. Better rules judge history anew, and clients have to be told where they judge otherwise; see
//! [`differences`]. The digest is a sum, so that it follows each event at no cost, and does not depend on the order in
//! which decisions are made.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use engram_log::Offset;
use engram_views::{Read, ViewError};

use crate::query::Verdict;
use crate::tables::VERDICTS;

/// The decisions about one room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decided {
    /// Over the verdict on each event that has a place in the room's graph.
    verdicts: u128,
    /// Over the events of the current state.
    state: u128,
}

impl Decided {
    /// Takes an event's verdict in.
    pub(crate) fn judged(&mut self, offset: Offset, verdict: Verdict) {
        self.verdicts = self.verdicts.wrapping_add(hash(offset, verdict as u8));
    }

    /// Takes a change of the current state in.
    pub(crate) fn state_changed(&mut self, before: Option<Offset>, after: Option<Offset>) {
        let value = |offset: Option<Offset>| offset.map_or(0, |offset| hash(offset, u8::MAX));
        self.state = self.state.wrapping_sub(value(before)).wrapping_add(value(after));
    }

    pub(crate) fn encode(self) -> [u8; 32] {
        let mut row = [0; 32];
        row[..16].copy_from_slice(&self.verdicts.to_be_bytes());
        row[16..].copy_from_slice(&self.state.to_be_bytes());
        row
    }

    /// The inverse of what the table holds; none if the bytes are something else.
    pub fn decode(row: &[u8]) -> Option<Self> {
        let (verdicts, state) = row.split_at_checked(16)?;
        let number = |bytes: &[u8]| bytes.try_into().ok().map(u128::from_be_bytes);
        Some(Self { verdicts: number(verdicts)?, state: number(state)? })
    }
}

fn hash(offset: Offset, mark: u8) -> u128 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&offset.to_be_bytes()).update(&[mark]);
    let mut bytes = [0; 16];
    hasher.finalize_xof().fill(&mut bytes);
    u128::from_be_bytes(bytes)
}

/// What is decided about every room, by room ID.
pub fn all(reader: &dyn Read) -> Result<BTreeMap<String, Decided>, ViewError> {
    let mut rooms = BTreeMap::new();
    let mut visit = |key: &[u8], row: &[u8]| {
        rooms.extend(decode_row(key, row));
        ControlFlow::Continue(())
    };
    reader.scan(&VERDICTS, Bound::Unbounded, Bound::Unbounded, false, &mut visit)?;
    Ok(rooms)
}

/// A row of the table, whichever version of the view wrote it.
pub fn decode_row(key: &[u8], row: &[u8]) -> Option<(String, Decided)> {
    Some((String::from_utf8(key.to_vec()).ok()?, Decided::decode(row)?))
}

/// The rooms of which something else was decided before than is now. A room that one of the two does not know is not
/// among them: nobody has been shown it.
pub fn differences(before: &BTreeMap<String, Decided>, now: &BTreeMap<String, Decided>) -> Vec<String> {
    let differs = |(room_id, decided): &(&String, &Decided)| now.get(*room_id).is_some_and(|now| now != *decided);
    before.iter().filter(differs).map(|(room_id, _)| room_id.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_depends_on_what_was_decided_and_not_on_the_order() {
        let decided = |verdicts: &[(u64, Verdict)]| {
            let mut decided = Decided::default();
            for (offset, verdict) in verdicts {
                decided.judged(Offset(*offset), *verdict);
            }
            decided
        };
        let one = decided(&[(1, Verdict::Accepted), (2, Verdict::Rejected)]);
        assert_eq!(one, decided(&[(2, Verdict::Rejected), (1, Verdict::Accepted)]));
        assert_ne!(one, decided(&[(1, Verdict::Rejected), (2, Verdict::Accepted)]));
        assert_ne!(one, decided(&[(1, Verdict::Accepted)]));
        assert_eq!(Decided::decode(&one.encode()), Some(one));
        assert_eq!(Decided::decode(&[0; 31]), None);

        let mut state = one;
        state.state_changed(None, Some(Offset(7)));
        assert_ne!(state, one);
        state.state_changed(Some(Offset(7)), None);
        assert_eq!(state, one);
    }

    #[test]
    fn only_rooms_that_both_know_can_differ() {
        let decided = |verdicts| Decided { verdicts, state: 0 };
        let map =
            |rooms: &[(&str, u128)]| rooms.iter().map(|(id, value)| ((*id).to_owned(), decided(*value))).collect();
        let before: BTreeMap<_, _> = map(&[("!a", 1), ("!b", 2), ("!gone", 3)]);
        let now = map(&[("!a", 1), ("!b", 9), ("!new", 4)]);
        assert_eq!(differences(&before, &now), ["!b"]);
    }
}
