//! The projector runtime: pure functions over the log, and the tables that they keep.
//!
//! Everything in here can be thrown away and rebuilt, byte for byte, from the log.

pub mod error;
pub mod projector;
pub mod read;
pub mod table;
#[cfg(feature = "testing")]
pub mod testing;
pub mod views;

pub use error::{ProjectError, Stopped, ViewError};
pub use projector::{Apply, Observer, Projector};
pub use read::{Read, ReadExt, Value};
pub use table::{Table, Tuning};
pub use views::{Options, Snapshot, Views, WaitApplied};
