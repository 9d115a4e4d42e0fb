//! The queues of messages to devices.

use std::collections::BTreeSet;

use engram_log::Offset;
use engram_log_format::v1::{ArchivedInput, ToDeviceDelivered, ToDeviceSent};
use engram_views::{Apply, Read, ViewError};

use super::emit;
use crate::delta::UserDelta;
use crate::query::device_row;
use crate::tables;

pub(super) fn sent(view: &mut Apply<'_>, at: Offset, input: &ArchivedInput<ToDeviceSent>) -> Result<(), ViewError> {
    let mut receivers = BTreeSet::new();
    for (index, message) in (0_u32..).zip(input.messages.iter()) {
        let (user_id, device_id) = (message.user_id.as_str(), message.device_id.as_str());
        if device_row(&*view, user_id, device_id)?.is_none() {
            continue;
        }
        let key = tables::of_device(user_id, device_id).offset(at).index(index);
        view.put(&tables::TO_DEVICE, &key, &[]);
        receivers.insert((user_id, device_id));
    }
    if let Some(transaction) = input.transaction.as_ref() {
        let key = tables::transaction(
            &transaction.user_id,
            &transaction.device_id,
            &input.event_type,
            &transaction.transaction_id,
        );
        view.put(&tables::TRANSACTIONS, &key, &at.to_be_bytes());
    }
    for (user_id, device_id) in receivers {
        emit(view, || UserDelta::ToDevice { user_id: user_id.to_owned(), device_id: device_id.to_owned() });
    }
    Ok(())
}

pub(super) fn delivered(view: &mut Apply<'_>, input: &ArchivedInput<ToDeviceDelivered>) -> Result<(), ViewError> {
    let through = Offset(input.through.to_native());
    for key in queued_through(&*view, &input.user_id, &input.device_id, through)? {
        view.remove(&tables::TO_DEVICE, &key);
    }
    Ok(())
}

fn queued_through(
    reader: &dyn Read,
    user_id: &str,
    device_id: &str,
    through: Offset,
) -> Result<Vec<Vec<u8>>, ViewError> {
    let mut keys = Vec::new();
    crate::query::scan_to_device(reader, user_id, device_id, Offset::ZERO, through, &mut |key, _| {
        keys.push(key.to_vec());
        true
    })?;
    Ok(keys)
}
