//! The projector runtime: pure functions over the log, and the tables that they keep.
//!
//! Everything in here can be thrown away and rebuilt, byte for byte, from the log.
//!
//! Where to begin: [`projector`] for what a projector is, [`read`] for how views are read, [`views`]
//! for the life of all views of a server. Inside: `store` (the database), `open` (what can be trusted),
//! `engine` (records in, batches out), `replay` and `pipeline` (the engine's two drivers).

mod decider;
pub mod delta;
pub mod digest;
pub mod due;
mod engine;
pub mod error;
mod files;
mod former;
mod key;
mod layout;
pub mod list;
mod memory;
#[cfg(all(test, shuttle))]
mod model;
mod open;
mod overlay;
mod pipeline;
pub mod projector;
pub mod read;
pub mod rebuild;
mod replay;
mod scan;
mod snapshot;
mod store;
pub mod stored;
mod sync;
pub mod table;
#[cfg(feature = "testing")]
pub mod testing;
mod view;
pub mod views;
mod waiters;

pub use decider::{Decider, Decision, Unapplied};
pub use delta::Batch;
pub use digest::{TableDigest, ViewDigest};
pub use due::{Due, DueList};
pub use error::{ProjectError, Stopped, ViewError, WriteError};
pub use former::Rows as FormerRows;
pub use list::{TableInfo, ViewInfo, list};
pub use memory::Memory;
pub use projector::{AnyProjector, Apply, Observer, Projector};
pub use read::{Read, ReadExt, Value, Visit};
pub use replay::{Progress, Until};
pub use table::Table;
pub use views::{Options, Snapshot, Views, WaitApplied};
