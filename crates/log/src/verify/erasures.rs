//! Holds what is erased against the records that say so: a payload that is not there, and that nobody gave up, is lost.
//!
//! An announcement follows what it names in the log, so one pass in order suffices for a record: it is met first, and
//! then whoever vouches for its state. A log may have more erased records than fit into memory. Then those with the
//! lowest offsets are looked at, and the rest in another pass: memory is bounded, and the time is what it costs.

use std::collections::BTreeMap;

use engram_log_format::frame::FrameRecord;
use engram_log_format::record::Stored;
use engram_log_format::{InputRef, Kind, Offset};

use super::Report;
use crate::damage::Damage;

/// `v1::Erased`.
const ERASED: Kind = Kind(5);

/// What was found and what was announced of the records in one range of offsets.
pub(super) struct Erasures {
    records: BTreeMap<u64, Erasure>,
    /// The lowest offset that is looked at.
    from: u64,
    /// The first offset that is left to another pass.
    below: u64,
    records_max: usize,
}

/// A record that is erased, or shall be.
#[derive(Default)]
struct Erasure {
    found: Option<Found>,
    /// Whether somebody gave its payload up without a replacement.
    gone: bool,
    /// Whether what was found was announced.
    vouched: bool,
    /// Whether what was found is what was announced last; none if nothing was announced.
    last: Option<bool>,
}

/// A record without the payload that was written.
struct Found {
    /// The digest of what has taken its place.
    replacement: Option<[u8; 32]>,
    /// The number of its segment.
    segment: usize,
    position: u64,
    after: Offset,
}

impl Erasures {
    /// Looks at all offsets, as long as there are no more than `records_max`.
    pub(super) fn new(records_max: usize) -> Self {
        assert!(records_max > 1, "each pass makes progress");
        Self { records: BTreeMap::new(), from: 0, below: u64::MAX, records_max }
    }

    /// Notes the records of a verified frame, which begins at `position` of a segment. `after` is the record before.
    pub(super) fn note(&mut self, segment: usize, position: u64, frame: &[u8], records: &[FrameRecord], after: Offset) {
        let mut after = after;
        for record in records {
            let header = &record.header;
            let replacement = match header.stored {
                Stored::Whole => None,
                Stored::Replaced(replacement) => Some(Some(replacement.digest)),
                Stored::Erased => Some(None),
            };
            if let Some(replacement) = replacement {
                let position = position + record.position as u64;
                self.note_found(header.offset, Found { replacement, segment, position, after });
            } else if header.kind == ERASED {
                self.note_announced(frame, record);
            }
            after = header.offset;
        }
    }

    fn note_found(&mut self, offset: Offset, found: Found) {
        if let Some(erasure) = self.erasure(offset.0) {
            erasure.found = Some(found);
        }
    }

    fn note_announced(&mut self, frame: &[u8], record: &FrameRecord) {
        let header = &record.header;
        let payload = &frame[record.position..][header.payload_range()];
        let Ok(InputRef::Erased(erased)) = InputRef::decode(header.kind, header.schema, payload) else {
            return;
        };
        for record in erased.records.iter() {
            if let Some(erasure) = self.erasure(record.offset.to_native()) {
                erasure.announce(record.replacement.as_ref().copied());
            }
        }
    }

    /// The entry of a record, if this pass looks at it.
    fn erasure(&mut self, offset: u64) -> Option<&mut Erasure> {
        if offset < self.from || offset >= self.below {
            return None;
        }
        self.records.entry(offset).or_default();
        if self.records.len() > self.records_max {
            let middle = *self.records.keys().nth(self.records_max / 2).expect("there are more");
            self.records.split_off(&middle);
            self.below = middle;
        }
        assert!(self.records.len() <= self.records_max, "memory is bounded");
        self.records.get_mut(&offset)
    }

    /// Says what is missing without a reason, and how much was announced and is still there. Returns what another pass
    /// has to look at. `segments` are the paths of the lane.
    pub(super) fn finish(self, segments: &[String], report: &mut Report) -> Option<Self> {
        for (offset, erasure) in &self.records {
            report.erasures_pending += u64::from(erasure.last.is_some() && !erasure.is_done());
            let Some(found) = erasure.found.as_ref().filter(|_| !erasure.vouched) else { continue };
            let what = match found.replacement {
                Some(_) => "another payload is in the place of",
                None => "nothing is left of",
            };
            report.damage.push(Damage {
                segment: segments[found.segment].clone(),
                position: found.position,
                after: found.after,
                reason: format!("{what} record {offset}'s, and no record of an erasure says so"),
            });
        }
        let more = self.below < u64::MAX;
        assert!(!more || self.below > self.from, "each pass makes progress");
        more.then(|| Self { from: self.below, ..Self::new(self.records_max) })
    }
}

