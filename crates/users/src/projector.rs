//! The projector of everything that belongs to users: the account, device and key servers of the classic architecture.
//!
//! It trusts the writer's decisions and checks only what keeps the tables whole: a record about an account or a device
//! that is not there is passed over. Nothing is memorised between records.

mod accounts;
mod data;
mod devices;
mod erasures;
mod keys;
mod signatures;
#[cfg(test)]
mod tests;
mod to_device;

use std::ops::ControlFlow;

use crate::delta::Apply;
use engram_base::Key;
use engram_log::{InputRef, Offset, Record};
use engram_views::{ProjectError, Projector, Read, ReadExt, Table, ViewError};

use crate::delta::UserDelta;
use crate::tables;

/// Account, device and key server: a deterministic function of the log.
#[derive(Debug, Default)]
pub struct UsersProjector;

impl Projector for UsersProjector {
    type Delta = UserDelta;

    fn name(&self) -> &'static str {
        "users"
    }

    fn version(&self) -> u32 {
        3
    }

    fn tables(&self) -> &'static [&'static Table] {
        tables::ALL
    }

    fn apply(&mut self, record: &Record, input: InputRef<'_>, view: &mut Apply<'_>) -> Result<(), ProjectError> {
        let at = record.offset;
        match input {
            InputRef::AccountCreated(input) => accounts::created(view, at, record.timestamp, input)?,
            InputRef::PasswordSet(input) => accounts::password_set(view, at, input)?,
            InputRef::AccountDeactivated(input) => accounts::deactivated(view, input)?,
            InputRef::RegistrationTokenCreated(input) => accounts::registration_token_created(view, input),
            InputRef::DeviceLoggedIn(input) => devices::logged_in(view, at, record.timestamp, input)?,
            InputRef::DevicesRemoved(input) => devices::removed(view, at, input)?,
            InputRef::DeviceRenamed(input) => devices::renamed(view, at, input)?,
            InputRef::ProfileFieldSet(input) => data::profile_field_set(view, at, input)?,
            InputRef::AccountDataSet(input) => data::account_data_set(view, at, input)?,
            InputRef::FilterCreated(input) => data::filter_created(view, at, input),
            InputRef::DeviceKeysUploaded(input) => keys::uploaded(view, at, input)?,
            InputRef::KeysClaimed(input) => keys::claimed(view, input)?,
            InputRef::CrossSigningKeysUploaded(input) => signatures::keys_uploaded(view, at, input)?,
            InputRef::KeySignaturesUploaded(input) => signatures::uploaded(view, at, input),
            InputRef::ToDeviceSent(input) => to_device::sent(view, at, input)?,
            InputRef::ToDeviceDelivered(input) => to_device::delivered(view, input)?,
            InputRef::Erased(input) => erasures::settle(view, input)?,
            _ => {}
        }
        Ok(())
    }

    fn reset(&mut self) {}
}

/// Notes that others have to fetch a user's devices and keys again.
fn device_list_changed(view: &mut Apply<'_>, at: Offset, user_id: &str) {
    view.put(&tables::DEVICE_LIST_CHANGES, &Key::new().offset(at), &Key::new().text(user_id));
    emit(view, || UserDelta::DeviceListChanged { user_id: user_id.to_owned() });
}

fn emit(view: &mut Apply<'_>, delta: impl FnOnce() -> UserDelta) {
    if view.is_live() {
        view.emit(delta());
    }
}

/// Removes every row under a prefix.
fn remove_prefix(view: &mut Apply<'_>, table: &Table, prefix: &[u8]) -> Result<(), ViewError> {
    for key in keys_with_prefix(&*view, table, prefix)? {
        view.remove(table, &key);
    }
    Ok(())
}

fn keys_with_prefix(reader: &dyn Read, table: &Table, prefix: &[u8]) -> Result<Vec<Vec<u8>>, ViewError> {
    let mut keys = Vec::new();
    reader.scan_prefix(table, prefix, &mut |key, _| {
        keys.push(key.to_vec());
        ControlFlow::Continue(())
    })?;
    Ok(keys)
}
