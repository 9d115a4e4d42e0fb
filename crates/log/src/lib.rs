//! The log: Engram's only source of truth.
//!
//! [`Log`] is the interface, and it names no files: a replicated engine is to stand behind it later.
//! [`EmbeddedLog`] is the implementation in files of this machine; its format is specified in
//! `log-format/FORMAT.md`, and all of its file access goes through [`storage`].

#[cfg(any(test, feature = "testing"))]
pub mod conformance;
mod damage;
pub mod embedded;
pub mod interface;
pub mod limits;
pub mod record;
pub mod storage;
mod sync;
pub mod verify;

pub use embedded::{EmbeddedLog, OpenError, Options, ScrubProgress, Scrubber};
pub use engram_log_format::{Input, InputRef, Kind, Lane, Offset, TimestampMs};
pub use interface::{
    AppendError, Appended, EraseError, Erasure, Extent, Follow, FollowError, Follower, Lanes, Log, ReadError,
};
pub use record::{PayloadState, Record};
pub use storage::{FsStorage, LockError, Storage};
