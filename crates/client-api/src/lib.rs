//! The client-server API over HTTP: thin. Parse, authenticate, call a writer or a reader, render.
//!
//! Where to begin: [`operations`] lists every operation, a line each. To add one: write a file with its handler (spec
//! section on top, guard clauses, decide, append, answer) and add its line there. What happens to a request before that
//! and after, and what a handler is built of, is in [`engram_http`].
//!
//! **Invariant:** nothing in here writes to the log or reads a table by itself: that is what the writers and readers
//! below are for.

pub mod accounts;
pub mod activity;
pub mod app;
mod closing;
pub mod limits;
pub mod nonces;
pub mod operations;
mod rooms;
mod sync;

mod account;
mod account_data;
mod capabilities;
mod cross_signing;
mod devices;
mod filter;
mod keys;
mod login;
mod logout;
mod membership;
mod presence;
mod profile;
mod push_rules;
mod receipts;
mod register;
mod register_admin;
mod tags;
mod to_device;
mod typing;
mod versions;
mod well_known;

pub use app::{App, Config};
pub use closing::finish_closing;
pub use operations::operations;
pub use sync::SyncEffects;
