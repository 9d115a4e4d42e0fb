//! The server put together: configuration, wiring, listeners, shutdown. The binary `engram` is [`cli`] and nothing
//! else; `engramctl` reuses [`config`] and [`node`].
//!
//! Clock, randomness and environment enter the program here, at its root, and are handed down.

pub mod cli;
pub mod config;
mod linger;
pub mod listener;
pub mod logging;
pub mod node;
pub mod root;
pub mod scrub;
pub mod serve;
pub mod signing_key;
pub mod tls;
