//! Devices: renaming, deletion.

use std::collections::BTreeSet;

use engram_log::Input;
use engram_log_format::v1::{DeviceRenamed, DevicesRemoved};

use super::{Users, WriteError};
use crate::limits::DISPLAY_NAME_BYTES_MAX;
use crate::query::{self, Device};

/// Why a device was not changed.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// `M_NOT_FOUND`.
    #[error("unknown device")]
    NotFound,
    /// `M_INVALID_PARAM`: the name is too long.
    #[error("the display name is too long")]
    NameTooLong,
    /// It could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl Users {
    /// Removes devices with their tokens, keys and messages. Unknown devices are passed over.
    pub fn delete_devices(&self, user_id: &str, device_ids: &[String]) -> Result<(), WriteError> {
        let _user = self.lock_user(user_id);
        let snapshot = self.views.snapshot();
        let mut devices = Vec::new();
        for device_id in device_ids.iter().collect::<BTreeSet<_>>() {
            devices.extend(query::device(&*snapshot, user_id, device_id)?);
        }
        drop(snapshot);
        self.commit_with_removal(user_id, &devices, None)
    }

    /// Removes devices and does what goes with it, in one append; then their tokens are forgotten. The caller holds the
    /// user's lock.
    pub(super) fn commit_with_removal(
        &self,
        user_id: &str,
        devices: &[Device],
        with: Option<Input>,
    ) -> Result<(), WriteError> {
        let mut inputs: Vec<Input> = with.into_iter().collect();
        inputs.extend(Self::removal(user_id, devices));
        if inputs.is_empty() {
            return Ok(());
        }
        self.commit(&inputs)?;
        self.forget_tokens(devices);
        Ok(())
    }

    /// The record that removes devices, if there are any.
    pub(super) fn removal(user_id: &str, devices: &[Device]) -> Option<Input> {
        let device_ids: Vec<String> = devices.iter().map(|device| device.device_id.clone()).collect();
        (!device_ids.is_empty()).then(|| DevicesRemoved { user_id: user_id.to_owned(), device_ids }.into())
    }

    /// Forgets the tokens of devices whose removal is applied.
    pub(super) fn forget_tokens(&self, devices: &[Device]) {
        for device in devices {
            self.sessions.forget(&device.token_digest);
        }
    }

    /// Renames a device.
    pub fn rename_device(&self, user_id: &str, device_id: &str, display_name: Option<&str>) -> Result<(), DeviceError> {
        if display_name.is_some_and(|name| name.len() > DISPLAY_NAME_BYTES_MAX) {
            return Err(DeviceError::NameTooLong);
        }
        let _user = self.lock_user(user_id);
        let device = query::device(&*self.views.snapshot(), user_id, device_id).map_err(WriteError::from)?;
        let device = device.ok_or(DeviceError::NotFound)?;
        if device.display_name.as_deref() == display_name {
            return Ok(());
        }
        let renamed = DeviceRenamed {
            user_id: user_id.to_owned(),
            device_id: device_id.to_owned(),
            display_name: display_name.map(str::to_owned),
        };
        Ok(self.commit(&[renamed.into()])?)
    }
}
