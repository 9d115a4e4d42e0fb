//! The one thread that writes: takes what is queued, writes it as one frame a lane, syncs, publishes.
//!
//! While a sync is in flight the next commit collects in the queue: that is all there is to group commit.

use std::sync::Arc;
use std::time::Duration;

use engram_failpoints::{Point, reached};
use engram_log_format::frame::{FRAME_HEADER_BYTES, Frame, FrameBuilder};
use engram_log_format::input::Input;
use engram_log_format::record::RecordHeader;
use engram_log_format::{Lane, Offset, TimestampMs, v1};

use super::reserve::Reserve;
use super::sequencer::{self, End, Pending, Sequencer, Work};
use super::tail::{Entry, Tail};
use super::writer::{LaneWriter, WriteError};
use crate::limits::FRAME_BYTES;
use crate::storage::Storage;

/// What a log that was closed in order says to those who still use it.
pub(crate) const CLOSED: &str = "it is closed";

const PANICKED: &str = "its writing thread has panicked; restart to recover";

/// Writes the log.
pub(crate) struct Appender {
    pub(crate) sequencer: Arc<Sequencer>,
    pub(crate) tail: Arc<Tail>,
    pub(crate) journal: LaneWriter,
    pub(crate) ephemeral: LaneWriter,
    pub(crate) ephemeral_retention_ms: u64,
    pub(crate) reserve: Reserve,
    pub(crate) disk_full_retry: Duration,
    /// Free space below which nothing is written; 0 for none.
    pub(crate) free_bytes_min: u64,
    pub(crate) storage: Arc<dyn Storage>,
    /// Whether nothing was written yet.
    pub(crate) starting: bool,
}

/// Tells everybody that waits, also if the thread panics. A reason that was given before stays.
struct StopOnDrop {
    sequencer: Arc<Sequencer>,
    tail: Arc<Tail>,
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.sequencer.stop(PANICKED);
        self.tail.stop(PANICKED);
    }
}

/// Why the appender ends.
enum Stop {
    Closed,
    Failed(String),
}

/// The part of a commit that goes to one lane.
struct LaneCommit {
    builder: FrameBuilder,
    records: usize,
    bytes: usize,
    first: Offset,
    timestamp: TimestampMs,
}

impl Appender {
    /// Runs until the log ends or fails.
    pub(crate) fn run(mut self) {
        let _on_panic = StopOnDrop { sequencer: self.sequencer.clone(), tail: self.tail.clone() };
        let reason = match self.run_until_stop() {
            Stop::Closed => CLOSED.to_owned(),
            Stop::Failed(reason) => {
                tracing::error!(%reason, "the log has stopped: nothing more is acknowledged; restart to recover");
                reason
            }
        };
        self.sequencer.stop(&reason);
        self.tail.stop(&reason);
    }

    fn run_until_stop(&mut self) -> Stop {
        // Somebody else may fill the disk while nothing is written here: what the reserve holds is for those who need
        // it then.
        let patience = (self.free_bytes_min > 0).then_some(self.disk_full_retry);
        loop {
            let step = match self.sequencer.take(FRAME_BYTES, patience) {
                Work::Appends(appends) => self.commit(appends),
                Work::Idle if self.starting => Ok(()),
                Work::Idle => self.while_full(|_| Ok(())),
                Work::End(End::Plain) => Err(Stop::Closed),
                Work::End(End::Clean) => self.close().and(Err(Stop::Closed)),
            };
            if let Err(stop) = step {
                return stop;
            }
        }
    }