impl Erasure {
    /// Notes what an `erased` record says about it.
    fn announce(&mut self, replacement: Option<[u8; 32]>) {
        self.gone |= replacement.is_none();
        // Of several announcements the last counts, but what is gone stays gone.
        let counts = |found: &&Found| found.replacement.is_some() || replacement.is_none();
        match self.found.as_ref().filter(counts).map(|found| found.replacement == replacement) {
            Some(is_this) => {
                self.last = Some(is_this);
                self.vouched |= is_this;
            }
            None => _ = self.last.get_or_insert(false),
        }
    }

    /// Whether what was announced has been done. A later erasure may be announced and not carried out yet.
    fn is_done(&self) -> bool {
        match self.found.as_ref().map(|found| found.replacement) {
            None => false,
            Some(None) => self.gone,
            Some(Some(_)) => self.last == Some(true) && !self.gone,
        }
    }
}

#[cfg(test)]
mod tests {
    //! What does not fit into memory is looked at all the same.

    use super::*;

    const SEGMENT: &str = "log/journal/1.seg";

    fn found(replacement: Option<[u8; 32]>) -> Found {
        Found { replacement, segment: 0, position: 160, after: Offset(1) }
    }

    /// Every third record is gone, every third is replaced, every third is whole; announced is what `announced` says.
    fn pass(erasures: &mut Erasures, announced: impl Fn(u64) -> bool) {
        for offset in 1..=90 {
            match offset % 3 {
                0 => erasures.note_found(Offset(offset), found(None)),
                1 => erasures.note_found(Offset(offset), found(Some([1; 32]))),
                _ => {}
            }
        }
        for offset in (1..=90).rev().filter(|offset| announced(*offset)) {
            if let Some(erasure) = erasures.erasure(offset) {
                erasure.announce((offset % 3 == 1).then_some([1; 32]));
            }
        }
    }

    fn report(records_max: usize, announced: impl Fn(u64) -> bool) -> (Report, usize) {
        let (mut report, mut passes) = (Report::default(), 0);
        let mut rest = Some(Erasures::new(records_max));
        while let Some(mut erasures) = rest {
            pass(&mut erasures, &announced);
            rest = erasures.finish(&[SEGMENT.to_owned()], &mut report);
            passes += 1;
        }
        (report, passes)
    }

    #[test]
    fn more_erasures_than_fit_into_memory_are_verified_in_passes() {
        for announced in [|_| true, |offset| offset != 42 && offset != 43, |_| false] {
            let (whole, passes) = report(1000, announced);
            assert_eq!(passes, 1);
            let (parts, passes) = report(8, announced);
            assert!(passes > 5, "{passes}");
            assert_eq!(parts, whole, "the same is found");
        }
        let (most, _) = report(8, |offset| offset != 42 && offset != 43);
        let expected = |offset| format!("record {offset}'s");
        assert_eq!(most.damage.len(), 2, "{most:?}");
        assert!(most.damage.iter().zip([42, 43]).all(|(damage, at)| damage.reason.contains(&expected(at))));
        assert_eq!(most.erasures_pending, 30, "what is whole is still to be erased");
    }

    #[test]
    fn a_later_announcement_takes_the_place_of_an_earlier_one() {
        let two = [2; 32];
        for (announced, found_is, vouched, done) in [
            (vec![Some([1; 32]), Some(two)], Some([1; 32]), true, false),
            (vec![Some([1; 32]), Some(two)], Some(two), true, true),
            (vec![Some(two), None], Some(two), true, false),
            (vec![None, Some(two)], None, true, true),
            (vec![Some(two)], None, false, false),
            (vec![Some(two)], Some([1; 32]), false, false),
        ] {
            let mut erasure = Erasure { found: Some(found(found_is)), ..Erasure::default() };
            for replacement in &announced {
                erasure.announce(*replacement);
            }
            assert_eq!((erasure.vouched, erasure.is_done()), (vouched, done), "{announced:?}, found {found_is:?}");
        }
    }
}
