//! Every limit of the client API's own parameters, with its reason. Limits of bodies and queues are those of
//! [`engram_http`].

use std::time::Duration;

/// Longest password: argon2 takes any, but its cost in memory traffic must not be the client's choice.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// Longest display name of a device.
pub const DEVICE_NAME_BYTES_MAX: usize = 1024;

/// Largest filter that is stored.
pub const FILTER_BYTES_MAX: usize = 64 * 1024;

/// Largest content of one account data event.
pub const ACCOUNT_DATA_BYTES_MAX: usize = 1024 * 1024;

/// How many nonces of shared-secret registration are remembered.
pub const REGISTER_NONCES_MAX: usize = 1_000;

/// How long such a nonce is good.
pub const REGISTER_NONCE_AGE_MAX: Duration = Duration::from_secs(60);

/// Longest time that somebody may be said to type without saying so again.
pub const TYPING_TIMEOUT_MAX: Duration = Duration::from_secs(120);

/// Longest status message of a presence: it is sent to everybody who shares a room.
pub const STATUS_MESSAGE_BYTES_MAX: usize = 1024;

/// Users who may be invited, and state events that may be given, when a room is created. Each is an event of its own,
/// made, signed and judged while the request runs.
pub const ROOM_INVITES_MAX: usize = 1_000;
/// See [`ROOM_INVITES_MAX`].
pub const ROOM_INITIAL_STATE_MAX: usize = 1_000;

/// Rooms on one page of the directory, and as many as are shown to clients that do not say how many they want.
pub const PUBLIC_ROOMS_MAX: usize = 100;

/// How long `/events` sleeps if the request does not say: as long as old clients, which never said, expect.
pub const EVENTS_TIMEOUT_DEFAULT_MS: u64 = 20_000;