    /// Writes a group of appends: ephemeral ones without sync, then the journal's with one.
    fn commit(&mut self, appends: Vec<Pending>) -> Result<(), Stop> {
        assert!(appends.is_sorted_by(|one, two| one.last() < two.first), "appends come in the order of their offsets");
        let lease_below = appends.iter().filter_map(|append| append.lease_below).max();
        let erased_through = appends.iter().filter_map(|append| append.erased_through).max();
        let (journal, ephemeral) = appends.into_iter().partition(|append| append.lane == Lane::Journal);
        let ephemeral = self.write_lane(Lane::Ephemeral, ephemeral)?;
        let journal = self.write_lane(Lane::Journal, journal)?;
        // Writers are told of the lease before followers are told of its record; the order does not matter.
        if let Some(below) = lease_below {
            reached(Point::LeaseSynced);
            self.sequencer.lease_is_durable(below);
        }
        self.journal.publish();
        self.ephemeral.publish();
        // Whoever is told of an erasure finds what is to be erased in sealed segments.
        if self.journal.active_base().is_some_and(|base| erased_through >= Some(base)) {
            self.while_full(|appender| appender.journal.seal())?;
        }
        self.publish(journal, ephemeral);
        if std::mem::take(&mut self.starting)
            && let Err(error) = self.reserve.take()
        {
            tracing::warn!(%error, "there is no space for the log's reserve: the disk is nearly full");
        }
        Ok(())
    }

    fn write_lane(&mut self, lane: Lane, appends: Vec<Pending>) -> Result<Option<Frame>, Stop> {
        let Some(commit) = build(appends) else {
            return Ok(None);
        };
        let (bytes, records, first, timestamp) = (commit.bytes, commit.records, commit.first, commit.timestamp);
        self.while_full(|appender| {
            let lease_below = appender.sequencer.lease_below();
            appender.lane(lane).prepare(bytes, records, first, lease_below, timestamp)
        })?;
        if lane == Lane::Ephemeral {
            let before = TimestampMs(timestamp.0.saturating_sub(self.ephemeral_retention_ms));
            self.ephemeral.drop_older_than(before).map_err(stop)?;
        }
        let frame = self.lane(lane).frame(commit.builder);
        assert!(frame.bytes.len() == bytes && frame.positions.len() == records, "room was made for this frame");
        self.while_full(|appender| appender.lane(lane).write(&frame, lane == Lane::Journal))?;
        Ok(Some(frame))
    }

    fn lane(&mut self, lane: Lane) -> &mut LaneWriter {
        match lane {
            Lane::Journal => &mut self.journal,
            Lane::Ephemeral => &mut self.ephemeral,
        }
    }

    /// Takes a step, and takes it again as long as the disk is full.
    fn while_full(&mut self, mut step: impl FnMut(&mut Self) -> Result<(), WriteError>) -> Result<(), Stop> {
        let mut full = false;
        loop {
            let ending = self.sequencer.is_ending();
            let may_use_reserve = self.starting || ending;
            let room = if may_use_reserve { Ok(()) } else { self.look_for_room(full) };
            match room.and_then(|()| step(self)) {
                Ok(()) => break,
                Err(WriteError::DiskFull) => {}
                Err(error) => return Err(stop(error)),
            }
            let given_up = self.reserve.give_up();
            if given_up {
                reached(Point::ReserveGivenUp);
            }
            if given_up && may_use_reserve {
                continue;
            }
            if ending {
                return Err(Stop::Failed("closed while the disk was full".to_owned()));
            }
            if !full {
                let free_bytes = self.storage.free_bytes().unwrap_or_default();
                tracing::error!(
                    code = "E-DISK-FULL",
                    free_bytes,
                    free_bytes_min = self.free_bytes_min,
                    "the disk is full: the log is read-only until space is freed. What was acknowledged is safe, and reads go on"
                );
            }
            full = true;
            self.sequencer.set_disk_full(true);
            self.tail.set_disk_full(true);
            self.sequencer.pause(self.disk_full_retry);
        }
        if full {
            tracing::info!("the log takes appends again, or ends");
            self.sequencer.set_disk_full(false);
            self.tail.set_disk_full(false);
        }
        Ok(())
    }

