//! Named points in the program at which a test can kill the process, hold it up, or let a call fail.
//!
//! Without the feature `enabled`, which only the tests turn on, [`pass`] and [`reached`] are empty and whatever
//! [`VARIABLE`] says is ignored. With it the variable is read once, when the process starts ([`arm`]):
//!
//! ```text
//! ENGRAM_FAILPOINTS="log.frame.synced=kill@37;log.segment.create=error(ENOSPC)@2+"
//!                    point            action pass
//! ```
//!
//! - `kill`: the process sends itself SIGKILL, and says so on standard error.
//! - `sleep(MS)`: the thread that passes sleeps.
//! - `panic`: the thread that passes panics.
//! - `error(EIO)`, `error(ENOSPC)`, `error(EDQUOT)`, `error(EFBIG)`: the call fails.
//! - `@N`: at the N-th pass; `@N+`: at that one and every later one; without either: every time.
//!
//! Where to begin: [`Point`] lists the points in the order in which a server meets them.

mod plan;

use std::io;

pub use plan::PlanError;

/// The variable of the environment that says what happens at which point.
pub const VARIABLE: &str = "ENGRAM_FAILPOINTS";

macro_rules! points {
    ($($(#[$doc:meta])* $point:ident = $name:literal,)*) => {
        /// A point of the program.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(usize)]
        pub enum Point {
            $($(#[$doc])* $point,)*
        }

        impl Point {
            /// Every point.
            pub const ALL: &[Self] = &[$(Self::$point,)*];

            /// Its name, as the variable has it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$point => $name,)*
                }
            }
        }
    };
}

points! {
    /// The log is opened, and the directory is locked.
    RecoveryLocked = "log.recovery.locked",
    /// Everything that is there has been read.
    RecoveryScanned = "log.recovery.scanned",
    /// A segment that was never finished has been removed.
    RecoveryLeftoverRemoved = "log.recovery.leftover-removed",
    /// The newest segment has been synced, and is about to be sealed.
    RecoverySynced = "log.recovery.synced",
    /// What a former process left is sealed; nothing new is written yet.
    RecoverySealed = "log.recovery.sealed",
    /// The first records of this process are on stable storage.
    RecoveryDone = "log.recovery.done",

    /// A file for a new segment is about to be created. Fails as the creation does.
    SegmentCreate = "log.segment.create",
    /// The file is there.
    SegmentCreated = "log.segment.created",
    /// Its space is allocated.
    SegmentAllocated = "log.segment.allocated",
    /// Its header is written and not synced.
    SegmentHeaderWritten = "log.segment.header-written",
    /// Its header is synced; it has no name yet.
    SegmentHeaderSynced = "log.segment.header-synced",
    /// It has its name; the directory is not synced.
    SegmentNamed = "log.segment.named",
    /// The directory is synced.
    SegmentBegun = "log.segment.begun",

    /// A frame is about to be written.
    FrameWrite = "log.frame.write",
    /// It is written and not synced.
    FrameWritten = "log.frame.written",
    /// It is about to be synced; a sleep here is a disk that stands still.
    FrameSync = "log.frame.sync",
    /// It is synced and not published.
    FrameSynced = "log.frame.synced",
    /// A lease of offsets is on stable storage and not in use yet.
    LeaseSynced = "log.lease.synced",
    /// Followers know of the frame.
    FramePublished = "log.frame.published",

    /// A segment's index and footer are about to be written.
    SealBegin = "log.seal.begin",
    /// They are written; the file has its old length.
    SealFooterWritten = "log.seal.footer-written",
    /// The file is cut and not synced.
    SealCut = "log.seal.cut",
    /// The segment is sealed; the next one is not begun.
    Sealed = "log.seal.synced",

    /// The reserve's file is there, without its space.
    ReserveCreated = "log.reserve.created",
    /// The reserve is held.
    ReserveTaken = "log.reserve.taken",
    /// The disk is full and the reserve was given up.
    ReserveGivenUp = "log.reserve.given-up",

    /// The views' store is open; it is not decided yet what of it can be used.
    ViewsOpened = "views.opened",
    /// Generations that replace others are about to become the current ones.
    ViewsSwitch = "views.switch",
    /// They are; what they replaced is still there.
    ViewsSwitched = "views.switched",
    /// A batch of a replay was applied.
    ViewsReplayed = "views.replayed",
    /// A batch was applied in memory and is about to be committed.
    ViewsCommit = "views.commit",
    /// It is committed and not published.
    ViewsCommitted = "views.committed",
    /// Readers see it; nobody was told.
    ViewsPublished = "views.published",
    /// Observers know; those who wait for their answer do not.
    ViewsObserved = "views.observed",
    /// A checkpoint's rows are committed and not synced.
    ViewsCheckpoint = "views.checkpoint",
    /// They are synced.
    ViewsCheckpointed = "views.checkpointed",

    /// The new signing key is synced and has no name yet.
    KeyWritten = "server.key.written",
    /// A response is ready and not sent.
    ResponseReady = "server.response.ready",
    /// A signal came: nothing is accepted any more.
    StopDrained = "server.stop.drained",
    /// The views are synced; nothing says so yet.
    StopViewsSynced = "views.close.synced",
    /// The views are closed, the log is not.
    StopViewsClosed = "server.stop.views-closed",
    /// The log's ephemeral lane is sealed.
    StopEphemeralSealed = "log.close.ephemeral-sealed",
    /// The record that the log was closed is on stable storage.
    StopRecorded = "log.close.recorded",
    /// The log is sealed.
    StopSealed = "log.close.sealed",
}

/// Reads [`VARIABLE`]'s value. Called once, before anything else; a second call changes nothing.
///
/// Without the feature there is nothing to arm: a plan is an error, so that no test believes in faults that cannot
/// happen.
pub fn arm(plan: &str) -> Result<(), PlanError> {
    plan::arm(plan)
}

/// Passes a point where something can fail.
#[cfg(feature = "enabled")]
pub fn pass(point: Point) -> io::Result<()> {
    plan::pass(point)
}

/// Passes a point where something can fail.
#[cfg(not(feature = "enabled"))]
#[inline]
pub fn pass(_point: Point) -> io::Result<()> {
    Ok(())
}

/// Passes a point where nothing can fail.
#[inline]
pub fn reached(point: Point) {
    pass(point).expect("a point that only kills, sleeps or panics: see the plan");
}
