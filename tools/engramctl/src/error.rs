//! How a command can end: with an outcome (exit codes 0 and 1) or with an error (2).

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

/// What a command found. Only commands that check something can find anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All is well.
    Good,
    /// A difference or damage, which the output describes.
    Found,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Good => Self::SUCCESS,
            Outcome::Found => Self::FAILURE,
        }
    }
}

/// Why a command could not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("there is no data directory {}", .0.display())]
    NoData(PathBuf),
    #[error("there is no log in {}: has the server ever been started with it?", .0.display())]
    NoLog(PathBuf),
    #[error("{source} ({})", data_dir.display())]
    Locked { data_dir: PathBuf, source: engram_log::LockError },
    #[error(transparent)]
    Open(engram_log::OpenError),
    #[error(transparent)]
    Read(#[from] engram_log::ReadError),
    #[error(transparent)]
    Follow(#[from] engram_log::FollowError),
    #[error("cannot read {what}: {source}")]
    Files { what: &'static str, source: io::Error },
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}

impl Error {
    /// Whether the output goes nowhere any more.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;
