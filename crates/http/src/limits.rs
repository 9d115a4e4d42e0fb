//! Every limit that the surfaces share, with its reason. Limits of one operation's own parameters stand in its API
//! crate.

use std::time::Duration;

/// Largest body of an event: an event as a whole has at most 64 KiB, so a larger one could not be sent on.
pub const EVENT_BODY_BYTES_MAX: usize = 64 * 1024;

/// Largest body of most operations: a handful of fields.
pub const SMALL_BODY_BYTES_MAX: usize = 64 * 1024;

/// Largest body of a request that is read before anybody is authenticated: login, registration.
pub const ANONYMOUS_BODY_BYTES_MAX: usize = 64 * 1024;

/// Largest body that names many things: the keys of hundreds of devices, the users of a large room, the state of a new
/// one.
pub const LARGE_BODY_BYTES_MAX: usize = 1024 * 1024;

/// Largest body of one to-device request: a message each for the devices of a large room.
pub const TO_DEVICE_BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How much of a body is read and dropped when its request is answered before it was read, so that the connection can
/// go on. What is longer costs the client a new connection, and the server nothing.
pub const BODY_BYTES_DROPPED: usize = 64 * 1024;

/// How long that may take. A client that sends nothing meanwhile loses its connection, not its answer.
pub const BODY_DROP_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a client may take to send the body of a request. What is slower than 4 MiB in a minute is no client.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// How deep JSON may be nested. The specification's objects need less than ten; state contents of bridges some more.
pub const JSON_DEPTH_MAX: usize = 100;

/// Segments that a path may leave open: no path of the specification leaves more.
pub const PATH_SEGMENTS_MAX: usize = 4;

/// How long a browser may remember what a preflight said. Nothing in it ever changes; browsers cut it to two hours or
/// one day anyhow. Without it half of a web client's requests are preflights.
pub const PREFLIGHT_SECONDS: &str = "86400";

/// Threads for readers, per core: enough to keep the disk busy while some wait for it, and few enough that what a
/// reader holds in memory is bounded.
pub const READERS_PER_CORE: usize = 4;

/// Calls that may wait for a reader, each holding a request in memory. As many again may run.
pub const READS_WAITING_MAX: usize = 2_048;

/// How much readers stand back for those who must not wait, in steps of the scheduler's niceness (at 5, a third of the
/// share): a large state can wait for a message, but not the other way round.
pub const READERS_NICENESS: i32 = 5;

/// Threads of the writers' runtime, at least: one may be reading a view that is not in memory.
pub const WRITER_THREADS_MIN: usize = 2;

/// Calls of writers that may be under way, each holding a request in memory: all connections of a server of the default
/// size, should they send at the same time.
pub const WRITES_MAX: usize = 16_384;

/// Writers that may block a thread at once: more than a disk can make use of.
pub const WRITERS_BLOCKED_MAX: usize = 128;

/// Writers that may wait for that, each holding a request in memory.
pub const WRITERS_WAITING_MAX: usize = 1_024;

/// When those may come back who were not admitted, or not confirmed.
pub const WRITERS_RETRY_MS: u64 = 2_000;

/// When those may come back who found all readers taken.
pub const READERS_RETRY_MS: u64 = 1_000;

/// When those may come back who found the disk full: somebody has to free space.
pub const DISK_FULL_RETRY_MS: u64 = 30_000;

/// How long a request waits until its record is durable and applied. A disk may take that long for one sync, and few
/// clients and proxies wait longer.
pub const CONFIRMATION_MAX: Duration = Duration::from_secs(30);

/// How often a request that waits looks whether the disk is full.
pub const CONFIRMATION_LOOK: Duration = Duration::from_millis(500);

/// How many requests may hash a password at once, per core: each takes tens of MiB and a core.
pub const PASSWORD_HASHES_PER_CORE: usize = 2;

/// How many requests may wait for that, per core: about ten seconds' worth. The rest is told to come back.
pub const PASSWORD_HASHES_WAITING_PER_CORE: usize = 128;

/// When they may come back.
pub const PASSWORD_RETRY_MS: u64 = 5_000;

/// How many user-interactive sessions are remembered: beyond it the oldest are forgotten.
pub const UIA_SESSIONS_MAX: usize = 4096;

/// How many bytes of remembered parameters one user-interactive session may hold.
pub const UIA_BODY_BYTES_MAX: usize = 8 * 1024;

/// How long a user-interactive session may take.
pub const UIA_SESSION_AGE_MAX: Duration = Duration::from_secs(30 * 60);

/// How many attempts one user-interactive session allows: a guard against guessing passwords and tokens in it.
pub const UIA_ATTEMPTS_MAX: u32 = 20;
