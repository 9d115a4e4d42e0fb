//! Reading what the users' tables hold: for sync, the HTTP API and the writers alike.
//!
//! Every function takes a reader, so that all reads that must agree can use one snapshot.

mod accounts;
mod data;
mod keys;
mod to_device;

pub use accounts::{
    Account, Device, Session, account, any_user, device, devices, profile, profile_field,
    registration_token_valid, session,
};
pub use data::{AccountDataRow, account_data, account_data_since, filter, push_rules};
pub use keys::CrossSigningUsage;
pub use keys::{
    KeysQuery, UserKeys, cross_signing_key, device_keys, device_lists_changed, keys_query,
    one_time_key_counts, signatures_changed, unused_fallback_types,
};
pub use to_device::{ToDeviceRow, to_device};
