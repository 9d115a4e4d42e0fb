//! Verifies a whole log, every byte of it, and says where it is damaged. Changes nothing.

mod erasures;

use std::io;
use std::sync::Arc;

use engram_log_format::frame::{self, FrameError, FrameRecord};
use engram_log_format::input::{DecodeError, InputRef};
use engram_log_format::record::{Chain, Stored};
use engram_log_format::segment::{
    Footer, IndexEntry, OFFSET_SPAN_MAX, SEGMENT_HEADER_BYTES, SegmentHeader, decode_index,
};
use engram_log_format::{Lane, Offset};

use crate::embedded::frames::{FrameReadError, FrameReader};
use crate::embedded::recover::{Opened, list, read_footer, read_header};
use crate::embedded::scan::{Totals, look_ahead};
use crate::embedded::writer::path;
use crate::storage::{File, Storage};

use self::erasures::Erasures;

/// Something that does not verify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file, relative to the data directory.
    pub segment: String,
    /// Where in it: the start of the record, frame, or other part that does not verify.
    pub position: u64,
    /// The last record before it that verifies.
    pub after: Offset,
    /// What is wrong.
    pub reason: String,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Number of segments.
    pub segments: u64,
    /// Number of frames that verify.
    pub frames: u64,
    /// Number of records that verify.
    pub records: u64,
    /// How many of them have lost their payload to an erasure.
    pub erased: u64,
    /// How many of them have another payload in the place of the one that was written.
    pub replaced: u64,
    /// Payloads that were given up and are still there, or have an older replacement: whoever gave them up has to ask again.
    pub erasures_pending: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// The last record that verifies.
    pub last: Offset,
    /// What does not verify.
    pub damage: Vec<Damage>,
    /// An unfinished write behind the last commit of a lane, as a crash leaves it: the next start cuts it off.
    pub torn_tails: Vec<Damage>,
}

impl Report {
    /// Whether everything that was committed verifies.
    pub fn is_good(&self) -> bool {
        self.damage.is_empty()
    }
}

/// How far a verification has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Bytes that were verified.
    pub bytes: u64,
    /// Bytes that there are.
    pub bytes_total: u64,
}

/// Verifies both lanes: every digest, checksum and chain value. Calls `progress` after every few frames.
pub fn verify(storage: &Arc<dyn Storage>, progress: &mut dyn FnMut(Progress)) -> io::Result<Report> {
    run(storage, progress, false)
}

/// Verifies both lanes from the disk and not from memory, and also that every payload is a valid value of its type:
/// digests say that a payload is what was written, and this that it can be read. Kinds of newer versions are passed over.
pub fn verify_deep(storage: &Arc<dyn Storage>, progress: &mut dyn FnMut(Progress)) -> io::Result<Report> {
    run(storage, progress, true)
}

fn run(storage: &Arc<dyn Storage>, progress: &mut dyn FnMut(Progress), deep: bool) -> io::Result<Report> {
    let lanes = [Lane::Journal, Lane::Ephemeral];
    let mut bytes_total = 0;
    for lane in lanes {
        for path in list(storage, lane)?.0 {
            bytes_total += storage.open(&path, false)?.len()?;
        }
    }
    let mut report = Report::default();
    let mut erasures = Erasures::default();
    for lane in lanes {
        let (paths, _) = list(storage, lane)?;
        let mut verifier = LaneVerifier {
            storage,
            lane,
            report: &mut report,
            erasures: &mut erasures,
            progress,
            bytes_total,
            before: None,
            deep,
        };
        for (number, path) in paths.iter().enumerate() {
            verifier.segment(path, number + 1 == paths.len())?;
        }
    }
    erasures.finish(&mut report);
    Ok(report)
}

/// What the next segment has to continue.
struct Before {
    base: Offset,
    last: Offset,
    /// Unknown behind damage.
    chain: Option<Chain>,
    log_id: [u8; 16],
}

