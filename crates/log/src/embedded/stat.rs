//! What there is: figures for tools and for the health of a server.

use engram_log_format::{Lane, Offset, TimestampMs};

use super::EmbeddedLog;
use crate::interface::{Log, ReadError};

/// One segment in figures.
#[derive(Clone, Debug)]
pub struct SegmentStat {
    /// Its lane.
    pub lane: Lane,
    /// Its file, relative to the data directory.
    pub path: String,
    /// The offset that it is named by.
    pub base: Offset,
    /// First record; zero if it has none or is still written.
    pub first: Offset,
    /// Last record; zero if it has none or is still written.
    pub last: Offset,
    /// Number of records.
    pub records: u64,
    /// Bytes of header, frames, index and footer.
    pub bytes: u64,
    /// Whether it is sealed.
    pub sealed: bool,
    /// Time of the first record.
    pub first_timestamp: TimestampMs,
    /// Time of the last record.
    pub last_timestamp: TimestampMs,
}

/// The log in figures.
#[derive(Clone, Debug)]
pub struct Stat {
    /// The log's identity.
    pub log_id: [u8; 16],
    /// The last offset that followers may have seen.
    pub durable_end: Offset,
    /// The next offset that will be handed out.
    pub next: Offset,
    /// Offsets below may be handed out without a further lease.
    pub lease_below: Offset,
    /// All segments: the journal's, then the ephemeral ones, oldest first.
    pub segments: Vec<SegmentStat>,
}

impl Stat {
    /// Number of records in both lanes.
    pub fn records(&self) -> u64 {
        self.segments.iter().map(|segment| segment.records).sum()
    }

    /// Bytes in both lanes.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }
}

impl EmbeddedLog {
    /// The log in figures.
    pub fn stat(&self) -> Result<Stat, ReadError> {
        let mut segments = Vec::new();
        for lane in [Lane::Journal, Lane::Ephemeral] {
            for segment in self.catalog.segments(lane) {
                segments.push(self.segment_stat(lane, &segment)?);
            }
        }
        Ok(Stat {
            log_id: self.log_id,
            durable_end: self.durable_end(),
            next: self.sequencer.next_offset(),
            lease_below: self.sequencer.lease_below(),
            segments,
        })
    }

    fn segment_stat(
        &self,
        lane: Lane,
        segment: &std::sync::Arc<super::catalog::Segment>,
    ) -> Result<SegmentStat, ReadError> {
        let mut stat = SegmentStat {
            lane,
            path: segment.path.clone(),
            base: segment.header.base,
            first: Offset::ZERO,
            last: Offset::ZERO,
            records: 0,
            bytes: 0,
            sealed: false,
            first_timestamp: segment.header.created,
            last_timestamp: segment.header.created,
        };
        if let Some(footer) = segment.footer() {
            stat.first = footer.first;
            stat.last = footer.last;
            stat.records = u64::from(footer.records);
            stat.bytes = footer.file_bytes();
            stat.sealed = true;
            stat.first_timestamp = footer.first_timestamp;
            stat.last_timestamp = footer.last_timestamp;
        } else {
            let open = self.catalog.open(segment)?;
            stat.records = open.records() as u64;
            stat.bytes = open.frames_end();
        }
        Ok(stat)
    }
}
