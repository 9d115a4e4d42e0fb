//! Reading what the users' tables hold: for sync, the HTTP API and the writers alike.
//!
//! Every function takes a reader, so that all reads that must agree can use one snapshot.

mod accounts;
mod data;
mod device_lists;
mod key_bodies;
mod keys;
mod to_device;

use engram_views::{Read, Table, ViewError};

pub use accounts::{
    Account, Device, Session, account, any_user, closed, device, devices, guests, is_erased, profile, profile_field,
    registration_token_valid, session,
};
pub use data::{AccountDataRow, account_data, account_data_since, filter, push_rules};
pub use device_lists::{device_lists_changed, signatures_changed};
pub use key_bodies::{CrossSigningUsage, cross_signing_key, device_keys};
pub use keys::{KeysQuery, keys_query, one_time_key_counts, unused_fallback_types};
pub use to_device::{ToDeviceRow, to_device};

pub(crate) use accounts::{account_row, device_row, registration_token_row};
pub(crate) use data::account_data_offset;
pub(crate) use key_bodies::{cross_signing_row, device_keys as stored_device_keys, one_time_key_json};
pub(crate) use keys::{
    current_cross_signing_row, fallback_row, first_one_time_keys, one_time_key_count, one_time_key_place,
};
pub(crate) use to_device::{scan_to_device, transaction_seen};

/// Reads and decodes one row.
fn row<T>(
    reader: &dyn Read,
    table: &'static Table,
    key: &[u8],
    decode: impl FnOnce(&[u8]) -> Option<T>,
) -> Result<Option<T>, ViewError> {
    match reader.get(table, key)? {
        Some(bytes) => decode(&bytes).map(Some).ok_or_else(|| malformed(table)),
        None => Ok(None),
    }
}

fn malformed(table: &'static Table) -> ViewError {
    ViewError::Row { table: table.name, what: "it does not decode" }
}
