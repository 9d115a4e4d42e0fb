//! Takes over what is on disk when the log is opened. Reads only; what has to be changed is in [`Found`].

use std::sync::Arc;

use engram_log_format::record::Chain;
use engram_log_format::segment::{
    FOOTER_BYTES, Footer, SEGMENT_HEADER_BYTES, SegmentError, SegmentHeader, decode_index,
};
use engram_log_format::{Lane, Offset, TimestampMs};

use super::OpenError;
use super::catalog::{OpenSegment, Segment};
use super::scan::{Scan, ScanError, Totals, scan};
use super::writer::{NEW_SUFFIX, SUFFIX, directory, path};
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
    pub(crate) torn: Option<String>,
}

/// A segment's file, opened.
pub(crate) struct Opened {
    pub(crate) file: Arc<dyn File>,
    pub(crate) length: u64,
    pub(crate) header: Result<SegmentHeader, SegmentError>,
}

/// Opens a segment's file and reads its header.
pub(crate) fn read_header(storage: &Arc<dyn Storage>, path: &str) -> Result<Opened, std::io::Error> {
    let file = storage.open(path, false)?;
    let length = file.len()?;
    let mut bytes = vec![0; SEGMENT_HEADER_BYTES.min(length as usize)];
    file.read_at(&mut bytes, 0)?;
    Ok(Opened { file, length, header: SegmentHeader::decode(&bytes) })
}

/// Reads a segment's footer. Of the newest segment also the index: a crash may have torn it off the footer,
/// and then the segment counts as not sealed.
pub(crate) fn read_footer(
    file: &Arc<dyn File>,
    length: u64,
    header: &SegmentHeader,
    newest: bool,
) -> Result<Result<Footer, SegmentError>, std::io::Error> {
    let Some(at) = length.checked_sub((SEGMENT_HEADER_BYTES + FOOTER_BYTES) as u64) else {
        return Ok(Err(SegmentError::Short(length as usize)));
    };
    let mut bytes = vec![0; FOOTER_BYTES];
    file.read_at(&mut bytes, at + SEGMENT_HEADER_BYTES as u64)?;
    let footer = match Footer::decode(&bytes, &header.key()) {
        Ok(footer) if footer.file_bytes() == length => footer,
        Ok(_) => return Ok(Err(SegmentError::Field("length of the file"))),
        Err(error) => return Ok(Err(error)),
    };
    if newest {
        let mut index = vec![0; footer.index_bytes()];
        file.read_at(&mut index, footer.frames_end)?;
        return Ok(decode_index(&index, &footer).map(|_| footer));
    }
    Ok(Ok(footer))
}

/// The segments' names of a lane, and the names of leftovers.
pub(crate) fn list(storage: &Arc<dyn Storage>, lane: Lane) -> std::io::Result<(Vec<String>, Vec<String>)> {
    let names = storage.list(directory(lane))?;
    let full = |name: &String| format!("{}/{name}", directory(lane));
    let segments = names.iter().filter(|name| name.ends_with(SUFFIX)).map(full).collect();
    let leftovers = names.iter().filter(|name| name.ends_with(NEW_SUFFIX)).map(full).collect();
    Ok((segments, leftovers))
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
                    reason: scan.torn.map_or_else(|| "the chain ends elsewhere".to_owned(), |torn| torn.to_string()),
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
        self.chain = Some(scan.totals.chain);
        let open = OpenSegment::new(file, scan.totals.index.clone(), scan.totals.frames_end);
        let segment = Segment::unsealed(header, name.to_owned(), open);
        self.segments.push(segment.clone());
        let torn = scan.torn.map(|error| error.to_string());
        self.unsealed = Some(Unsealed { segment, totals: scan.totals, torn });
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
