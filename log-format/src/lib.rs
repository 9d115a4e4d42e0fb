//! The on-disk format of the Engram log: what every byte means, and nothing else.
//!
//! This crate does no I/O. It turns values into bytes and bytes into values, checks digests and
//! chains, and says exactly what is wrong with bytes that do not verify. `FORMAT.md` beside this
//! crate is the specification; the code follows it, and golden vectors hold both together.
//!
//! Where to begin: `record` for the header that frames every payload, `segment` for the file
//! around the records, `frame` for what one commit wrote, [`input`] for what a payload means, [`v1`] for the frozen
//! payload types.

mod bytes;
pub mod frame;
pub mod input;
pub mod record;
#[cfg(any(test, feature = "testing"))]
pub mod sample;
pub mod segment;
pub mod types;
pub mod v1;

pub use input::{DecodeError, Input, InputRef};
pub use types::{Kind, Lane, Offset, Retention, TimestampMs};
