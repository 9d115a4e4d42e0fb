//! The eraser: takes out of the log what has had its day.
//!
//! Three things go, each after a grace period of its own: the content of redacted events, whose redacted form takes
//! its place; messages to devices that all receivers have; and what users have told the server of themselves, once
//! they have closed the account and asked for erasure. What is due is known to the views of rooms and users, from the
//! log alone ([`engram_views::DueList`]); [`eraser`] runs the effect that acts on it: `ripe` chooses what goes now,
//! `carrier` has the log give it up, `later` remembers what it could not. [`replacement`] says what becomes of which
//! payload; and [`projector`] keeps what the log has been asked to give up, so that what a crash or an old copy of a
//! segment has brought back goes again.
//!
//! Invariant: an erasure changes no row of any view but the lists of what is due. Rebuilt over the erased log, a view
//! is what it is live.

mod carrier;
mod effect;
pub mod eraser;
mod later;
mod limits;
pub mod projector;
pub mod replacement;
mod ripe;
#[cfg(test)]
mod tests;

pub use eraser::{Eraser, Grace, Parts, Waiting};
pub use projector::ErasuresProjector;
