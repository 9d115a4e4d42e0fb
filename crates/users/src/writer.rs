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
mod one_time_keys;
mod signatures;
#[cfg(test)]
mod tests;
mod to_device;

use std::sync::Arc;

use engram_log::{AppendError, Input, Lane, Log, TimestampMs};
use engram_views::{Stopped, ViewError, Views};

use crate::limits::IDENTIFIER_BYTES_MAX;
use crate::locks::{Guard, Locks};
use crate::password::{PasswordCost, Passwords};
use crate::sessions::Sessions;

pub use accounts::{LogoutOthers, RegisterError, RegisterRequest, Registered};
pub use cross_signing::{CrossSigningError, CrossSigningUpload};
pub use data::{AccountDataError, FilterError, ProfileError};
pub use devices::DeviceError;
pub use keys::{KeysUpload, UploadKeysError};
pub use login::{LoginError, LoginRequest, NewDevice, NewSession, SessionError};
pub use one_time_keys::ClaimedKeys;
pub use signatures::{SignatureFailure, SignatureFailures};
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
pub struct Users {
    log: Arc<dyn Log>,
    views: Arc<Views>,
    server_name: String,
    clock: Clock,
    random: Random,
    passwords: Passwords,
    sessions: Sessions,
    locks: Locks,
}

impl Users {
    /// The writer of `server_name`, which appends to `log` and decides by `views`.
    pub fn new(
        log: Arc<dyn Log>,
        views: Arc<Views>,
        server_name: impl Into<String>,
        clock: Clock,
        random: Random,
        password_cost: PasswordCost,
    ) -> Self {
        Self {
            log,
            views,
            server_name: server_name.into(),
            passwords: Passwords::new(password_cost, &random),
            clock,
            random,
            sessions: Sessions::new(),
            locks: Locks::new(),
        }
    }

    /// Appends all of the inputs as one, and waits until they are on disk and applied.
    fn commit(&self, inputs: &[Input]) -> Result<(), WriteError> {
        let appended = self.log.append(Lane::Journal, inputs, (self.clock)())?;
        self.views.wait_applied_blocking(appended.last)?;
        Ok(())
    }

    /// Holds what decides about an account: its existence, password, devices, cross-signing keys, profile, account data.
    fn lock_user(&self, user_id: &str) -> Guard<'_> {
        self.locks.lock(format!("user {user_id}"))
    }
}

/// Whether a text may be an identifier in a table's key.
fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.len() <= IDENTIFIER_BYTES_MAX
}
