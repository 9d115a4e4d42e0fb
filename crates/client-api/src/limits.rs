//! Every limit of the client API, with its reason.

use std::time::Duration;

/// Largest request body. Bulk to-device sends and key uploads of users with hundreds of devices stay well below.
pub const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Largest body of a request that is read before anybody is authenticated: login, registration.
pub const BODY_BYTES_MAX_ANONYMOUS: usize = 64 * 1024;

/// How much of a body that is too large is read and thrown away, so that its sender gets to see the refusal.
pub const BODY_BYTES_DISCARDED: usize = 16 * 1024 * 1024;

/// How deep JSON may be nested. The specification's objects need less than ten; state contents of bridges some more.
pub const JSON_DEPTH_MAX: usize = 100;

/// Longest password: argon2 takes any, but its cost in memory traffic must not be the client's choice.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// Longest display name of a device.
pub const DEVICE_NAME_BYTES_MAX: usize = 1024;

/// Largest value of a profile field: a profile as a whole may have 64 KiB.
pub const PROFILE_VALUE_BYTES_MAX: usize = 32 * 1024;

/// Largest filter that is stored.
pub const FILTER_BYTES_MAX: usize = 64 * 1024;

/// Largest content of one account data event.
pub const ACCOUNT_DATA_BYTES_MAX: usize = 1024 * 1024;

/// How many user-interactive sessions are remembered: beyond it the oldest are forgotten.
pub const UIA_SESSIONS_MAX: usize = 4096;

/// How many bytes of remembered request bodies one user-interactive session may hold.
pub const UIA_BODY_BYTES_MAX: usize = 8 * 1024;

/// How long a user-interactive session may take.
pub const UIA_SESSION_AGE_MAX: Duration = Duration::from_secs(30 * 60);

/// How many attempts one user-interactive session allows: a guard against guessing passwords and tokens in it.
pub const UIA_ATTEMPTS_MAX: u32 = 20;

/// How many nonces of shared-secret registration are remembered.
pub const REGISTER_NONCES_MAX: usize = 1_000;

/// How long such a nonce is good.
pub const REGISTER_NONCE_AGE_MAX: Duration = Duration::from_secs(60);

/// Longest time that somebody may be said to type without saying so again.
pub const TYPING_TIMEOUT_MAX: Duration = Duration::from_secs(120);

/// How many requests may hash a password at once, per core: each takes tens of MiB and a core.
pub const PASSWORD_HASHES_PER_CORE: usize = 2;

/// How many requests may wait for that, per core: about ten seconds' worth. The rest is told to come back.
pub const PASSWORD_HASHES_WAITING_PER_CORE: usize = 128;

/// When they may come back.
pub const PASSWORD_RETRY_MS: u64 = 5_000;

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

/// Writers that may block a thread at once: far fewer than the runtime has threads to block (512), so that readers always
/// find one, and more than a disk can make use of.
pub const WRITERS_BLOCKED_MAX: usize = 128;

/// Writers that may wait for that, each holding a request in memory.
pub const WRITERS_WAITING_MAX: usize = 1_024;

/// When those may come back who were not admitted, or not confirmed.
pub const WRITERS_RETRY_MS: u64 = 2_000;

/// When those may come back who found the disk full: somebody has to free space.
pub const DISK_FULL_RETRY_MS: u64 = 30_000;

/// How long a request waits until its record is durable and applied. A disk may take that long for one sync, and few
/// clients and proxies wait longer.
pub const CONFIRMATION_MAX: Duration = Duration::from_secs(30);

/// How often a request that waits looks whether the disk is full.
pub const CONFIRMATION_LOOK: Duration = Duration::from_millis(500);

/// How long a client may take to send the body of a request. What is slower than 4 MiB in a minute is no client.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(60);
