//! Messages to devices.

use std::collections::BTreeMap;

use engram_log::Offset;

use super::{Users, WriteError};
use crate::json::RawJson;
use crate::query::Session;

/// Why a message was refused.
#[derive(Debug, thiserror::Error)]
pub enum ToDeviceError {
    /// `M_INVALID_PARAM`: the event type or transaction ID is empty or too long.
    #[error("{0}")]
    Invalid(&'static str),
    /// `M_BAD_JSON`: a content is no object.
    #[error("the content of a message must be a JSON object")]
    NotAnObject,
    /// It could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl Users {
    /// Sends messages (user → device or `*` → content). Unknown users and devices are passed over; a transaction that was
    /// seen before is answered as it was, and sends nothing.
    pub fn send_to_device(
        &self,
        _sender: &Session,
        _event_type: &str,
        _transaction_id: &str,
        _messages: &BTreeMap<String, BTreeMap<String, RawJson>>,
    ) -> Result<(), ToDeviceError> {
        todo!()
    }

    /// Drops the messages of a device at or below `through`, which it has received. Does not wait for the disk: should the
    /// record be lost, it is written again with the next sync.
    pub fn acknowledge_to_device(
        &self,
        _user_id: &str,
        _device_id: &str,
        _through: Offset,
    ) -> Result<(), WriteError> {
        todo!()
    }
}
