//! Verifies a whole log, every byte of it, and says where it is damaged. Changes nothing.

mod erasures;
mod lane;
mod segment;

use std::io;
use std::sync::Arc;

use engram_log_format::{Lane, Offset};

use crate::embedded::files::list;
use crate::limits::ERASURES_VERIFIED_MAX;
use crate::storage::Storage;

use self::erasures::Erasures;
use self::lane::LaneVerifier;

pub use crate::damage::Damage;

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
    /// Payloads that were given up and are still there, or have an older replacement: whoever gave them up has to ask
    /// again.
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
    run(storage, progress, false, ERASURES_VERIFIED_MAX)
}

/// Verifies both lanes from the disk and not from memory, and also that every payload is a valid value of its type:
/// digests say that a payload is what was written, and this that it can be read. Kinds of newer versions are passed
/// over.
pub fn verify_deep(storage: &Arc<dyn Storage>, progress: &mut dyn FnMut(Progress)) -> io::Result<Report> {
    run(storage, progress, true, ERASURES_VERIFIED_MAX)
}

fn run(
    storage: &Arc<dyn Storage>,
    progress: &mut dyn FnMut(Progress),
    deep: bool,
    erasures_max: usize,
) -> io::Result<Report> {
    let journal = list(storage, Lane::Journal)?.0;
    let ephemeral = list(storage, Lane::Ephemeral)?.0;
    let mut bytes_total = 0;
    for path in journal.iter().chain(&ephemeral) {
        bytes_total += storage.open(path, false)?.len()?;
    }
    let mut report = Report::default();
    let mut erasures = Erasures::new(erasures_max);
    let mut told = |bytes| progress(Progress { bytes, bytes_total });
    LaneVerifier::new(storage, Lane::Journal, &mut report, &mut erasures, &mut told, deep).run(&journal)?;
    // Of more erasures than fit into memory only the first were looked at; the journal is read again for the others.
    let mut rest = erasures.finish(&journal, &mut report);
    while let Some(mut erasures) = rest {
        let mut again = Report::default();
        LaneVerifier::new(storage, Lane::Journal, &mut again, &mut erasures, &mut |_| {}, false).run(&journal)?;
        rest = erasures.finish(&journal, &mut report);
    }
    let mut none = Erasures::new(erasures_max);
    LaneVerifier::new(storage, Lane::Ephemeral, &mut report, &mut none, &mut told, deep).run(&ephemeral)?;
    Ok(report)
}
