//! Takes over what is on disk when the log is opened. Reads only; what has to be changed is in [`Found`].

use std::sync::Arc;

use engram_log_format::record::Chain;
use engram_log_format::segment::{Footer, SEGMENT_HEADER_BYTES, SegmentError, SegmentHeader};
use engram_log_format::{Lane, Offset, TimestampMs};

use super::catalog::{OpenSegment, Segment};
use super::error::OpenError;
use super::files::{Opened, list, path, read_footer, read_header};
use super::scan::{Scan, ScanError, Torn, Totals, scan};
use crate::storage::{File, Storage};

/// What a lane's directory holds.
pub(crate) struct Found {
    pub(crate) segments: Vec<Arc<Segment>>,
    /// The newest segment, if it has no footer: what to seal it with.
    pub(crate) unsealed: Option<Unsealed>,
    /// Files of segments that never came into being.
    pub(crate) leftovers: Vec<String>,
    pub(crate) last: Offset,
    pub(crate) last_timestamp: TimestampMs,
    /// The chain at the end of the newest segment.
    pub(crate) chain: Option<Chain>,
    /// The highest lease that is known.
    pub(crate) lease_below: Offset,
    /// The next offset, if the log was closed in order.
    pub(crate) closed_next: Option<Offset>,
}

/// A segment to be sealed.
pub(crate) struct Unsealed {
    pub(crate) segment: Arc<Segment>,
    pub(crate) totals: Totals,
    /// What a crash left behind the last frame.
    pub(crate) torn: Option<Torn>,
    /// Whether it was sealed, by its length: its footer or index is damaged, and follows from the frames.
    pub(crate) was_sealed: bool,
}

/// Reads a lane's directory.
pub(crate) fn recover(storage: &Arc<dyn Storage>, lane: Lane) -> Result<Found, OpenError> {
    let (paths, leftovers) = list(storage, lane).map_err(OpenError::io("list the segments"))?;
    let mut found = Found {
        segments: Vec::new(),
        unsealed: None,
        leftovers,
        last: Offset::ZERO,
        last_timestamp: TimestampMs(0),
        chain: None,
        lease_below: Offset::ZERO,
        closed_next: None,
    };
    for (number, path) in paths.iter().enumerate() {
        found.take_segment(storage, lane, path, number + 1 == paths.len())?;
    }
    Ok(found)
}

impl Found {
    fn take_segment(
        &mut self,
        storage: &Arc<dyn Storage>,
        lane: Lane,
        name: &str,
        newest: bool,
    ) -> Result<(), OpenError> {
        assert!(self.unsealed.is_none(), "only the newest segment can be without footer");
        let io = OpenError::io("read a segment");
        if newest {
            // A write or sync that failed may have left pages in memory that the disk does not have: frames, or
            // the footer of a segment that was being sealed.
            storage.open(name, false).map_err(&io)?.drop_cache();
        }
        let Opened { file, length, header } = read_header(storage, name).map_err(&io)?;
        let after = self.last;
        let damaged =
            |position: u64, reason: String| OpenError::Damaged { segment: name.to_owned(), position, after, reason };
        let header = match header {
            Err(SegmentError::Version(version)) => {
                return Err(OpenError::Version { segment: name.to_owned(), version });
            }
            header => header.map_err(|error| damaged(0, error.to_string()))?,
        };
        self.check_place(lane, name, &header).map_err(|reason| damaged(0, reason))?;
        self.lease_below = self.lease_below.max(header.lease_below);
        match read_footer(&file, length, &header, newest).map_err(&io)? {
            Ok(footer) => self.take_sealed(&file, name, header, footer, newest),
            Err(error) if !newest => Err(damaged(length, format!("{error}; a newer segment exists, so it was sealed"))),
            Err(_) => self.take_unsealed(file, name, header, length),
        }
    }

