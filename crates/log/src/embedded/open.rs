//! Opens the log: locks the directory, takes over what is there, begins a new segment.

use std::sync::Arc;
use std::time::Duration;

use engram_failpoints::{Point, reached};
use engram_log_format::input::{Input, InputRef};
use engram_log_format::record::Chain;
use engram_log_format::{Lane, Offset, TimestampMs, v1};

use super::EmbeddedLog;
use super::appender::Appender;
use super::catalog::Catalog;
use super::erase::{Eraser, EraserOptions};
use super::error::OpenError;
use super::files::{clear, directory, seal_file};
use super::recover::{Found, recover};
use super::reserve::Reserve;
use super::sequencer::{Sequencer, SequencerOptions};
use super::tail::Tail;
use super::writer::{LaneOptions, LaneWriter};
use crate::interface::{Log, ReadError};
use crate::limits;
use crate::storage::{Lock, LockMode, Storage};
use crate::sync::{Mutex, thread};

/// How a log is written. The defaults are in [`limits`].
#[derive(Clone, Debug)]
pub struct Options {
    /// Size of a journal segment.
    pub segment_bytes: u64,
    /// Size of an ephemeral segment.
    pub ephemeral_segment_bytes: u64,
    /// Number of offsets in a lease.
    pub lease_step: u64,
    /// Most bytes that wait for the disk.
    pub queue_bytes_max: usize,
    /// Most bytes of the newest records that stay in memory.
    pub tail_bytes_max: usize,
    /// How far ahead of small frames zeros are written.
    pub zero_ahead_bytes: u64,
    /// Age at which ephemeral records are dropped.
    pub ephemeral_retention_ms: u64,
    /// Space that is kept for a full disk; 0 for none.
    pub reserve_bytes: u64,
    /// Free space below which nothing is appended, so that others have some to go on; 0 for none.
    pub free_bytes_min: u64,
    /// How often a full disk is tried again.
    pub disk_full_retry_ms: u64,
    /// Rate at which erasures rewrite segments.
    pub erase_bytes_per_second: u64,
    /// The server's name: fixed by the first opening.
    pub server_name: String,
    /// The version of the software, for the log's own records.
    pub software: String,
    /// The time.
    pub now: TimestampMs,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: limits::SEGMENT_BYTES,
            ephemeral_segment_bytes: limits::EPHEMERAL_SEGMENT_BYTES,
            lease_step: limits::LEASE_STEP,
            queue_bytes_max: limits::QUEUE_BYTES,
            tail_bytes_max: limits::TAIL_BYTES,
            zero_ahead_bytes: limits::ZERO_AHEAD_BYTES,
            ephemeral_retention_ms: limits::EPHEMERAL_RETENTION_MS,
            reserve_bytes: limits::RESERVE_BYTES,
            free_bytes_min: 0,
            disk_full_retry_ms: limits::DISK_FULL_RETRY_MS,
            erase_bytes_per_second: limits::ERASE_BYTES_PER_SECOND,
            server_name: "localhost".to_owned(),
            software: concat!("engram ", env!("CARGO_PKG_VERSION")).to_owned(),
            now: TimestampMs(0),
        }
    }
}

impl EmbeddedLog {
    /// Opens the log of a data directory to write, or creates it. Recovers what a crash left.
    pub fn open(storage: Arc<dyn Storage>, options: Options) -> Result<Arc<Self>, OpenError> {
        let lock = storage.lock(LockMode::Exclusive)?;
        reached(Point::RecoveryLocked);
        for lane in [Lane::Journal, Lane::Ephemeral] {
            storage.create_dir(directory(lane)).map_err(OpenError::io("create the log's directories"))?;
        }
        let journal = recover(&storage, Lane::Journal)?;
        let ephemeral = recover(&storage, Lane::Ephemeral)?;
        reached(Point::RecoveryScanned);
        let start = Start::after(&journal, &ephemeral, &storage, &options)?;
        let catalog = Arc::new(Catalog::new(storage.clone(), journal.segments.clone(), ephemeral.segments.clone()));
        check_server(&catalog, &options)?;
        for found in [&journal, &ephemeral] {
            take_over(&storage, &catalog, found)?;
        }
        reached(Point::RecoverySealed);
        let log = Self::start(storage, catalog, &options, &start, [&journal, &ephemeral], lock)?;
        log.write_first_records(&start, &options)?;
        reached(Point::RecoveryDone);
        Ok(log)
    }

    /// Opens the log of a stopped server to read: appends are refused, and nothing on disk is changed.
    pub fn open_read_only(storage: Arc<dyn Storage>) -> Result<Arc<Self>, OpenError> {
        let lock = storage.lock(LockMode::Shared)?;
        Self::read(storage, Some(lock))
    }

