//! What decisions can be about. Those that name the same subject are taken in turn.

use engram_base::Key;

/// An account: its existence, password, devices, cross-signing keys, profile, account data, filters.
pub(super) fn account(user_id: &str) -> Key {
    Key::new().byte(0).text(user_id)
}

/// The uses of a registration token.
pub(super) fn registration_token(token: &str) -> Key {
    Key::new().byte(1).text(token)
}

/// Which account is the first.
pub(super) fn first_account() -> Key {
    Key::new().byte(2)
}

/// The keys of a device: its own, one-time keys, fallback keys.
pub(super) fn device_keys(user_id: &str, device_id: &str) -> Key {
    Key::new().byte(3).text(user_id).text(device_id)
}

/// Whether the messages of a transaction were sent.
pub(super) fn to_device(user_id: &str, device_id: &str, event_type: &str, transaction_id: &str) -> Key {
    Key::new().byte(4).text(user_id).text(device_id).text(event_type).text(transaction_id)
}
