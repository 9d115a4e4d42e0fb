//! Goes through the segments of one lane, and holds each against the one before it.

use std::io;
use std::sync::Arc;

use engram_log_format::record::Chain;
use engram_log_format::segment::SegmentHeader;
use engram_log_format::{Lane, Offset};

use super::Report;
use super::erasures::Erasures;
use crate::damage::Damage;
use crate::embedded::files::{Opened, path, read_header};
use crate::storage::Storage;

/// What the next segment has to continue.
pub(super) struct Before {
    pub(super) base: Offset,
    pub(super) last: Offset,
    /// Unknown behind damage.
    pub(super) chain: Option<Chain>,
    pub(super) log_id: [u8; 16],
}

/// Verifies a lane.
pub(super) struct LaneVerifier<'a> {
    storage: &'a Arc<dyn Storage>,
    pub(super) lane: Lane,
    pub(super) report: &'a mut Report,
    pub(super) erasures: &'a mut Erasures,
    /// Is told how many bytes are verified.
    pub(super) progress: &'a mut dyn FnMut(u64),
    /// Whether payloads are validated.
    pub(super) deep: bool,
    /// The number of the segment that is being verified, within the lane.
    pub(super) number: usize,
    /// The segment before; unknown at the start and behind a damaged header.
    pub(super) before: Option<Before>,
}

impl<'a> LaneVerifier<'a> {
    pub(super) fn new(
        storage: &'a Arc<dyn Storage>,
        lane: Lane,
        report: &'a mut Report,
        erasures: &'a mut Erasures,
        progress: &'a mut dyn FnMut(u64),
        deep: bool,
    ) -> Self {
        Self { storage, lane, report, erasures, progress, deep, number: 0, before: None }
    }

    /// Verifies the segments of the lane, oldest first.
    pub(super) fn run(mut self, paths: &[String]) -> io::Result<()> {
        for (number, path) in paths.iter().enumerate() {
            self.number = number;
            self.segment(path, number + 1 == paths.len())?;
        }
        Ok(())
    }

    pub(super) fn damaged(&mut self, segment: &str, position: u64, after: Offset, reason: impl ToString) {
        self.report.damage.push(Damage { segment: segment.to_owned(), position, after, reason: reason.to_string() });
    }

    fn segment(&mut self, name: &str, newest: bool) -> io::Result<()> {
        if self.deep {
            self.storage.open(name, false)?.drop_cache();
        }
        let Opened { file, length, header } = read_header(self.storage, name)?;
        let start = self.report.bytes;
        self.report.segments += 1;
        let after = self.before.as_ref().map_or(Offset::ZERO, |before| before.last);
        match header {
            Err(error) => {
                self.damaged(name, 0, after, error);
                self.before = None;
            }
            Ok(header) => {
                if let Err(reason) = self.check_place(name, &header) {
                    self.damaged(name, 0, after, reason);
                }
                self.content(name, &file, length, header, newest, after)?;
            }
        }
        self.report.bytes = start + length;
        (self.progress)(self.report.bytes);
        Ok(())
    }

    fn check_place(&self, name: &str, header: &SegmentHeader) -> Result<(), String> {
        if header.lane != self.lane || name != path(self.lane, header.base) {
            return Err("the header belongs to another file".to_owned());
        }
        let Some(before) = &self.before else {
            let first = self.number == 0 && self.lane == Lane::Journal;
            let starts = header.previous == Offset::ZERO && header.chain == Chain::start(header.log_id, self.lane);
            return if first && !starts { Err("segments before it are missing".to_owned()) } else { Ok(()) };
        };
        if header.log_id != before.log_id {
            return Err("it belongs to another log".to_owned());
        }
        if header.previous != before.base {
            return Err(format!("the segment with base {} before it is missing", header.previous));
        }
        if header.base <= before.last || before.chain.is_some_and(|chain| chain != header.chain) {
            return Err("it does not continue the segment before it".to_owned());
        }
        Ok(())
    }
}
