//! The one runner of what acts on the world outside the views: the eraser, and whatever sends something to somebody.
//!
//! A projector lists what is due, for whom, and by which record it came to be ([`Outbox`], or tables of its own):
//! rows without times, so that a replay makes the same list and does nothing. An [`Effect`] reads off that list what
//! comes next for a target. The [`Desk`] decides, from the list, the clock and what it remembers of each target, what
//! is to be done now and when to look again: data in, data out, so that a test can play any history against it. The
//! [`Runner`] carries out what it says, on a thread, and records what was done: that record is what strikes the
//! entries off.
//!
//! **Invariants.**
//! - Nothing is lost: an entry leaves the list by a record, and the record is written after the work is done.
//! - Nothing is done twice under two names: what is sent together is decided by the log alone ([`Outbox::parcel`]),
//!   so whoever is killed between the work and its record does the same again, under the same transaction ID.
//! - A target has one parcel under way; its entries go in the order of the log. No target waits for another: those
//!   that have failed share a part of the slots, and nobody waits for their turn.
//! - Memory is bounded by `limits`, however long the list is.
//!
//! Where to begin: [`effect`] for what an effect is, [`outbox`] for the list, [`desk`] for the decision, [`runner`]
//! for the thread.

pub mod backoff;
pub mod desk;
pub mod effect;
pub mod limits;
pub mod outbox;
pub mod runner;
pub mod signals;
#[cfg(test)]
mod tests;

pub use backoff::Backoff;
pub use desk::{Desk, Job, Outcome, Plan, Slots};
pub use effect::{Effect, Next};
pub use outbox::{Entry, Outbox, Parcel, Target};
pub use runner::{Carrier, Parts, Report, Runner};
pub use signals::Signals;
