//! What can go wrong in a view.

use std::sync::Arc;

use engram_log::{AppendError, FollowError, Offset, ReadError};

/// A view cannot be read or written. The log is not affected: the view is rebuilt.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The store behind the views failed or found damage.
    #[error("the view store failed: {0}")]
    Store(#[from] fjall::Error),
    /// What the store returned cannot have been written by this software, or is not what was written last.
    #[error("the view store is damaged: {0}")]
    Damaged(String),
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

impl ViewError {
    /// Whether building the views anew can be expected to help: the bytes are bad, not the machine.
    ///
    /// A lock held by another process, a full disk and missing permissions are no damage: deleting
    /// the views would make nothing better. A poisoned store may have failed for such a reason too; but if a
    /// worker fell over damage, it would do so again after every start, so that counts as damage.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Log(_) | Self::Store(fjall::Error::Locked | fjall::Error::KeyspaceDeleted) => false,
            Self::Io(error) => io_is_damage(error),
            Self::Store(fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error))) => {
                io_is_damage(error)
            }
            Self::Damaged(_) | Self::Row { .. } | Self::Store(_) => true,
        }
    }
}

/// Decoders report senseless bytes as I/O errors of their own making. A file that is missing, in the way or
/// unreadable is damage too, and so is a seek to a senseless place. All else is about the machine.
fn io_is_damage(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{AlreadyExists, InvalidInput, IsADirectory, NotADirectory, NotFound};
    const EIO: i32 = 5;
    match error.raw_os_error() {
        None | Some(EIO) => true,
        Some(_) => matches!(error.kind(), AlreadyExists | InvalidInput | NotFound | IsADirectory | NotADirectory),
    }
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

impl ProjectError {
    /// [`ViewError::is_damage`].
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::View(error) if error.is_damage())
    }
}

impl From<fjall::Error> for ProjectError {
    fn from(error: fjall::Error) -> Self {
        Self::View(error.into())
    }
}

/// The pipeline has stopped; what was awaited will not be applied by this process.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the server is stopping: {0}")]
pub struct Stopped(pub Arc<str>);

/// A record could not be written or its effect not be seen; the request has failed.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The log took nothing.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The views have stopped; whether the record is on disk is not known.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The views could not be read; nothing was written.
    #[error(transparent)]
    View(#[from] ViewError),
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;

    #[test]
    fn only_bad_bytes_are_damage() {
        let raw = |code| ViewError::Io(Error::from_raw_os_error(code));
        for (error, damage) in [
            (raw(28), false), // no space left
            (raw(13), false), // permission denied
            (raw(24), false), // too many open files
            (raw(5), true),   // cannot be read back
            (raw(2), true),   // missing
            (ViewError::Io(Error::new(ErrorKind::UnexpectedEof, "short")), true),
            (fjall::Error::Storage(fjall::LsmError::Io(Error::from_raw_os_error(28))).into(), false),
            (fjall::Error::Storage(fjall::LsmError::Unrecoverable).into(), true),
            (fjall::Error::Locked.into(), false),
            (fjall::Error::Poisoned.into(), true),
            (ViewError::Row { table: "t", what: "short" }, true),
            (ViewError::Log(ReadError::NotFound(Offset(1))), false),
        ] {
            assert_eq!(error.is_damage(), damage, "{error}");
        }
    }
}
