//! The log: Engram's only source of truth.
//!
//! [`Log`] is the interface, and it names no files: a replicated engine is to stand behind it later.

pub mod interface;
pub mod record;

pub use engram_log_format::{Input, InputRef, Kind, Lane, Offset, TimestampMs};
pub use interface::{AppendError, Appended, Follow, FollowError, Follower, Lanes, Log, ReadError};
pub use record::Record;
