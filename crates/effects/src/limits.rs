//! Named limits, each with its reason.

use std::time::Duration;

/// Bytes of a target's name: a user ID (255), an application's ID (64) and a push key (512) fit, and it stays far
/// below what a key may have.
pub const TARGET_BYTES_MAX: usize = 1_024;

/// Targets of which one effect remembers how they are: at some hundred bytes each less than 10 MB. Of those beyond,
/// the one that would be tried last is forgotten; it is found again by the next look through the list, and tried
/// anew.
pub const TARGETS_MAX: usize = 32_768;

/// Targets that are read off the list at once: a look through it is made of small steps.
pub const PAGE_TARGETS: usize = 256;

/// Targets of which it was said that there is something new, between two looks of the runner. Beyond that it looks
/// through the whole list.
pub const HINTS_MAX: usize = 8_192;

/// The time between two looks through the whole list: a net for what no hint has told of, and a few reads.
pub const SWEEP: Duration = Duration::from_secs(60);

/// The time between two looks through the list while more targets have something due than are remembered.
pub const CROWDED: Duration = Duration::from_secs(1);

/// How long the runner waits with what the log or the views did not take, before it tries again.
pub const PAUSE: Duration = Duration::from_millis(500);

/// The longest sleep of the runner: whatever else is forgotten, it looks again.
pub const SLEEP_MAX: Duration = Duration::from_secs(60);

/// Receipts in one append: as many as a busy moment brings, few enough for one frame.
pub const RECEIPTS_MAX: usize = 1_024;
