//! What crates of every layer need and none of them should define for itself: the shapes of clock and random source,
//! the limits of identifiers, how keys and rows are put together, and in which order decisions are taken.
//!
//! Nothing here does I/O, reads a clock, or knows what Matrix is. Where to begin: [`parts`] for bytes, [`turns`] for
//! order.

mod block_on;
pub mod limits;
#[cfg(all(test, shuttle))]
mod model;
pub mod parts;
mod root;
mod sync;
pub mod turns;
pub mod varint;

pub use block_on::block_on;
pub use limits::is_identifier;
pub use parts::{Key, Parts};
pub use root::{Clock, Random};