    /// Whether there is the space that has to be left free, and, after the disk was full, that of the reserve, which is
    /// taken back then. Whatever it is that keeps it from being taken: the log stays read-only.
    fn look_for_room(&mut self, after_full: bool) -> Result<(), WriteError> {
        if self.free_bytes_min > 0 {
            let needed = self.free_bytes_min + if after_full { self.reserve.missing_bytes() } else { 0 };
            // A file system that cannot tell how much is free refuses writes when nothing is.
            if self.storage.free_bytes().is_ok_and(|free_bytes| free_bytes < needed) {
                return Err(WriteError::DiskFull);
            }
        }
        if after_full { self.reserve.take().map_err(|_| WriteError::DiskFull) } else { Ok(()) }
    }

    /// Makes a commit visible to followers. Readers of segments see it before, since followers go on there when memory
    /// is exceeded.
    fn publish(&mut self, journal: Option<Frame>, ephemeral: Option<Frame>) {
        let bytes = [&journal, &ephemeral].into_iter().flatten().map(|frame| frame.bytes.len()).sum();
        let mut entries = Vec::new();
        for (lane, frame) in [(Lane::Journal, journal), (Lane::Ephemeral, ephemeral)] {
            if let Some(frame) = frame {
                collect(lane, frame, &mut entries);
            }
        }
        entries.sort_by_key(|entry: &Entry| entry.record.offset);
        self.tail.publish(entries, bytes);
        reached(Point::FramePublished);
    }

    /// Ends the log in order: the last thing in it says so.
    fn close(&mut self) -> Result<(), Stop> {
        self.while_full(|appender| appender.ephemeral.seal())?;
        reached(Point::StopEphemeralSealed);
        let (first, timestamp) = self.sequencer.take_last();
        let closed = Input::from(v1::CleanShutdown { next: first.next().0 });
        let draft = sequencer::encode(&[closed]).expect("a shutdown record is small");
        let last = Pending { lane: Lane::Journal, first, timestamp, draft, lease_below: None, erased_through: None };
        let frame = self.write_lane(Lane::Journal, vec![last])?;
        assert!(frame.is_some(), "the last record was written");
        self.journal.publish();
        self.publish(frame, None);
        reached(Point::StopRecorded);
        self.while_full(|appender| appender.journal.seal())?;
        reached(Point::StopSealed);
        Ok(())
    }
}

fn stop(error: WriteError) -> Stop {
    match error {
        WriteError::DiskFull => Stop::Failed("the disk is full".to_owned()),
        WriteError::Failed(doing, error) => Stop::Failed(format!("{doing}: {error}")),
    }
}

/// Makes one frame of a lane's appends. A lone append's buffer becomes the frame's.
fn build(appends: Vec<Pending>) -> Option<LaneCommit> {
    let (first, timestamp) = appends.first().map(|append| (append.first, append.timestamp))?;
    let bytes = FRAME_HEADER_BYTES + appends.iter().map(|append| append.draft.bytes()).sum::<usize>();
    let records = appends.iter().map(|append| append.draft.records()).sum();
    let mut builder = FrameBuilder::with_capacity(if appends.len() == 1 { 0 } else { bytes });
    for append in appends {
        builder.append(append.draft, append.first, append.timestamp);
    }
    Some(LaneCommit { builder, records, bytes, first, timestamp })
}

/// Turns a written frame into records that share its bytes.
fn collect(lane: Lane, frame: Frame, entries: &mut Vec<Entry>) {
    let bytes = Arc::new(frame.bytes);
    entries.reserve(frame.positions.len());
    for position in &frame.positions {
        let start = *position as usize;
        let header = RecordHeader::parse(&bytes[start..]).expect("it was just encoded");
        assert!(start + header.record_bytes() <= bytes.len(), "records lie inside their frame");
        let record = super::record_at(lane, &bytes, start, &header);
        entries.push(Entry { record, ends_append: header.ends_append });
    }
}
