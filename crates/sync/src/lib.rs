//! Client Sync: the reader behind `GET /_matrix/client/v3/sync`, and the paging of room history beside it.
//!
//! A position is an offset of the log. [`hub`] knows in memory, from what the pipeline has just applied, which rooms
//! and users changed where; so an answer touches only what is new, a sleeping request is woken only by what concerns
//! its user, and nothing is written per member when an event arrives. What the memory does not know is read from one
//! snapshot of the views, so a token from before a restart works like any other. This crate knows no HTTP.
//!
//! Where to begin: [`SyncServer::sync`], then [`respond`] for what goes into an answer.

mod content;
mod event;
pub mod filter;
pub mod hub;
mod json;
pub mod legacy;
pub mod limits;
pub mod messages;
mod respond;
mod server;
pub mod token;

#[cfg(test)]
mod tests;

pub use content::devices::DeviceLists;
pub use engram_ephemeral::Availability as Presence;
pub use event::viewer;
pub use filter::Filter;
pub use server::{Effects, SyncError, SyncRequest, SyncServer};
pub use token::Token;
