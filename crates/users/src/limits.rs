//! Named limits, each with its reason.

/// A whole profile stays below 64 KiB (specification, profiles).
pub const PROFILE_BYTES_MAX: usize = 64 * 1024;

/// Longest password in bytes: argon2 reads all of it, so an unbounded one is a way to burn CPU.
pub const PASSWORD_BYTES_MAX: usize = 4096;

/// Longest device display name in bytes; longer ones are refused.
pub const DISPLAY_NAME_BYTES_MAX: usize = 1024;

/// One-time keys that a device may have at the server: clients keep about 50 to 100 there.
pub const ONE_TIME_KEYS_MAX: u64 = 2_000;

/// Contents of one to-device request, counted once for each device that gets them: well below what a record holds, and
/// what one request may make the server copy.
pub const TO_DEVICE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Largest device keys: a few keys and a signature or two. They are read out to everybody who asks for them.
pub const DEVICE_KEYS_BYTES_MAX: usize = 16 * 1024;

/// Largest one-time or fallback key.
pub const KEY_BYTES_MAX: usize = 4 * 1024;

/// How deep JSON that is stored for others may be nested: as deep as that of requests. Objects of the specification
/// need less than ten.
pub const JSON_DEPTH_MAX: usize = 100;

/// One-time keys that nobody can use, of an old log, which one claim passes over: the next claim goes on behind them.
pub const UNUSABLE_KEYS_MAX: usize = 8;

/// Largest content of one account data event, also where it grows tag by tag and rule by rule.
pub const ACCOUNT_DATA_BYTES_MAX: usize = 1024 * 1024;

/// Longest registration token (specification, token-authenticated registration).
pub const REGISTRATION_TOKEN_BYTES_MAX: usize = 64;
