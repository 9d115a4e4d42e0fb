//! Why a log cannot be opened.

use std::io;

use engram_log_format::Offset;

use crate::interface::{AppendError, ReadError};
use crate::storage::LockError;

/// Why a log cannot be opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process uses the directory.
    #[error(transparent)]
    Locked(#[from] LockError),
    /// A call failed.
    #[error("cannot {doing}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The failure.
        source: io::Error,
    },
    /// Something that was acknowledged does not verify.
    #[error(
        "the log is damaged: segment {segment}, byte {position}, after record {after}: {reason}. Nothing was changed. \
         Restore this file from a backup; `engramctl log verify` lists everything that is damaged"
    )]
    Damaged {
        /// The file.
        segment: String,
        /// Where in it.
        position: u64,
        /// The last record before the damage.
        after: Offset,
        /// What is wrong.
        reason: String,
    },
    /// The log was written by another version.
    #[error("segment {segment} has format version {version}, which this version of the software cannot read")]
    Version {
        /// The file.
        segment: String,
        /// Its version.
        version: u16,
    },
    /// There is no log to read.
    #[error("there is no log in this directory")]
    Empty,
    /// The log belongs to another server.
    #[error("this log belongs to the server {log}, but {configured} is configured; a log's server never changes")]
    OtherServer {
        /// Whose it is.
        log: String,
        /// What is configured.
        configured: String,
    },
    /// The first records could not be written.
    #[error("cannot begin to write: {0}")]
    Append(#[from] AppendError),
    /// A record that the log needs for itself cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl OpenError {
    pub(crate) fn io(doing: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }
}
