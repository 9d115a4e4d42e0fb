//! Receipts, typing, presence: what is said about a room without being part of its history.
//!
//! Receipts are journal records with a persistent view ([`projector::EphemeralProjector`], [`query`]). Typing and
//! presence travel on the ephemeral lane and live in memory ([`live::Live`]), with what the lane still has from before
//! the start.
//! [`writer::Ephemeral`] is the writer of all three, and the one who decides what time alone changes.

pub mod delta;
pub mod limits;
pub mod live;
pub mod projector;
pub mod query;
pub mod tables;
#[cfg(test)]
mod tests;
pub mod writer;

pub use delta::EphemeralDelta;
pub use engram_views::WriteError;
pub use live::{Attending, Availability, Live, LiveObserver, Presence};
pub use projector::EphemeralProjector;
pub use writer::{Ephemeral, MarkError, Marks, NewReceipt};
