//! Named limits, each with its reason.

use std::time::Duration;

/// Longest time for which one request marks a user as typing: a client that goes away stops typing by itself.
pub const TYPING_MAX: Duration = Duration::from_secs(120);

/// After so long without activity a user counts as idle, whatever their devices say (specification, idle timeout).
pub const IDLE_AFTER: Duration = Duration::from_secs(5 * 60);

/// A device whose last poll has ended for so long is gone: longer than a client takes to begin the next one, also where
/// it backs off or changes networks.
pub const AWAY_AFTER: Duration = Duration::from_secs(60);

/// For how long a user must be less present than was told before that is told: the moment between two polls, or two
/// polls of one device that contradict each other, are nobody's concern.
pub const SETTLE: Duration = Duration::from_secs(1);

/// Users whose presence is told at once, in one append: after a restart thousands may be due in the same second, and
/// everybody else's records wait behind them.
pub const PRESENCE_BATCH_MAX: usize = 512;

/// Records that are read at once when the ephemeral lane is taken in at the start.
pub const REPLAY_RECORDS: usize = 1024;
