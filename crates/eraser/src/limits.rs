//! Named limits, each with its reason.

use std::time::Duration;

/// Records that one call to the log names: enough to be worth rewriting segments, few enough that little waits in
/// memory.
pub(crate) const BATCH_RECORDS: usize = 8_192;

/// Bytes of replacements in one call, from which on it takes no more.
pub(crate) const BATCH_BYTES: usize = 8 << 20;

/// Records of a list that are looked at before some of them go: half a megabyte, and so many that a segment seldom
/// has some in two batches.
pub(crate) const COLLECTED_MAX: usize = 32_768;

/// Entries of a list that are read at once.
pub(crate) const PAGE_ENTRIES: usize = 1_024;

/// The pause after each page while what was announced is looked through: it takes a small part of one core and of the
/// disk.
pub(crate) const PAGE_PAUSE_MS: u64 = 20;

/// The shortest and the longest time between two looks at the lists.
pub(crate) const LOOK_MS: (u64, u64) = (1_000, 600_000);

/// Looks in a grace period.
pub(crate) const LOOKS_PER_GRACE: u64 = 24;

/// How long what is due waits for more to be due in the same part of the log: at most a quarter of its grace, and
/// never so long that it stays for an hour longer than it was to, the longest time between two looks and the
/// rewriting included.
pub(crate) const PATIENCE_MS_MAX: u64 = 45 * 60_000;

/// The part of a stretch of the log that has to be due for it to be rewritten at once: of each byte that is copied
/// for it, a sixteenth is freed.
pub(crate) const WORTH_REWRITING: u64 = 16;

/// Records that could not be erased and are asked for again later. Of more than that all that was ever announced is
/// looked through again.
pub(crate) const LATER_MAX: usize = 65_536;

/// After what time they are.
pub(crate) const LATER_MS: u64 = 3_600_000;

/// How far beyond a record that cannot be read another one is sought that tells the time: doubled steps, so that this
/// reaches everywhere.
pub(crate) const STEPS_MAX: u32 = 40;

/// How long one wait for the log to have carried out a batch is, before it is looked whether to stop.
pub(crate) const CARRY_OUT: Duration = Duration::from_millis(200);

/// How often it is looked whether the views have taken note of an erasure.
pub(crate) const TAKEN_NOTE: Duration = Duration::from_millis(10);
