//! What can go wrong in a view.

use engram_log::{FollowError, Offset, ReadError};

/// A view cannot be read or written. The log is not affected: the view is rebuilt.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The store behind the views failed or found damage.
    #[error("the view store failed: {0}")]
    Store(#[from] fjall::Error),
    /// A row does not have the shape that its table promises.
    #[error("a row of {table} is malformed: {what}")]
    Row {
        /// The table.
        table: &'static str,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A record that a view refers to cannot be read.
    #[error("a record that a view refers to cannot be read: {0}")]
    Log(#[from] ReadError),
    /// The files around the store failed.
    #[error("cannot access the views' files: {0}")]
    Io(#[from] std::io::Error),
}

/// A projector cannot go on: a bug or damage, never bad input, which projectors count and pass over.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// Reading or writing the view failed.
    #[error(transparent)]
    View(#[from] ViewError),
    /// The log cannot be followed.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// A record's payload cannot be decoded.
    #[error("record {offset} cannot be decoded: {source}")]
    Decode {
        /// The record.
        offset: Offset,
        /// Why.
        source: engram_log_format::DecodeError,
    },
}

/// The pipeline has stopped; what was awaited will not be applied by this process.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the server is stopping: {0}")]
pub struct Stopped(pub std::sync::Arc<str>);
