//! Devices and their access tokens.

use crate::delta::Apply;
use engram_log::{Offset, TimestampMs};
use engram_log_format::v1::{ArchivedInput, DeviceLoggedIn, DeviceRenamed, DevicesRemoved};
use engram_views::ViewError;

use super::{device_list_changed, emit, erasures, remove_prefix, to_device};
use crate::delta::UserDelta;
use crate::query::{account_row, device_row};
use crate::row::DeviceRow;
use crate::tables;

/// A new session: of a new device, or of an existing one, whose old token it replaces.
pub(super) fn logged_in(
    view: &mut Apply<'_>,
    at: Offset,
    time: TimestampMs,
    input: &ArchivedInput<DeviceLoggedIn>,
) -> Result<(), ViewError> {
    let (user_id, device_id) = (input.user_id.as_str(), input.device_id.as_str());
    if account_row(&*view, user_id)?.is_none() {
        return Ok(());
    }
    let before = device_row(&*view, user_id, device_id)?;
    if let Some(before) = &before {
        view.remove(&tables::TOKENS, &before.token_digest);
    }
    let is_new = before.is_none();
    let row = DeviceRow {
        token_digest: input.access_token_digest,
        last_login_ms: time.0,
        expires_ms: input.expires_ms.as_ref().map(|at| at.to_native()),
        display_name: match before {
            Some(before) => before.display_name,
            None => input.display_name.as_ref().map(|name| name.as_str().to_owned()),
        },
        ip: input.ip.as_ref().map(|ip| ip.as_str().to_owned()),
    };
    let key = tables::of_device(user_id, device_id);
    if input.display_name.is_some() || input.ip.is_some() {
        erasures::note_personal(view, user_id, at);
    }
    view.put(&tables::DEVICES, &key, &row.encode());
    view.put(&tables::TOKENS, &row.token_digest, &key);
    if is_new {
        device_list_changed(view, at, user_id);
    }
    Ok(())
}

pub(super) fn removed(
    view: &mut Apply<'_>,
    at: Offset,
    input: &ArchivedInput<DevicesRemoved>,
) -> Result<(), ViewError> {
    let user_id = input.user_id.as_str();
    let mut gone = Vec::new();
    for device_id in input.device_ids.iter() {
        if remove(view, user_id, device_id)? {
            gone.push(device_id.as_str().to_owned());
        }
    }
    if !gone.is_empty() {
        device_list_changed(view, at, user_id);
        emit(view, || UserDelta::DevicesRemoved { user_id: user_id.to_owned(), device_ids: gone });
    }
    Ok(())
}

/// Removes one device with all that hangs on it; whether it was there.
fn remove(view: &mut Apply<'_>, user_id: &str, device_id: &str) -> Result<bool, ViewError> {
    let Some(row) = device_row(&*view, user_id, device_id)? else {
        return Ok(false);
    };
    let key = tables::of_device(user_id, device_id);
    view.remove(&tables::TOKENS, &row.token_digest);
    view.remove(&tables::DEVICES, &key);
    view.remove(&tables::DEVICE_KEYS, &key);
    to_device::drop_queue(view, user_id, device_id)?;
    for table in [
        &tables::ONE_TIME_KEYS,
        &tables::ONE_TIME_KEY_IDS,
        &tables::ONE_TIME_KEY_COUNTS,
        &tables::FALLBACK_KEYS,
        &tables::SIGNATURES,
        &tables::TRANSACTIONS,
    ] {
        remove_prefix(view, table, &key)?;
    }
    Ok(true)
}

pub(super) fn renamed(view: &mut Apply<'_>, at: Offset, input: &ArchivedInput<DeviceRenamed>) -> Result<(), ViewError> {
    let (user_id, device_id) = (input.user_id.as_str(), input.device_id.as_str());
    let Some(mut row) = device_row(&*view, user_id, device_id)? else {
        return Ok(());
    };
    if input.display_name.is_some() {
        erasures::note_personal(view, user_id, at);
    }
    row.display_name = input.display_name.as_ref().map(|name| name.as_str().to_owned());
    view.put(&tables::DEVICES, &tables::of_device(user_id, device_id), &row.encode());
    device_list_changed(view, at, user_id);
    Ok(())
}
