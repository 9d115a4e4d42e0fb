//! Why a room writer refuses. Each refusal leaves no trace in the log.

use engram_log::AppendError;
use engram_views::ViewError;

/// A request to a room that was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum RoomError {
    /// This server knows no such room.
    #[error("unknown room {0}")]
    UnknownRoom(String),
    /// The user is not in the room. Said likewise of a room that does not exist: whoever is not in a room is not told
    /// that there is one.
    #[error("you are not in the room {0}, or there is no such room")]
    NotInRoom(String),
    /// A guest may not do this, or not in this room.
    #[error("{0}")]
    GuestForbidden(&'static str),
    /// The room's rules do not allow it.
    #[error("{0}")]
    Forbidden(String),
    /// The content is not what the event type demands.
    #[error("{0}")]
    BadContent(String),
    /// A parameter has a value that cannot be.
    #[error("{0}")]
    InvalidParameter(String),
    /// The event would be larger than the specification allows.
    #[error("{0}")]
    TooLarge(String),
    /// This server does not know the room version.
    #[error("room version {0:?} is not supported")]
    UnsupportedVersion(String),
    /// The state that a new room was to begin with does not pass the room's own rules.
    #[error("the initial state is not valid: {0}")]
    InvalidInitialState(String),
    /// The alias already points to a room.
    #[error("the alias {0} is already taken")]
    AliasInUse(String),
    /// No such alias.
    #[error("unknown alias {0}")]
    UnknownAlias(String),
    /// The aliases in `m.room.canonical_alias` do not point to this room.
    #[error("{0}")]
    BadAlias(String),
    /// The user is still in the room.
    #[error("you have to leave {0} before you can forget it")]
    NotLeft(String),
    /// Whose events this server cannot make.
    #[error("{0} does not belong to this server")]
    NotLocal(String),
    /// The log did not take it.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// A view could not be read.
    #[error(transparent)]
    View(#[from] ViewError),
    /// A bug: an event that this server made does not hold together.
    #[error("cannot make the event: {0}")]
    Internal(String),
}