    /// Opens what there is at this moment of a log that a server may be writing, without its lock, to read.
    ///
    /// Frames are seen whole or not at all, but the last ones may not be on stable storage yet. Meeting the
    /// server in the middle of a new segment is an error: try again.
    pub fn open_beside_writer(storage: Arc<dyn Storage>) -> Result<Arc<Self>, OpenError> {
        Self::read(storage, None)
    }

    fn read(storage: Arc<dyn Storage>, lock: Option<Lock>) -> Result<Arc<Self>, OpenError> {
        let journal = recover(&storage, Lane::Journal)?;
        let ephemeral = recover(&storage, Lane::Ephemeral)?;
        let log_id = journal.segments.first().ok_or(OpenError::Empty)?.header.log_id;
        let end = journal.last.max(ephemeral.last);
        let catalog = Arc::new(Catalog::new(storage, journal.segments, ephemeral.segments));
        let options = SequencerOptions { lease_step: limits::LEASE_STEP, queue_bytes_max: 0 };
        let sequencer = Sequencer::new(end.next(), TimestampMs(0), end.next().next(), options);
        let tail = Tail::new(end, 0);
        sequencer.stop(READ_ONLY);
        tail.stop(READ_ONLY);
        let tail = Arc::new(tail);
        let eraser = Arc::new(Eraser::new(catalog.clone(), tail.clone(), EraserOptions::default()));
        eraser.end();
        Ok(Arc::new(Self {
            sequencer: Arc::new(sequencer),
            tail,
            catalog,
            eraser,
            log_id,
            appender: Mutex::new(None),
            erasing: Mutex::new(None),
            lock: Mutex::new(lock),
        }))
    }

    fn start(
        storage: Arc<dyn Storage>,
        catalog: Arc<Catalog>,
        options: &Options,
        start: &Start,
        found: [&Found; 2],
        lock: Lock,
    ) -> Result<Arc<Self>, OpenError> {
        let sequencer_options = SequencerOptions {
            lease_step: start.lease_below.0 - start.next.0,
            queue_bytes_max: options.queue_bytes_max,
        };
        let sequencer =
            Arc::new(Sequencer::new(start.next, start.last_timestamp, start.lease_below, sequencer_options));
        let tail = Arc::new(Tail::new(start.published, options.tail_bytes_max));
        let [journal, ephemeral] = found;
        let lane_writer = |lane, segment_bytes: u64, found: &Found| {
            let lane_options = LaneOptions {
                lane,
                log_id: start.log_id,
                segment_bytes: segment_bytes.clamp(limits::SEGMENT_BYTES_MIN, limits::SEGMENT_BYTES_MAX),
                zero_ahead_bytes: if lane == Lane::Journal { options.zero_ahead_bytes } else { 0 },
            };
            let previous = found.segments.last().map_or(Offset::ZERO, |segment| segment.header.base);
            let chain = found.chain.unwrap_or_else(|| Chain::start(start.log_id, lane));
            LaneWriter::new(storage.clone(), catalog.clone(), lane_options, previous, chain)
        };
        let reserve =
            Reserve::new(storage.clone(), options.reserve_bytes).map_err(OpenError::io("look at the reserve"))?;
        let retry = Duration::from_millis(options.disk_full_retry_ms);
        let eraser_options = EraserOptions {
            bytes_per_second: options.erase_bytes_per_second,
            retry,
            free_bytes_min: options.free_bytes_min,
        };
        let eraser = Arc::new(Eraser::new(catalog.clone(), tail.clone(), eraser_options));
        let appender = Appender {
            storage: storage.clone(),
            reserve,
            free_bytes_min: options.free_bytes_min,
            disk_full_retry: retry,
            starting: true,
            sequencer: sequencer.clone(),
            tail: tail.clone(),
            journal: lane_writer(Lane::Journal, options.segment_bytes, journal),
            ephemeral: lane_writer(Lane::Ephemeral, options.ephemeral_segment_bytes, ephemeral),
            ephemeral_retention_ms: options.ephemeral_retention_ms,
        };
        let thread = thread::Builder::new().name("engram-log".to_owned()).spawn(move || appender.run());
        let appender = thread.map_err(OpenError::io("start the log's thread"))?;
        Ok(Arc::new(Self {
            sequencer,
            tail,
            catalog,
            eraser,
            log_id: start.log_id,
            appender: Mutex::new(Some(appender)),
            erasing: Mutex::new(None),
            lock: Mutex::new(Some(lock)),
        }))
    }

