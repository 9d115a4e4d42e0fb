//! Every limit of the log, with its reason.

/// Default size of a segment: small enough to rewrite or copy in a second, large enough that a
/// terabyte is a directory of some ten thousand files.
pub const SEGMENT_BYTES: u64 = 64 << 20;

/// Size of ephemeral segments: they are dropped whole, so they are kept small.
pub const EPHEMERAL_SEGMENT_BYTES: u64 = 8 << 20;

/// Smallest segment that can be configured: tests rotate often.
pub const SEGMENT_BYTES_MIN: u64 = 4 << 10;

/// Largest segment: far below the 32 GiB that an index entry can address.
pub const SEGMENT_BYTES_MAX: u64 = 4 << 30;

/// Largest payload of one record: twice the largest archive that one HTTP body can become.
pub const RECORD_BYTES_MAX: usize = 16 << 20;

/// Largest atomic append: a join of a very large room with all of its state and auth events.
pub const APPEND_BYTES_MAX: usize = 512 << 20;

/// Most records in one atomic append; half of the default lease, so that a lease always has room for one.
pub const APPEND_RECORDS_MAX: usize = 1 << 18;

/// A group commit stops collecting at this size, so that the first of its appends does not wait for
/// megabytes of others. An append that alone is larger is one frame of its own.
pub const FRAME_BYTES: usize = 4 << 20;

/// Default bound of what waits for the disk: about a second of writing.
pub const QUEUE_BYTES: usize = 64 << 20;

/// Default bound of the newest records that are kept in memory for followers and readers.
pub const TAIL_BYTES: usize = 32 << 20;

/// Default number of offsets in a lease. It is renewed when half is used.
pub const LEASE_STEP: u64 = 1 << 20;

/// Zeros are written this far ahead of the frames, so that a commit finds its blocks written and
/// its sync has no metadata to write; see `FORMAT.md`.
pub const ZERO_AHEAD_BYTES: u64 = 256 << 10;

/// Default age at which ephemeral segments are dropped: a client that was away for longer learns
/// nothing from who was typing then.
pub const EPHEMERAL_RETENTION_MS: u64 = 60 * 60 * 1000;

/// Sealed segments whose file and index are kept open; well below the usual limit of 1024 descriptors.
pub const SEGMENTS_OPEN_MAX: usize = 64;

/// Bytes that a follower reads from a segment at once.
pub const READ_AHEAD_BYTES: usize = 1 << 20;

/// How often a full disk is tried again.
pub const DISK_FULL_RETRY_MS: u64 = 500;

/// Space that is kept for a full disk: enough for one more segment.
pub const RESERVE_BYTES: u64 = SEGMENT_BYTES;

/// Most payloads that one call erases: the record that names them stays below 4 MiB.
pub const ERASURES_MAX: usize = 1 << 16;

/// Most bytes of replacements that wait in memory to be written.
pub const ERASURE_BYTES_MAX: usize = 64 << 20;

/// Default rate at which segments are rewritten: a segment in two seconds, and most of the disk left to commits.
pub const ERASE_BYTES_PER_SECOND: u64 = 32 << 20;

/// Erased records that a verification keeps in mind at once, some 100 MiB of them. Of more the journal is read again.
pub const ERASURES_VERIFIED_MAX: usize = 1 << 20;
