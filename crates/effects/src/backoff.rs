//! How long a target that has failed is left alone.

use std::time::Duration;

use engram_log::TimestampMs;

/// Twice as long after each failure, within bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// After the first failure.
    pub first: Duration,
    /// At most.
    pub longest: Duration,
}

impl Backoff {
    /// When a target is tried again that has just failed for the `failures`-th time in a row. What it asked for
    /// counts, within the bounds.
    pub fn until(&self, now: TimestampMs, failures: u32, asked: Option<Duration>) -> TimestampMs {
        assert!(failures > 0, "whoever has not failed is not left alone");
        let doubled = self.first.saturating_mul(1 << (failures - 1).min(30));
        let pause = doubled.max(asked.unwrap_or_default()).min(self.longest);
        TimestampMs(now.0.saturating_add(millis(pause)))
    }
}

/// A duration in the unit of times.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_and_is_bounded() {
        let backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(60) };
        let seconds = |failures, asked| backoff.until(TimestampMs(5_000), failures, asked).0 / 1_000 - 5;
        let waits: Vec<u64> = (1..9).map(|failures| seconds(failures, None)).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(seconds(u32::MAX, None), 60);
        assert_eq!(seconds(1, Some(Duration::from_secs(20))), 20, "as it asked");
        assert_eq!(seconds(1, Some(Duration::from_secs(9_000))), 60, "but not for ever");
        assert_eq!(backoff.until(TimestampMs(u64::MAX), 1, None), TimestampMs(u64::MAX));
    }
}
