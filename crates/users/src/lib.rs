//! Accounts, devices, access tokens, profiles, account data, filters, end-to-end encryption keys and
//! to-device messages: everything that belongs to a user and not to a room.
//!
//! Three parts, as everywhere in Engram: [`writer::Users`] decides what a request means and appends it;
//! [`projector::UsersProjector`] turns records into [`tables`]; the functions of [`query`] read them.
//! Where to begin: [`tables`] for what is kept, [`writer::Users`] for what can be done.

pub mod delta;
mod json;
pub mod limits;
pub mod localpart;
pub mod password;
pub mod projector;
pub mod query;
mod row;
pub mod sessions;
mod strict;
pub mod tables;
pub mod token;
pub mod writer;

pub use delta::UserDelta;
pub use engram_base::{Clock, Random};
pub use engram_views::WriteError;
pub use json::RawJson;
pub use password::{HashedPassword, PasswordCost};
pub use projector::UsersProjector;
pub use query::Session;
pub use strict::Unsound;
pub use token::TokenDigest;
pub use writer::Users;
