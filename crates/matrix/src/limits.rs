//! Named limits of the protocol, with where each comes from.

/// Largest event in federation format, signatures included, in bytes of canonical JSON (size limits of the
/// client-server API).
pub const PDU_BYTES_MAX: usize = 65_536;

/// Largest user, room and event identifier, alias, event type and state key, in bytes (size limits of the client-server
/// API).
pub const ID_BYTES_MAX: usize = 255;

/// Most `prev_events` of an event (server-server API, PDU format).
pub const PREV_EVENTS_MAX: usize = 20;

/// Most `auth_events` of an event (server-server API, PDU format).
pub const AUTH_EVENTS_MAX: usize = 10;

/// Largest integer of canonical JSON, 2^53 - 1 (appendices, canonical JSON).
pub const INTEGER_MAX: i64 = (1 << 53) - 1;

/// Largest depth before room version 6, 2^63 - 1, from when integers were not limited to canonical JSON's.
pub const DEPTH_MAX_BEFORE_V6: u64 = i64::MAX as u64;

/// Largest depth from room version 6 on, 2^53 - 1.
pub const DEPTH_MAX: u64 = INTEGER_MAX as u64;

/// Longest `Authorization` header of a request between servers that is read. Two server names, a key ID and a signature
/// take less than 1,000 bytes; the rest is room for parameters of the future.
pub const X_MATRIX_BYTES_MAX: usize = 4096;