    /// Says in the log whose it is, that a process has begun to write, and how far offsets may be shown.
    fn write_first_records(&self, start: &Start, options: &Options) -> Result<(), OpenError> {
        let mut inputs = Vec::new();
        if start.published == Offset::ZERO {
            let server_name = options.server_name.clone();
            inputs.push(Input::from(v1::Genesis { server_name, software: options.software.clone() }));
        }
        let software = options.software.clone();
        inputs.push(Input::from(v1::Started { software, after_unclean_stop: start.unclean }));
        inputs.push(Input::from(v1::OffsetLease { below: start.lease_below.0 }));
        let appended = self.append(Lane::Journal, &inputs, options.now)?;
        assert!(appended.first == start.next, "nobody has appended before");
        self.wait_durable(appended.last)?;
        Ok(())
    }
}

const READ_ONLY: &str = "it was opened to read only";

/// Smallest lease: room for the log's own records at the start, and for some more.
const LEASE_STEP_MIN: u64 = 16;

/// Where a new process goes on.
struct Start {
    log_id: [u8; 16],
    next: Offset,
    lease_below: Offset,
    published: Offset,
    last_timestamp: TimestampMs,
    unclean: bool,
}

impl Start {
    fn after(
        journal: &Found,
        ephemeral: &Found,
        storage: &Arc<dyn Storage>,
        options: &Options,
    ) -> Result<Self, OpenError> {
        let existing = journal.segments.first().map(|segment| segment.header.log_id);
        let log_id = match existing {
            Some(log_id) => log_id,
            None => storage.unique_id().map_err(OpenError::io("draw the log's identity"))?,
        };
        if let Some(strange) = ephemeral.segments.iter().find(|segment| segment.header.log_id != log_id) {
            return Err(OpenError::Damaged {
                segment: strange.path.clone(),
                position: 0,
                after: Offset::ZERO,
                reason: "it belongs to another log".to_owned(),
            });
        }
        assert!(journal.chain.is_some() != journal.segments.is_empty(), "a chain goes through all segments");
        let published = journal.last.max(ephemeral.last);
        let next = journal.closed_next.unwrap_or(journal.lease_below).max(Offset::FIRST);
        if next <= published {
            return Err(OpenError::Damaged {
                segment: journal.segments.last().map_or_else(String::new, |segment| segment.path.clone()),
                position: 0,
                after: journal.last,
                reason: format!("record {published} lies beyond the lease, which ends at {next}: a segment is missing"),
            });
        }
        Ok(Self {
            log_id,
            next,
            lease_below: Offset(next.0 + options.lease_step.max(LEASE_STEP_MIN)),
            published,
            last_timestamp: journal.last_timestamp.max(ephemeral.last_timestamp),
            unclean: existing.is_some() && journal.closed_next.is_none(),
        })
    }
}

/// Removes leftovers, makes sure that the newest segment is on stable storage, and seals the segment that a crash left
/// open. Nothing of it is shown before.
fn take_over(storage: &Arc<dyn Storage>, catalog: &Catalog, found: &Found) -> Result<(), OpenError> {
    for leftover in &found.leftovers {
        storage.remove(leftover).map_err(OpenError::io("remove a segment that was not finished"))?;
        reached(Point::RecoveryLeftoverRemoved);
    }
    let Some(newest) = found.segments.last() else {
        return Ok(());
    };
    let file = storage.open(&newest.path, true).map_err(OpenError::io("open the newest segment"))?;
    // What a process that died had written may be in the page cache alone: frames, and also a footer.
    file.sync_data().map_err(OpenError::io("sync the newest segment"))?;
    reached(Point::RecoverySynced);
    let Some(unsealed) = &found.unsealed else {
        return Ok(());
    };
    let segment = &unsealed.segment;
    if unsealed.was_sealed {
        tracing::warn!(
            code = "E-LOG-ROT",
            segment = segment.path,
            "the end of the newest segment was damaged: it is made anew from its frames, which verify. Check the disk"
        );
    }
    if let Some(torn) = &unsealed.torn {
        let (position, last) = (unsealed.totals.frames_end, unsealed.totals.last);
        let reason = torn.failure.to_string();
        clear(&file, position, torn.bytes_end).map_err(OpenError::io("clear an unfinished write"))?;
        tracing::warn!(segment = segment.path, position, %last, reason, "cut an unfinished write off the log's end");
    }
    seal_file(&file, &segment.key, &unsealed.totals).map_err(OpenError::io("seal the newest segment"))?;
    catalog.seal(segment, unsealed.totals.footer().0);
    Ok(())
}

/// Checks that the log belongs to the configured server.
fn check_server(catalog: &Catalog, options: &Options) -> Result<(), OpenError> {
    let Some(genesis) = catalog.first_record()? else {
        return Ok(());
    };
    let Ok(InputRef::Genesis(genesis)) = genesis.input() else {
        return Err(ReadError::Damaged("the first record does not say whose log this is".to_owned()).into());
    };
    if genesis.server_name.as_str() == options.server_name {
        return Ok(());
    }
    let configured = options.server_name.clone();
    Err(OpenError::OtherServer { log: genesis.server_name.to_string(), configured })
}
