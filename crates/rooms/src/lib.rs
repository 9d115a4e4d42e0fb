//! The room server: event graph, forward extremities, state snapshots, history visibility, and the
//! writers that make new events.
//!
//! Three parts, one direction: [`writer`] decides and appends PDUs to the log; [`projector`] turns them into
//! the tables of [`tables`]; [`query`] reads those, for the writers themselves, for /sync and for the HTTP surfaces.

mod codec;
mod counters;
pub mod delta;
mod extremities;
pub mod limits;
pub mod projector;
pub mod query;
mod recent;
mod rows;
pub mod state;
pub mod tables;
#[cfg(test)]
mod tests;
pub mod types;
pub mod verdicts;
pub mod writer;

pub use delta::{MemberChange, RoomDelta};
pub use projector::RoomsProjector;
pub use types::{Membership, RoomNumber};
