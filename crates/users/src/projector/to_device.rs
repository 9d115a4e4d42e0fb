//! The queues of messages to devices.

use std::collections::BTreeSet;

use crate::delta::Apply;
use engram_log::Offset;
use engram_log_format::v1::{ArchivedInput, ToDeviceDelivered, ToDeviceSent};
use engram_views::{Read, ViewError};

use super::{emit, erasures};
use crate::delta::UserDelta;
use crate::query::device_row;
use crate::tables;

pub(super) fn sent(view: &mut Apply<'_>, at: Offset, input: &ArchivedInput<ToDeviceSent>) -> Result<(), ViewError> {
    let mut receivers = BTreeSet::new();
    let mut queued = 0;
    for (index, message) in (0_u32..).zip(input.messages.iter()) {
        let (user_id, device_id) = (message.user_id.as_str(), message.device_id.as_str());
        if device_row(&*view, user_id, device_id)?.is_none() {
            continue;
        }
        let key = tables::of_device(user_id, device_id).offset(at).index(index);
        view.put(&tables::TO_DEVICE, &key, &[]);
        queued += 1;
        receivers.insert((user_id, device_id));
    }
    let transaction = input.transaction.as_ref().map(|transaction| {
        let (user_id, device_id) = (&transaction.user_id, &transaction.device_id);
        tables::transaction(user_id, device_id, &input.event_type, &transaction.transaction_id)
    });
    if let Some(key) = &transaction {
        view.put(&tables::TRANSACTIONS, &key.clone().offset(at), &[]);
    }
    erasures::note_messages(view, at, queued, transaction.as_deref())?;
    for (user_id, device_id) in receivers {
        emit(view, || UserDelta::ToDevice { user_id: user_id.to_owned(), device_id: device_id.to_owned() });
    }
    Ok(())
}

pub(super) fn delivered(view: &mut Apply<'_>, input: &ArchivedInput<ToDeviceDelivered>) -> Result<(), ViewError> {
    let through = Offset(input.through.to_native());
    drop_through(view, &input.user_id, &input.device_id, through)
}

/// Drops everything that is queued for a device.
pub(super) fn drop_queue(view: &mut Apply<'_>, user_id: &str, device_id: &str) -> Result<(), ViewError> {
    drop_through(view, user_id, device_id, Offset(u64::MAX - 1))
}

fn drop_through(view: &mut Apply<'_>, user_id: &str, device_id: &str, through: Offset) -> Result<(), ViewError> {
    for (key, record) in queued_through(&*view, user_id, device_id, through)? {
        view.remove(&tables::TO_DEVICE, &key);
        erasures::message_gone(view, record)?;
    }
    Ok(())
}

fn queued_through(
    reader: &dyn Read,
    user_id: &str,
    device_id: &str,
    through: Offset,
) -> Result<Vec<(Vec<u8>, Offset)>, ViewError> {
    let mut keys = Vec::new();
    crate::query::scan_to_device(reader, user_id, device_id, Offset::ZERO, through, &mut |key, place| {
        keys.extend(place.map(|(record, _)| (key.to_vec(), record)));
        true
    })?;
    Ok(keys)
}
