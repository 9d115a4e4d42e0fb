//! The clock and the random source of the process: made here, and handed to everybody who needs them.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use engram_base::{Clock, Random};
use engram_log::TimestampMs;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use std::sync::Mutex;

/// The clock of the machine.
pub fn clock() -> Clock {
    Arc::new(|| {
        #[expect(clippy::disallowed_methods, reason = "this is the one place where the time enters the server")]
        let now = SystemTime::now();
        // A clock before 1970 is not set at all; the log keeps its own order anyhow.
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        TimestampMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    })
}

/// A cryptographic generator, seeded by the operating system.
pub fn random() -> Random {
    let generator = Mutex::new(StdRng::from_os_rng());
    Arc::new(move |bytes| {
        // A generator is whole even if somebody panicked beside it.
        generator.lock().unwrap_or_else(std::sync::PoisonError::into_inner).fill_bytes(bytes);
    })
}
