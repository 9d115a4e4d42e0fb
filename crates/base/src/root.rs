//! What enters the program at its root and is handed down: the time, and chance.

use std::sync::Arc;

use engram_log_format::TimestampMs;

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> TimestampMs + Send + Sync>;

/// Fills a slice with bytes that are fit for secrets.
pub type Random = Arc<dyn Fn(&mut [u8]) + Send + Sync>;
