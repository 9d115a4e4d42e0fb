//! Nonces of shared-secret registration: in memory, bounded in number and age.

use std::collections::VecDeque;

use engram_log_format::TimestampMs;
use parking_lot::Mutex;

use crate::limits;

/// The nonces that were given out and have not been used, oldest first.
#[derive(Default)]
pub struct Nonces(Mutex<VecDeque<(String, TimestampMs)>>);

impl Nonces {
    pub(crate) fn add(&self, nonce: String, now: TimestampMs) {
        let mut nonces = self.0.lock();
        if nonces.len() >= limits::REGISTER_NONCES_MAX {
            nonces.pop_front();
        }
        nonces.push_back((nonce, now));
    }

    /// Whether the nonce is good; it no longer is afterwards.
    pub(crate) fn take(&self, nonce: &str, now: TimestampMs) -> bool {
        let mut nonces = self.0.lock();
        let Some(index) = nonces.iter().position(|(known, _)| known == nonce) else { return false };
        let given = nonces.remove(index).map_or(TimestampMs(0), |(_, given)| given);
        u128::from(now.0.saturating_sub(given.0)) <= limits::REGISTER_NONCE_AGE_MAX.as_millis()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_good_once_and_for_a_minute() {
        let nonces = Nonces::default();
        nonces.add("a".to_owned(), TimestampMs(1_000));
        nonces.add("b".to_owned(), TimestampMs(1_000));
        assert!(nonces.take("a", TimestampMs(61_000)));
        assert!(!nonces.take("a", TimestampMs(1_000)));
        assert!(!nonces.take("b", TimestampMs(61_001)));
    }
}
