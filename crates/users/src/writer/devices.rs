//! Devices: renaming, deletion.

use std::collections::BTreeSet;

use engram_log::Input;
use engram_log_format::v1::{DeviceRenamed, DevicesRemoved};
use engram_views::{Decision, Unapplied, WriteError};

use super::{Users, subjects};
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
    pub async fn delete_devices(&self, user_id: &str, device_ids: &[String]) -> Result<(), WriteError> {
        let removed = self.decider.decide([subjects::account(user_id)], |snapshot, _| -> Result<_, WriteError> {
            let mut devices = Vec::new();
            for device_id in device_ids.iter().collect::<BTreeSet<_>>() {
                devices.extend(query::device(snapshot, user_id, device_id)?);
            }
            Ok(Self::with_removal(user_id, devices, None))
        });
        self.end_removed(removed.await?).await
    }

    /// Removes devices and does what goes with it, in one append; to be given to [`Users::end_removed`].
    pub(super) fn with_removal(user_id: &str, devices: Vec<Device>, with: Option<Input>) -> Decision<Vec<Device>> {
        Decision::journal(with.into_iter().chain(Self::removal(user_id, &devices)), devices)
    }

    /// The record that removes devices, if there are any.
    pub(super) fn removal(user_id: &str, devices: &[Device]) -> Option<Input> {
        let device_ids: Vec<String> = devices.iter().map(|device| device.device_id.clone()).collect();
        (!device_ids.is_empty()).then(|| DevicesRemoved { user_id: user_id.to_owned(), device_ids }.into())
    }

    /// Ends the sessions of devices whose removal was appended, and waits until it is applied.
    pub(super) async fn end_removed(&self, removed: Unapplied<'_, Vec<Device>>) -> Result<(), WriteError> {
        removed.then(|devices, last| self.end_sessions(&devices, last)).applied().await
    }

    /// Renames a device.
    pub async fn rename_device(
        &self,
        user_id: &str,
        device_id: &str,
        display_name: Option<&str>,
    ) -> Result<(), DeviceError> {
        if display_name.is_some_and(|name| name.len() > DISPLAY_NAME_BYTES_MAX) {
            return Err(DeviceError::NameTooLong);
        }
        let renamed = self.decider.decide([subjects::account(user_id)], |snapshot, _| -> Result<_, DeviceError> {
            let device = query::device(snapshot, user_id, device_id).map_err(WriteError::from)?;
            let device = device.ok_or(DeviceError::NotFound)?;
            if device.display_name.as_deref() == display_name {
                return Ok(Decision::nothing(()));
            }
            let renamed = DeviceRenamed {
                user_id: user_id.to_owned(),
                device_id: device_id.to_owned(),
                display_name: display_name.map(str::to_owned),
            };
            Ok(Decision::journal([renamed.into()], ()))
        });
        Ok(renamed.await?.applied().await?)
    }
}
