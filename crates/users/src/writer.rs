//! The writer: decides what a request about a user means, and appends it.
//!
//! Decisions are taken in turn, under the keys in [`subjects`], so that no two requests decide from the same past; a
//! request then waits for its record without holding anything, neither a turn nor a thread ([`engram_views::Decider`]).
//! A future that is dropped has either done nothing, or what it did comes to be.
//!
//! The async methods may be polled on threads of a runtime: a decision reads a few rows. [`Users::claim_keys`],
//! [`Users::upload_keys`], [`Users::upload_signatures`], [`Users::send_to_device`] and [`Users::delete_devices`] read
//! rows for each thing that they are given; whoever lets clients give many polls them elsewhere.
//! [`Users::hash_password`] and
//! [`Users::verify_password`] take a core for tens of milliseconds, and belong on threads that are kept for that.

mod accounts;
mod cross_signing;
mod data;
mod devices;
mod keys;
mod login;
mod one_time_keys;
mod signatures;
mod subjects;
#[cfg(test)]
mod tests;
mod to_device;

use std::sync::Arc;

use engram_base::{Clock, Random, is_identifier};
use engram_log::{Log, Offset};
use engram_views::{Decider, Read, Views, WriteError};

use crate::password::{PasswordCost, Passwords};
use crate::query::{self, Device};
use crate::sessions::Sessions;

pub use accounts::{LogoutOthers, RegisterError, RegisterRequest, Registered};
pub use cross_signing::{CrossSigningError, CrossSigningUpload};
pub use data::{AccountDataError, FilterError, ProfileError};
pub use devices::DeviceError;
pub use keys::{KeysUpload, UploadKeysError};
pub use login::{LoginError, NewDevice, NewSession, SessionError, Verified};
pub use one_time_keys::ClaimedKeys;
pub use signatures::{SignatureFailure, SignatureFailures};
pub use to_device::ToDeviceError;

/// `M_GUEST_ACCESS_FORBIDDEN`: not in the list of what guests may do (specification, guest access).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("guests cannot do this")]
pub struct GuestForbidden;

/// Refuses what only full accounts may do. Asked by the decision itself: whichever way a guest came, it is told.
fn refuse_guest<E: From<GuestForbidden> + From<WriteError>>(reader: &dyn Read, user_id: &str) -> Result<(), E> {
    match query::account(reader, user_id).map_err(WriteError::from)? {
        Some(account) if account.guest => Err(GuestForbidden.into()),
        _ => Ok(()),
    }
}

/// The account, device and key writer of one server. Shared as `Arc<Users>`.
pub struct Users {
    decider: Decider,
    server_name: String,
    random: Random,
    passwords: Passwords,
    sessions: Sessions,
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
            decider: Decider::new(log, views, clock),
            server_name: server_name.into(),
            passwords: Passwords::new(password_cost, &random),
            random,
            sessions: Sessions::new(),
        }
    }

    /// Ends the sessions of devices whose removal was appended: their tokens are good until it is applied, and no
    /// longer, whether or not the request is still there by then.
    fn end_sessions(&self, devices: &[Device], removed: Option<Offset>) {
        let Some(removed) = removed else { return };
        let applied = self.decider.snapshot().offset();
        for device in devices {
            self.sessions.end(&device.token_digest, removed, applied);
        }
    }
}
