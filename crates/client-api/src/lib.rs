//! The client-server API over HTTP: thin. Parse, authenticate, call a writer or a reader, render.
//!
//! Where to begin: [`routes`] lists every endpoint, one line each. To add one: write a file with its handler (spec
//! section on top, guard clauses, decide, append, answer) and add its line there. A handler's building blocks are
//! [`auth::Authed`], [`path::Path`], [`path::Query`], [`json::Body`], [`json::Json`] and [`error::ApiError`].
//!
//! **Invariant:** nothing in here writes to the log or reads a table by itself: that is what the writers and readers
//! below are for. No handler blocks a thread of the runtime: see [`blocking`].

pub mod accounts;
pub mod app;
pub mod auth;
pub mod blocking;
pub mod error;
pub mod http;
pub mod json;
pub mod limits;
pub mod path;
pub mod register_admin;
mod rooms;
pub mod routes;
mod sync;
pub mod uia;

mod account;
mod account_data;
mod activity;
mod capabilities;
mod convert;
mod cross_signing;
mod devices;
mod elsewhere;
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
mod tags;
mod to_device;
mod typing;
mod versions;
mod well_known;

pub use app::{App, Config};
pub use auth::ClientAddress;
pub use http::ClientApi;
pub use sync::SyncEffects;