    /// Whether the segment follows those before it.
    fn check_place(&self, lane: Lane, name: &str, header: &SegmentHeader) -> Result<(), String> {
        if header.lane != lane || name != path(lane, header.base) {
            return Err("the header belongs to another file".to_owned());
        }
        let Some(before) = self.segments.last() else {
            let first = lane == Lane::Ephemeral || header.previous == Offset::ZERO;
            let whole = !first || lane == Lane::Ephemeral || header.chain == Chain::start(header.log_id, lane);
            return match (first, whole) {
                (false, _) => Err(format!("the segment with base {} before it is missing", header.previous)),
                (_, false) => Err("the chain does not begin where a log begins".to_owned()),
                _ => Ok(()),
            };
        };
        if header.log_id != before.header.log_id {
            return Err("it belongs to another log".to_owned());
        }
        if header.previous != before.header.base {
            return Err(format!("the segment with base {} before it is missing", header.previous));
        }
        if header.base <= self.last || Some(header.chain) != self.chain {
            return Err("it does not continue the segment before it".to_owned());
        }
        Ok(())
    }

    fn take_sealed(
        &mut self,
        file: &Arc<dyn File>,
        name: &str,
        header: SegmentHeader,
        footer: Footer,
        newest: bool,
    ) -> Result<(), OpenError> {
        self.chain = Some(footer.chain);
        if newest && header.lane == Lane::Journal {
            // Its records say whether the log was closed, and how far offsets may have been shown.
            let scan = self.scan(file, name, &header, footer.frames_end)?;
            if scan.torn.is_some() || scan.totals.footer().0.chain != footer.chain {
                return Err(OpenError::Damaged {
                    segment: name.to_owned(),
                    position: scan.totals.frames_end,
                    after: self.last.max(scan.totals.last),
                    reason: match scan.torn {
                        Some(torn) => torn.failure.to_string(),
                        None => "the chain ends elsewhere".to_owned(),
                    },
                });
            }
            self.note_scan(&scan);
        }
        if footer.records > 0 {
            self.last = footer.last;
            self.last_timestamp = footer.last_timestamp;
        }
        self.segments.push(Segment::sealed(header, name.to_owned(), footer));
        Ok(())
    }

    fn take_unsealed(
        &mut self,
        file: Arc<dyn File>,
        name: &str,
        header: SegmentHeader,
        length: u64,
    ) -> Result<(), OpenError> {
        let scan = self.scan(&file, name, &header, length)?;
        if length != header.allocated_bytes && length != scan.totals.sealed_bytes(0) {
            return Err(OpenError::Damaged {
                segment: name.to_owned(),
                position: length,
                after: self.last.max(scan.totals.last),
                reason: format!("the file was cut: it was written with {} bytes", header.allocated_bytes),
            });
        }
        self.note_scan(&scan);
        if !scan.totals.index.is_empty() {
            self.last = scan.totals.last;
            self.last_timestamp = scan.totals.last_timestamp;
        }
        assert!(scan.totals.frames_end <= length, "frames lie in the file");
        self.chain = Some(scan.totals.chain);
        let open = OpenSegment::new(file, scan.totals.index.clone(), scan.totals.frames_end);
        let allocated_bytes = header.allocated_bytes;
        let segment = Segment::unsealed(header, name.to_owned(), open);
        self.segments.push(segment.clone());
        let was_sealed = length != allocated_bytes;
        let torn = scan.torn.filter(|_| !was_sealed);
        self.unsealed = Some(Unsealed { segment, totals: scan.totals, torn, was_sealed });
        Ok(())
    }

    fn scan(&self, file: &Arc<dyn File>, name: &str, header: &SegmentHeader, end: u64) -> Result<Scan, OpenError> {
        scan(file, header, SEGMENT_HEADER_BYTES as u64, end, self.last).map_err(|error| match error {
            ScanError::Io(error) => OpenError::io("read a segment")(error),
            ScanError::Damaged { position, after, reason } => {
                OpenError::Damaged { segment: name.to_owned(), position, after, reason }
            }
        })
    }

    fn note_scan(&mut self, scan: &Scan) {
        self.lease_below = self.lease_below.max(scan.lease_below.unwrap_or_default());
        self.closed_next = scan.closed_next;
    }
}
