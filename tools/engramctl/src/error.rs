//! How a command can end: with an outcome (exit codes 0 and 1) or with an error (2).

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use engram_log::{FollowError, OpenError, ReadError};
use engram_views::{ProjectError, ViewError};

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
    #[error("{} is not empty: views are built into a new directory", .0.display())]
    NotEmpty(PathBuf),
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
    #[error(transparent)]
    Config(#[from] engram_server::config::ConfigError),
    #[error(
        "{0}. The log is not affected: the next start of the server, or `engramctl view rebuild --all`, heals the views"
    )]
    DamagedViews(ProjectError),
    #[error("cannot use the views: {0}")]
    Views(ProjectError),
    #[error("there is no view {name:?}: the views are {}", .known.join(", "))]
    NoView { name: String, known: Vec<&'static str> },
    #[error("the event {0:?} is not known")]
    NoEvent(String),
    #[error("the room {0:?} is not known")]
    NoRoom(String),
    #[error("the event {event_id:?} is of another room, {room_id}")]
    OtherRoom { event_id: String, room_id: String },
    #[error("rooms of version {of} cannot be judged by the rules of version {rules}: their events have another format")]
    RulesDoNotFit { of: &'static str, rules: &'static str },
    #[error("the event {event_id} cannot be exported: {what}. `engramctl log verify` says whether the log is damaged")]
    BadEvent { event_id: String, what: String },
    #[error("{}, line {number}: {what}. Nothing was changed", file.display())]
    Line { file: PathBuf, number: u64, what: String },
    #[error("{name:?} is no user of this server, which is {server_name}")]
    OtherServer { name: String, server_name: String },
    #[error("cannot read the password: {0}")]
    Password(io::Error),
    #[error("the passwords are not the same")]
    PasswordsDiffer,
    #[error("there is no password")]
    NoPassword,
    #[error("no account was created: {0}")]
    Register(#[from] engram_users::writer::RegisterError),
    #[error("the log did not take everything, or did not close cleanly: {0}")]
    Close(#[from] engram_log::AppendError),
    #[error("cannot read {what}: {source}")]
    Files { what: &'static str, source: io::Error },
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}

impl Error {
    /// 1 if damage was found, else 2.
    pub(crate) fn exit_code(&self) -> ExitCode {
        let damage = match self {
            Self::Open(error) => matches!(error, OpenError::Damaged { .. } | OpenError::Read(ReadError::Damaged(_))),
            Self::Read(error) | Self::Follow(FollowError::Read(error)) => matches!(error, ReadError::Damaged(_)),
            Self::DamagedViews(_) => true,
            _ => false,
        };
        ExitCode::from(if damage { 1 } else { 2 })
    }

    /// Whether the output goes nowhere any more.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl From<ProjectError> for Error {
    fn from(error: ProjectError) -> Self {
        match error {
            // What the log could not read is the log's damage.
            ProjectError::Follow(error) => Self::Follow(error),
            ProjectError::View(ViewError::Log(error)) => Self::Read(error),
            error if error.is_damage() => Self::DamagedViews(error),
            error => Self::Views(error),
        }
    }
}

impl From<ViewError> for Error {
    fn from(error: ViewError) -> Self {
        ProjectError::from(error).into()
    }
}

pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;