struct LaneVerifier<'a> {
    storage: &'a Arc<dyn Storage>,
    lane: Lane,
    report: &'a mut Report,
    erasures: &'a mut Erasures,
    progress: &'a mut dyn FnMut(Progress),
    bytes_total: u64,
    /// Whether payloads are validated.
    deep: bool,
    /// The segment before; unknown at the start and behind a damaged header.
    before: Option<Before>,
}

/// The segment that is being verified.
struct Current<'a> {
    name: &'a str,
    header: SegmentHeader,
    totals: Totals,
    /// The chain so far; unknown behind damage.
    chain: Option<Chain>,
}

impl LaneVerifier<'_> {
    fn damaged(&mut self, segment: &str, position: u64, after: Offset, reason: impl ToString) {
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
        (self.progress)(Progress { bytes: self.report.bytes, bytes_total: self.bytes_total });
        Ok(())
    }

    fn check_place(&self, name: &str, header: &SegmentHeader) -> Result<(), String> {
        if header.lane != self.lane || name != path(self.lane, header.base) {
            return Err("the header belongs to another file".to_owned());
        }
        let Some(before) = &self.before else {
            let first = self.report.segments == 1 && self.lane == Lane::Journal;
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

    fn content(
        &mut self,
        name: &str,
        file: &Arc<dyn File>,
        length: u64,
        header: SegmentHeader,
        newest: bool,
        after: Offset,
    ) -> io::Result<()> {
        let footer = read_footer(file, length, &header, newest)?;
        let end = footer.as_ref().map_or(length, |footer| footer.frames_end);
        let mut current = Current {
            name,
            totals: Totals::new(SEGMENT_HEADER_BYTES as u64, header.chain),
            chain: Some(header.chain),
            header,
        };
        let torn = self.frames(&mut current, file, end, newest && footer.is_err(), after)?;
        let last = after.max(current.totals.last);
        match &footer {
            Ok(footer) => self.check_footer(&current, file, footer, last)?,
            Err(error) if !newest => self.damaged(name, length, last, format!("not sealed: {error}")),
            Err(_) if length != current.header.allocated_bytes && length != current.totals.sealed_bytes(0) => {
                let reason = format!("the file was cut: it was written with {} bytes", current.header.allocated_bytes);
                self.damaged(name, length, last, reason);
            }
            Err(_) => {}
        }
        self.report.torn_tails.extend(torn);
        let chain = footer.ok().map(|footer| footer.chain).or(current.chain);
        self.report.last = self.report.last.max(last);
        self.before = Some(Before { base: current.header.base, last, chain, log_id: current.header.log_id });
        Ok(())
    }

    /// Verifies all frames. Returns the torn tail of a segment that may have one.
    fn frames(
        &mut self,
        current: &mut Current<'_>,
        file: &Arc<dyn File>,
        end: u64,
        may_be_torn: bool,
        after: Offset,
    ) -> io::Result<Option<Damage>> {
        let key = current.header.key();
        let start = self.report.bytes;
        let mut reader = FrameReader::new(file.clone(), current.totals.frames_end);
        let mut records: Vec<FrameRecord> = Vec::new();
        while reader.position() < end {
            let position = reader.position();
            records.clear();
            let mut invalid = None;
            let verified = match reader.next(end) {
                Ok(None) => break,
                Ok(Some((buffer, at))) => {
                    let verified =
                        frame::verify(&buffer[at..], &key, current.chain.as_mut(), |record| records.push(record));
                    if verified.is_ok() {
                        let before = after.max(current.totals.last);
                        self.erasures.note(current.name, position, &buffer[at..], &records, before);
                    }
                    if self.deep && verified.is_ok() {
                        invalid = records.iter().find_map(|record| check_payload(&buffer[at..], record));
                    }
                    verified
                }
                Err(FrameReadError::Frame(error)) => Err(error),
                Err(FrameReadError::Io(error)) => return Err(error),
            };
            let verified = verified.and_then(|length| current.note(&records, position, length, after));
            let last = after.max(current.totals.last);
            match verified {
                Ok(length) => {
                    if let Some((inner, reason)) = invalid {
                        self.damaged(current.name, position + inner as u64, last, reason);
                    }
                    reader.advance(length);
                    self.note(&records, start + reader.position());
                }
                Err(error) => {
                    let inner = if let FrameError::Record { position, .. } = &error { *position } else { 0 };
                    let damage = Damage {
                        segment: current.name.to_owned(),
                        position: position + inner as u64,
                        after: last,
                        reason: error.to_string(),
                    };
                    let ahead = look_ahead(file, &key, position, end)?;
                    let Some(next) = ahead.frame else {
                        if may_be_torn {
                            return Ok(ahead.bytes.then_some(damage));
                        }
                        self.report.damage.push(damage);
                        current.chain = None;
                        break;
                    };
                    self.report.damage.push(damage);
                    current.chain = None;
                    reader = FrameReader::new(file.clone(), next);
                }
            }
        }
        Ok(None)
    }

    fn note(&mut self, records: &[FrameRecord], bytes: u64) {
        self.report.frames += 1;
        self.report.records += records.len() as u64;
        for record in records {
            self.report.erased += u64::from(record.header.stored == Stored::Erased);
            self.report.replaced += u64::from(matches!(record.header.stored, Stored::Replaced(_)));
        }
        if self.report.frames.is_multiple_of(256) {
            (self.progress)(Progress { bytes, bytes_total: self.bytes_total });
        }
    }

    /// Compares footer and index with what the frames hold.
    fn check_footer(
        &mut self,
        current: &Current<'_>,
        file: &Arc<dyn File>,
        footer: &Footer,
        last: Offset,
    ) -> io::Result<()> {
        let mut bytes = vec![0; footer.index_bytes()];
        file.read_at(&mut bytes, footer.frames_end)?;
        let index = match decode_index(&bytes, footer) {
            Ok(index) => index,
            Err(error) => {
                self.damaged(current.name, footer.frames_end, last, error);
                return Ok(());
            }
        };
        // Behind damage the frames have said less than the footer knows: nothing to compare.
        let Some(chain) = current.chain else { return Ok(()) };
        let (expected, _) = Totals { chain, ..current.totals.clone() }.footer();
        let signed = Footer { signature: footer.signature, signer: footer.signer, ..expected };
        if signed != *footer || index != current.totals.index {
            let reason = "index or footer do not agree with the frames";
            self.damaged(current.name, footer.frames_end, last, reason);
        }
        Ok(())
    }
}

/// What is wrong with the payload of a record whose digest matches, and where it is.
fn check_payload(frame: &[u8], record: &FrameRecord) -> Option<(usize, String)> {
    let header = &record.header;
    if header.stored == Stored::Erased {
        return None;
    }
    match InputRef::decode(header.kind, header.schema, &frame[record.position..][header.payload_range()]) {
        Ok(_) | Err(DecodeError::Unknown { .. }) => None,
        Err(error) => Some((record.position, format!("record {}: {error}", header.offset))),
    }
}

impl Current<'_> {
    /// Notes a frame's records, if they follow what was before.
    fn note(
        &mut self,
        records: &[FrameRecord],
        position: u64,
        length: usize,
        after: Offset,
    ) -> Result<usize, FrameError> {
        let first = records.first().expect("a verified frame has records").header.offset;
        if first <= after.max(self.totals.last) || first < self.header.base {
            return Err(FrameError::Layout("offsets do not follow the frame before"));
        }
        let last = records.last().expect("a verified frame has records").header.offset;
        if last.0 - self.header.base.0 > OFFSET_SPAN_MAX {
            return Err(FrameError::Layout("an offset is too far from the segment's base"));
        }
        for (number, record) in records.iter().enumerate() {
            let at = position + record.position as u64;
            let entry = IndexEntry::new(self.header.base, record.header.offset, at, number == 0);
            self.totals.note(entry, record.header.offset, record.header.timestamp);
        }
        self.totals.frames += 1;
        self.totals.frames_end = position + length as u64;
        Ok(length)
    }
}
