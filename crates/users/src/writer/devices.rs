//! Devices: renaming, deletion.

use super::{Users, WriteError};

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
    pub fn delete_devices(&self, _user_id: &str, _device_ids: &[String]) -> Result<(), WriteError> {
        todo!()
    }

    /// Renames a device.
    pub fn rename_device(
        &self,
        _user_id: &str,
        _device_id: &str,
        _display_name: Option<&str>,
    ) -> Result<(), DeviceError> {
        todo!()
    }
}
