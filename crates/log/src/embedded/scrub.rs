//! The scrubber: reads sealed segments again in the background, at a bounded rate, and says what no longer verifies.
//!
//! Rot that nobody reads is found by nobody, until the backups that still have the bytes are gone. The scrubber
//! opens each file anew and drops it from the page cache, so that it reads what the disk has. It repairs nothing: one
//! machine has one copy. It is a cursor: whoever runs it calls [`Scrubber::step`] on a thread of its own, and waits in
//! between.

use std::sync::Arc;
use std::time::Duration;

use engram_log_format::frame;
use engram_log_format::segment::{Footer, SEGMENT_HEADER_BYTES};
use engram_log_format::{Lane, Offset};

use super::EmbeddedLog;
use super::catalog::{Catalog, Segment};
use super::files::{read_footer, read_header};
use super::frames::{FrameReadError, FrameReader};
use crate::damage::Damage;
use crate::storage::{File, Storage};

/// Bytes that one step reads at most, beyond the frame that it ends in.
const STEP_BYTES: u64 = 1 << 20;

/// How far a scrubber has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrubProgress {
    /// Rounds over all sealed segments of the journal that are complete.
    pub rounds: u64,
    /// Bytes that were read in this round.
    pub bytes: u64,
    /// Bytes of the sealed segments.
    pub bytes_total: u64,
    /// Records that verified in this round.
    pub records: u64,
    /// What did not verify in this round, at most one place a segment.
    pub damage: Vec<Damage>,
}

/// Re-reads the sealed segments of the journal, from the oldest to the newest, and again.
pub struct Scrubber {
    storage: Arc<dyn Storage>,
    catalog: Arc<Catalog>,
    /// Bases at or below are done in this round.
    done: Offset,
    current: Option<Current>,
    progress: ScrubProgress,
}

struct Current {
    segment: Arc<Segment>,
    reader: FrameReader,
    /// Of the file that is being read.
    footer: Footer,
    chain: engram_log_format::record::Chain,
    records: u64,
}

impl EmbeddedLog {
    /// A scrubber of this log.
    pub fn scrubber(&self) -> Scrubber {
        Scrubber {
            storage: self.catalog.storage().clone(),
            catalog: self.catalog.clone(),
            done: Offset::ZERO,
            current: None,
            progress: ScrubProgress::default(),
        }
    }
}

impl Scrubber {
    /// How far it has come.
    pub fn progress(&self) -> &ScrubProgress {
        &self.progress
    }

    /// Reads about a megabyte. Returns how long to wait before the next step, so that on average no more than
    /// `bytes_per_second` are read; longer if nothing is sealed.
    pub fn step(&mut self, bytes_per_second: u64) -> Duration {
        const IDLE: Duration = Duration::from_secs(60);
        if self.done == Offset::ZERO {
            self.begin_round();
        }
        let before = self.progress.bytes;
        if self.current.is_none() && !self.enter() {
            self.end_round();
            return IDLE;
        }
        if let Some(current) = &mut self.current {
            let start = current.reader.position();
            let result = current.read(start + STEP_BYTES);
            let read = current.reader.position() - start;
            self.progress.bytes += read;
            if let Err(reason) = result {
                self.damaged(reason);
            } else if current.reader.position() == current.footer.frames_end {
                self.finish();
            }
        }
        let bytes = self.progress.bytes - before;
        Duration::from_micros(bytes.saturating_mul(1_000_000) / bytes_per_second.max(1))
    }

    fn begin_round(&mut self) {
        let segments = self.catalog.segments(Lane::Journal);
        let bytes_total =
            segments.iter().filter_map(|segment| segment.footer()).map(|footer| footer.file_bytes()).sum();
        self.progress = ScrubProgress { rounds: self.progress.rounds, bytes_total, ..ScrubProgress::default() };
    }

    /// Goes to the next sealed segment; false at the end of a round.
    fn enter(&mut self) -> bool {
        let segments = self.catalog.segments(Lane::Journal);
        let sealed = |segment: &&Arc<Segment>| segment.footer().is_some();
        let Some(segment) = segments.iter().filter(sealed).find(|segment| segment.header.base > self.done) else {
            return false;
        };
        self.done = segment.header.base;
        match self.open(segment) {
            Ok((file, footer)) => {
                let reader = FrameReader::new(file, SEGMENT_HEADER_BYTES as u64);
                let chain = segment.header.chain;
                self.current = Some(Current { segment: segment.clone(), reader, footer, chain, records: 0 });
            }
            Err(reason) => self.report(segment.path.clone(), 0, reason),
        }
        true
    }

    /// Opens a segment past the page cache, and checks header, footer and index.
    fn open(&mut self, segment: &Segment) -> Result<(Arc<dyn File>, Footer), String> {
        self.storage.open(&segment.path, false).map_err(|error| error.to_string())?.drop_cache();
        let opened = read_header(&self.storage, &segment.path).map_err(|error| error.to_string())?;
        let header = opened.header.map_err(|error| error.to_string())?;
        if header != segment.header {
            return Err("the header is another than it was".to_owned());
        }
        let footer = read_footer(&opened.file, opened.length, &header, true).map_err(|error| error.to_string())?;
        let footer = footer.map_err(|error| error.to_string())?;
        // It may have been rewritten since, with the same records.
        if !segment.footer().is_some_and(|known| footer.is_rewrite_of(&known)) {
            return Err("the footer is another than it was".to_owned());
        }
        self.progress.bytes += opened.length - footer.frames_end + SEGMENT_HEADER_BYTES as u64;
        Ok((opened.file, footer))
    }

    /// A segment has been read to its end: does it end where the footer says?
    fn finish(&mut self) {
        let Some(current) = self.current.take() else { return };
        self.progress.records += current.records;
        let footer = &current.footer;
        if current.chain != footer.chain || current.records != u64::from(footer.records) {
            self.report(
                current.segment.path.clone(),
                footer.frames_end,
                "the frames do not agree with the footer".to_owned(),
            );
        }
    }

    fn damaged(&mut self, reason: String) {
        let Some(current) = self.current.take() else { return };
        self.progress.records += current.records;
        self.report(current.segment.path.clone(), current.reader.position(), reason);
    }

    fn report(&mut self, segment: String, position: u64, reason: String) {
        tracing::error!(
            code = "E-LOG-ROT",
            segment,
            position,
            reason,
            "the scrubber has found damage: restore this file from a backup"
        );
        self.progress.damage.push(Damage { segment, position, after: Offset::ZERO, reason });
    }

    fn end_round(&mut self) {
        if self.done > Offset::ZERO {
            self.progress.rounds += 1;
            self.done = Offset::ZERO;
        }
    }
}

impl Current {
    /// Verifies frames until the position passes `until` or the frames end.
    fn read(&mut self, until: u64) -> Result<(), String> {
        let end = self.footer.frames_end;
        while self.reader.position() < until.min(end) {
            let found = self.reader.next(end).map_err(|error| match error {
                FrameReadError::Io(error) => error.to_string(),
                FrameReadError::Frame(error) => error.to_string(),
            })?;
            let Some((buffer, start)) = found else { break };
            let mut records = 0;
            let length = frame::verify(&buffer[start..], &self.segment.key, Some(&mut self.chain), |_| records += 1)
                .map_err(|error| error.to_string())?;
            self.records += records;
            self.reader.advance(length);
        }
        Ok(())
    }
}
