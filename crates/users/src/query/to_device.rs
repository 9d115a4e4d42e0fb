//! Messages to devices.

use engram_log::Offset;
use engram_views::{Read, ViewError};

use crate::json::RawJson;

/// One message in the queue of a device.
#[derive(Clone, Debug)]
pub struct ToDeviceRow {
    /// The record that holds it; one record may hold several for the same device.
    pub offset: Offset,
    /// Who sent it.
    pub sender: String,
    /// The event type.
    pub event_type: String,
    /// The content.
    pub content: RawJson,
}

/// The messages for a device after `after`, up to and including `through`, oldest first.
///
/// At most `limit`, but never a part of those of one record: so the last row's offset is a position that skips nothing
/// (when the result has `limit` rows or more, there may be more after it).
pub fn to_device(
    _reader: &dyn Read,
    _user_id: &str,
    _device_id: &str,
    _after: Offset,
    _through: Offset,
    _limit: usize,
) -> Result<Vec<ToDeviceRow>, ViewError> {
    todo!()
}
