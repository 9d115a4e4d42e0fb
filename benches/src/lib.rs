//! Benchmarks, and a load generator that can drive any homeserver.
//!
//! [`http`] is the client, [`engine`] drives many connections from one thread, [`target`] makes accounts and rooms;
//! each scenario has a module of its own. `src/main.rs` is the command line.

pub mod accounts;
pub mod baseline;
pub mod beside;
pub mod deliver;
pub mod engine;
pub mod error;
pub mod http;
pub mod log;
pub mod mix;
pub mod replay;
pub mod send;
pub mod start;
pub mod stats;
pub mod target;

pub use error::{Error, Result};
