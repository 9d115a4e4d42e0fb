//! The tables of the users' view, with their encodings.
//!
//! Parts of keys and rows are written as [`engram_base::parts`] says; `user`, `device` and so on are texts, `offset` is
//! a number. JSON bodies stay in the log: rows hold the offset of the record that has them. Only profile fields and
//! signatures, which are small and read often, are copied.

use engram_base::Key;
use engram_log::Offset;
use engram_views::{DueList, Table};

macro_rules! tables {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)*) => {
        $($(#[$doc])* pub static $name: Table = Table::new($number, $text);)*

        /// All tables, in the order of their numbers.
        pub static ALL: &[&Table] = &[$(&$name),*];
    };
}

tables! {
    /// user → `AccountRow`.
    ACCOUNTS = 32, "users.accounts";
    /// token → `RegistrationTokenRow`.
    REGISTRATION_TOKENS = 33, "users.registration_tokens";
    /// user, device → `DeviceRow`.
    DEVICES = 34, "users.devices";
    /// BLAKE3 of the access token (32 bytes) → user, device.
    TOKENS = 35, "users.tokens";
    /// user, field → JSON.
    PROFILES = 36, "users.profiles";
    /// user, room (optional text), event type → offset of the last change.
    ACCOUNT_DATA = 37, "users.account_data";
    /// user, offset of the last change → room (optional text), event type. One row for each row of `account_data`.
    ACCOUNT_DATA_CHANGES = 38, "users.account_data_changes";
    /// user, filter ID → offset.
    FILTERS = 39, "users.filters";
    /// user, device → offset of the record with the device keys.
    DEVICE_KEYS = 40, "users.device_keys";
    /// user, device, algorithm, offset, index → `algorithm:id` (text). Key order is upload order.
    ONE_TIME_KEYS = 41, "users.one_time_keys";
    /// user, device, `algorithm:id` → `KeyPlace`. One row for each row of `one_time_keys`.
    ONE_TIME_KEY_IDS = 42, "users.one_time_key_ids";
    /// user, device, algorithm → number of unclaimed keys; kept at zero, so that a client hears of it.
    ONE_TIME_KEY_COUNTS = 43, "users.one_time_key_counts";
    /// user, device, algorithm → `FallbackRow`.
    FALLBACK_KEYS = 44, "users.fallback_keys";
    /// user, usage (byte: 0 master, 1 self-signing, 2 user-signing) → `CrossSigningRow`.
    CROSS_SIGNING_KEYS = 45, "users.cross_signing_keys";
    /// owner of the key, device ID or public key, signer, signing key ID → signature (bytes of its text). Signatures
    /// that came after the key they sign.
    SIGNATURES = 46, "users.signatures";
    /// offset → user whose devices or keys changed.
    DEVICE_LIST_CHANGES = 47, "users.device_list_changes";
    /// signer, offset, user whose key was signed → nothing.
    SIGNATURE_CHANGES = 48, "users.signature_changes";
    /// user, device, offset, index in the record → nothing.
    TO_DEVICE = 49, "users.to_device";
    /// user, device, event type, transaction ID, offset → nothing.
    TRANSACTIONS = 50, "users.transactions";
    /// user, offset → nothing: a record with something that goes if the user closes the account and asks for erasure.
    PERSONAL = 51, "users.personal";
    /// offset → messages of that record that are still queued (index); then, if it has a transaction, its key in
    /// `transactions` up to the offset.
    TO_DEVICE_RECORDS = 52, "users.to_device_records";
    /// Records of messages that all receivers have: see [`DueList`].
    RECEIVED = 53, "users.received";
    /// Records with what users have told of themselves who asked for erasure: see [`DueList`].
    PERSONAL_DUE = 54, "users.personal_due";
}

/// Messages to devices that may go.
pub static DUE_MESSAGES: DueList = DueList(&RECEIVED);
/// What is personal and has to go.
pub static DUE_PERSONAL: DueList = DueList(&PERSONAL_DUE);

pub(crate) fn of_user(user_id: &str) -> Key {
    Key::new().text(user_id)
}

pub(crate) fn of_device(user_id: &str, device_id: &str) -> Key {
    of_user(user_id).text(device_id)
}

pub(crate) fn account_data(user_id: &str, room_id: Option<&str>, event_type: &str) -> Key {
    of_user(user_id).optional_text(room_id).text(event_type)
}

pub(crate) fn one_time_key(user_id: &str, device_id: &str, algorithm: &str, offset: Offset, index: u32) -> Key {
    of_device(user_id, device_id).text(algorithm).offset(offset).index(index)
}

pub(crate) fn transaction(user_id: &str, device_id: &str, event_type: &str, transaction_id: &str) -> Key {
    of_device(user_id, device_id).text(event_type).text(transaction_id)
}

/// The algorithm in `algorithm:id`.
pub(crate) fn algorithm_of(key_id: &str) -> &str {
    key_id.split_once(':').map_or(key_id, |(algorithm, _)| algorithm)
}
