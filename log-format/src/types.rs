//! The small value types that the format, the log and every view share.

use std::fmt;

/// The position of a record in the one total order of a node.
///
/// Offsets are handed out in increasing order over both lanes and never twice. They may be sparse:
/// after an unclean stop the log goes on at the end of the lease. Zero is never a record: it stands
/// for "before the first record", so a cursor of zero has seen nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Offset(pub u64);

impl Offset {
    /// Before the first record.
    pub const ZERO: Self = Self(0);
    /// The first offset that a new log hands out.
    pub const FIRST: Self = Self(1);

    /// The offset after this one.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// Big-endian bytes: the key encoding in every view table, so that byte order is log order.
    pub const fn to_be_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// The inverse of [`Offset::to_be_bytes`].
    pub const fn from_be_bytes(bytes: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(bytes))
    }
}

impl fmt::Debug for Offset {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "@{}", self.0)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

/// Milliseconds since the Unix epoch. In the log it never decreases from one record to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TimestampMs(pub u64);

/// Which of the two lanes a record is written to. Both share one offset order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Durable and kept: acknowledged only after it is on stable storage.
    Journal,
    /// Written without waiting for a sync, kept for a bounded time: typing, presence.
    Ephemeral,
}

/// What a record is. Kinds below [`Kind::FIRST_INPUT`] belong to the log itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(pub u16);

impl Kind {
    /// The first kind that is an input of the server and not the log's own bookkeeping.
    pub const FIRST_INPUT: u16 = 16;

    /// The one of the log's own that concerns others: payloads were given up.
    pub const ERASED: Self = Self(5);
}

/// How long a record's payload has to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Retention {
    /// For ever: room history, accounts.
    Keep,
    /// Erasable once delivered and a grace period has passed: to-device messages.
    UntilDelivered,
    /// Erasable once the account is closed and its owner has asked for erasure: what a user has told the server of
    /// themselves.
    WithAccount,
    /// Dropped by age with its segment: everything on the ephemeral lane.
    ByAge,
}
