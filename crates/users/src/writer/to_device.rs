//! Messages to devices.

use std::collections::BTreeMap;

use engram_log::Offset;
use engram_log_format::v1::{ToDeviceDelivered, ToDeviceMessage, ToDeviceSent, Transaction};
use engram_views::{Decision, Read, WriteError};

use super::{Users, is_identifier, subjects};
use crate::json::{self, RawJson};
use crate::limits::TO_DEVICE_BYTES_MAX;
use crate::query::{self, Session};
use crate::strict::{self, Numbers, Unsound};

const ALL_DEVICES: &str = "*";

/// Why a message was refused.
#[derive(Debug, thiserror::Error)]
pub enum ToDeviceError {
    /// `M_INVALID_PARAM`: the event type or transaction ID is empty or too long.
    #[error("{0}")]
    Invalid(&'static str),
    /// `M_BAD_JSON`: a content is no object.
    #[error("the content of a message must be a JSON object")]
    NotAnObject,
    /// `M_TOO_LARGE`: the messages, one for each device, are more than one record should hold.
    #[error("the messages have more than {TO_DEVICE_BYTES_MAX} bytes, counted once for each device")]
    TooLarge,
    /// `M_BAD_JSON`: not everybody could read it.
    #[error(transparent)]
    Unsound(#[from] Unsound),
    /// It could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl Users {
    /// Sends messages (user → device or `*` → content). Unknown users and devices are passed over; a transaction that
    /// was seen before is answered as it was, and sends nothing.
    pub async fn send_to_device(
        &self,
        sender: &Session,
        event_type: &str,
        transaction_id: &str,
        messages: &BTreeMap<String, BTreeMap<String, RawJson>>,
    ) -> Result<(), ToDeviceError> {
        if !is_identifier(event_type) || !is_identifier(transaction_id) {
            return Err(ToDeviceError::Invalid("an event type and a transaction ID have 1 to 255 bytes"));
        }
        if !messages.values().flat_map(BTreeMap::values).all(|content| json::is_object(content)) {
            return Err(ToDeviceError::NotAnObject);
        }
        for content in messages.values().flat_map(BTreeMap::values) {
            strict::check(content, Numbers::Any)?;
        }
        let (user_id, device_id) = (&sender.user_id, &sender.device_id);
        let subject = subjects::to_device(user_id, device_id, event_type, transaction_id);
        let sent = self.decider.decide([subject], |snapshot, _| {
            let seen = query::transaction_seen(snapshot, user_id, device_id, event_type, transaction_id);
            if seen.map_err(WriteError::from)? {
                return Ok(Decision::nothing(()));
            }
            let messages = expand(snapshot, messages)?;
            let transaction = Transaction {
                user_id: user_id.clone(),
                device_id: device_id.clone(),
                transaction_id: transaction_id.to_owned(),
            };
            let new = !messages.is_empty();
            let record = ToDeviceSent {
                sender: user_id.clone(),
                event_type: event_type.to_owned(),
                messages,
                transaction: Some(transaction),
            };
            Ok::<_, ToDeviceError>(Decision::journal(new.then(|| record.into()), ()))
        });
        Ok(sent.await?.applied().await?)
    }

    /// Drops the messages of a device at or below `through`, which it has received. Does not wait for the disk: should
    /// the record be lost, it is written again with the next sync.
    pub fn acknowledge_to_device(&self, user_id: &str, device_id: &str, through: Offset) -> Result<(), WriteError> {
        let mut queued = false;
        let snapshot = self.decider.snapshot();
        query::scan_to_device(&*snapshot, user_id, device_id, Offset::ZERO, through, &mut |_, _| {
            queued = true;
            false
        })?;
        drop(snapshot);
        if queued {
            let delivered =
                ToDeviceDelivered { user_id: user_id.to_owned(), device_id: device_id.to_owned(), through: through.0 };
            self.decider.append(&[delivered.into()])?;
        }
        Ok(())
    }
}

/// The messages for devices that exist here. A message for a device comes before one for all of them.
fn expand(
    reader: &dyn Read,
    messages: &BTreeMap<String, BTreeMap<String, RawJson>>,
) -> Result<Vec<ToDeviceMessage>, ToDeviceError> {
    let mut expanded = Vec::new();
    let mut bytes = 0;
    for (user_id, by_device) in messages {
        for device in query::devices(reader, user_id).map_err(WriteError::from)? {
            if let Some(content) = by_device.get(&device.device_id).or_else(|| by_device.get(ALL_DEVICES)) {
                bytes += content.get().len();
                // Before it is copied: a body of megabytes for a thousand devices would be gigabytes.
                if bytes > TO_DEVICE_BYTES_MAX {
                    return Err(ToDeviceError::TooLarge);
                }
                expanded.push(ToDeviceMessage {
                    user_id: user_id.clone(),
                    device_id: device.device_id,
                    content: content.get().as_bytes().to_vec(),
                });
            }
        }
    }
    Ok(expanded)
}
