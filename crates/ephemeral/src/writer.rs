//! The writer of receipts, typing and presence. Every method blocks.

use std::sync::Arc;
use std::time::Duration;

use engram_log::{AppendError, Log, TimestampMs};
use engram_views::{Stopped, ViewError, Views};

use crate::live::Live;

/// The writer's clock.
pub type Clock = Arc<dyn Fn() -> TimestampMs + Send + Sync>;

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

/// A receipt to be sent.
#[derive(Clone, Copy, Debug)]
pub struct ReceiptRequest<'a> {
    /// The room.
    pub room_id: &'a str,
    /// Who has read.
    pub user_id: &'a str,
    /// `m.read` or `m.read.private`.
    pub receipt_type: &'a str,
    /// The event.
    pub event_id: &'a str,
    /// The thread (`main` or a root's event ID), or none for an unthreaded receipt.
    pub thread_id: Option<&'a str>,
}

/// Why a receipt was refused.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// `M_INVALID_PARAM`: the type is neither `m.read` nor `m.read.private`, or the thread is empty or an identifier too long.
    #[error("{0}")]
    Invalid(&'static str),
    /// It could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// The writer of receipts, typing and presence of one server.
pub struct Ephemeral {}

impl Ephemeral {
    /// A writer that appends to `log` and decides by `views` and `live`.
    pub fn new(_log: Arc<dyn Log>, _views: Arc<Views>, _live: Arc<Live>, _clock: Clock) -> Self {
        todo!()
    }

    /// Marks a user as typing for `timeout`, or as no longer typing.
    pub fn set_typing(&self, _room_id: &str, _user_id: &str, _timeout: Option<Duration>) -> Result<(), WriteError> {
        todo!()
    }

    /// Sets a user's presence: `online`, `unavailable` or `offline`, which the caller has checked.
    pub fn set_presence(&self, _user_id: &str, _presence: &str, _status_msg: Option<&str>) -> Result<(), WriteError> {
        todo!()
    }

    /// Records a receipt, unless the one before is as far or further.
    ///
    /// `position` gives an event's place in the order of the room, if it is known; a receipt whose event or whose
    /// predecessor's event has no place is recorded.
    pub fn send_receipt(
        &self,
        _request: ReceiptRequest<'_>,
        _position: &dyn Fn(&str) -> Option<u64>,
    ) -> Result<(), ReceiptError> {
        todo!()
    }

    /// Ends the typing of those whose time is over; how many those were.
    pub fn expire(&self, _now: TimestampMs) -> Result<usize, WriteError> {
        todo!()
    }
}
