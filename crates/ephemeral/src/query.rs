//! Reading receipts.

use engram_log::{Offset, TimestampMs};
use engram_views::{Read, ViewError};
use serde_json::value::RawValue;

/// A receipt: how far somebody has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Who.
    pub user_id: String,
    /// `m.read` or `m.read.private`.
    pub receipt_type: String,
    /// The thread, or none for an unthreaded receipt.
    pub thread_id: Option<String>,
    /// The event.
    pub event_id: String,
    /// When.
    pub at: TimestampMs,
    /// The record.
    pub offset: Offset,
}

/// One receipt.
pub fn receipt(
    _reader: &dyn Read,
    _room_id: &str,
    _user_id: &str,
    _receipt_type: &str,
    _thread_id: Option<&str>,
) -> Result<Option<Receipt>, ViewError> {
    todo!()
}

/// The latest receipts of a user in a room: public and private, of all threads. For notification counts.
pub fn receipts_of(_reader: &dyn Read, _room_id: &str, _user_id: &str) -> Result<Vec<Receipt>, ViewError> {
    todo!()
}

/// The receipts of a room that moved after `since`, up to and including `through`, in the order of their moves. Private ones
/// only if they are `viewer`'s.
pub fn receipts_changed(
    _reader: &dyn Read,
    _room_id: &str,
    _viewer: &str,
    _since: Offset,
    _through: Offset,
) -> Result<Vec<Receipt>, ViewError> {
    todo!()
}

/// [`receipts_changed`] as the content of an `m.receipt` event; none if nothing moved.
pub fn receipts_since(
    _reader: &dyn Read,
    _room_id: &str,
    _viewer: &str,
    _since: Offset,
    _through: Offset,
) -> Result<Option<Box<RawValue>>, ViewError> {
    todo!()
}
