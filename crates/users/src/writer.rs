//! The writer: decides what a request about a user means, and appends it.
//!
//! Every method blocks (on argon2, on the disk, on locks) and belongs on a thread that may. Each holds the lock of what it
//! decides about from the decision until the record is applied, so that two requests never decide from the same past.

mod accounts;
mod cross_signing;
mod data;
mod devices;
mod keys;
mod login;
mod to_device;

use std::sync::Arc;

use engram_log::{AppendError, Log, TimestampMs};
use engram_views::{Stopped, ViewError, Views};

use crate::password::PasswordCost;

pub use accounts::{LogoutOthers, RegisterError, RegisterRequest, Registered};
pub use cross_signing::{
    CrossSigningError, CrossSigningUpload, SignatureFailure, SignatureFailures,
};
pub use data::{AccountDataError, FilterError, ProfileError};
pub use devices::DeviceError;
pub use keys::{ClaimedKeys, KeysUpload, UploadKeysError};
pub use login::{LoginError, LoginRequest, NewDevice, NewSession, SessionError};
pub use to_device::ToDeviceError;

/// The writer's clock.
pub type Clock = Arc<dyn Fn() -> TimestampMs + Send + Sync>;

/// The writer's source of randomness: fills the slice with bytes fit for secrets.
pub type Random = Arc<dyn Fn(&mut [u8]) + Send + Sync>;

/// A record could not be written or its effect not be seen; the request has failed.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The log took nothing.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The views have stopped; whether the record is on disk is not known.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The views could not be read; nothing was written.
    #[error(transparent)]
    View(#[from] ViewError),
}

/// The account, device and key writer of one server. Shared as `Arc<Users>`.
pub struct Users {}

impl Users {
    /// The writer of `server_name`, which appends to `log` and decides by `views`.
    pub fn new(
        _log: Arc<dyn Log>,
        _views: Arc<Views>,
        _server_name: impl Into<String>,
        _clock: Clock,
        _random: Random,
        _password_cost: PasswordCost,
    ) -> Self {
        todo!()
    }
}
