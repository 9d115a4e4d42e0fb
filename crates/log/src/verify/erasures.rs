//! Holds what is erased against the records that say so: a payload that is not there, and that nobody gave up, is lost.

use std::collections::{BTreeMap, BTreeSet};

use engram_log_format::frame::FrameRecord;
use engram_log_format::record::Stored;
use engram_log_format::{InputRef, Kind, Offset};

use super::{Damage, Report};

/// `v1::Erased`.
const ERASED: Kind = Kind(5);

/// What was announced, and what was found.
#[derive(Default)]
pub(super) struct Erasures {
    gone: BTreeSet<u64>,
    /// The digests that were announced for a record, in order.
    replaced: BTreeMap<u64, Vec<[u8; 32]>>,
    found: Vec<Found>,
}

/// A record without the payload that was written.
struct Found {
    offset: Offset,
    /// The digest of what has taken its place.
    replacement: Option<[u8; 32]>,
    segment: String,
    position: u64,
    after: Offset,
}

impl Erasures {
    /// Notes the records of a verified frame, which begins at `position` of `segment`. `after` is the record before.
    pub(super) fn note(&mut self, segment: &str, position: u64, frame: &[u8], records: &[FrameRecord], after: Offset) {
        let mut after = after;
        for record in records {
            let header = &record.header;
            let mut found = |replacement| {
                let (segment, position) = (segment.to_owned(), position + record.position as u64);
                self.found.push(Found { offset: header.offset, replacement, segment, position, after });
            };
            match header.stored {
                Stored::Whole if header.kind == ERASED => self.note_announced(frame, record),
                Stored::Whole => {}
                Stored::Replaced(replacement) => found(Some(replacement.digest)),
                Stored::Erased => found(None),
            }
            after = header.offset;
        }
    }

    fn note_announced(&mut self, frame: &[u8], record: &FrameRecord) {
        let header = &record.header;
        let payload = &frame[record.position..][header.payload_range()];
        let Ok(InputRef::Erased(erased)) = InputRef::decode(header.kind, header.schema, payload) else {
            return;
        };
        for record in erased.records.iter() {
            let offset = record.offset.to_native();
            match record.replacement.as_ref() {
                None => _ = self.gone.insert(offset),
                Some(digest) => self.replaced.entry(offset).or_default().push(*digest),
            }
        }
    }

    /// Says what is missing without a reason, and how much was announced and is still there.
    pub(super) fn finish(self, report: &mut Report) {
        let mut done = BTreeSet::new();
        for found in &self.found {
            let offset = found.offset.0;
            let announced = self.replaced.get(&offset).map_or(&[][..], Vec::as_slice);
            let (vouched, last) = match found.replacement {
                None => (self.gone.contains(&offset), true),
                // A later erasure may be announced and not carried out yet.
                Some(digest) => {
                    (announced.contains(&digest), announced.last() == Some(&digest) && !self.gone.contains(&offset))
                }
            };
            if !vouched {
                let what = if found.replacement.is_some() {
                    "another payload is in the place of"
                } else {
                    "nothing is left of"
                };
                report.damage.push(Damage {
                    segment: found.segment.clone(),
                    position: found.position,
                    after: found.after,
                    reason: format!("{what} record {offset}'s, and no record of an erasure says so"),
                });
            } else if last {
                done.insert(offset);
            }
        }
        let announced: BTreeSet<u64> = self.gone.iter().chain(self.replaced.keys()).copied().collect();
        report.erasures_pending = announced.difference(&done).count() as u64;
    }
}
