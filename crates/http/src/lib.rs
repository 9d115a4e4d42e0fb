//! What all surfaces of HTTP share: one registry of operations, and everything that happens to a request before and
//! after its handler.
//!
//! An API crate contributes a list of [`Operation`]s, a line each: what it is called, where it is found, who may call
//! it, how large its body may be, and where it runs. [`Front`] does the rest in the same order for each of them: match,
//! refuse other methods, answer OPTIONS, authenticate, admit, read the body within its bound, and hand a
//! [`handler::Call`] to the handler, on threads of the [`registry::Place`] that the line names. So a handler can forget
//! none of that, and what is called by everybody cannot be blocked by what takes long.
//!
//! Where to begin: [`registry`] for the lines, [`front`] for the order, [`threads`] for the places. A handler's
//! building blocks are [`Authed`], [`path::Path`], [`path::Query`], [`json::Body`], [`json::Json`] and [`ApiError`].
//!
//! **Invariant:** no handler runs that the line of its operation does not allow the caller to run. No thread of the
//! main runtime parses a body, reads a view or waits for a disk.

pub mod admission;
pub mod auth;
mod body;
mod convert;
pub mod elsewhere;
pub mod error;
pub mod front;
pub mod handler;
pub mod json;
pub mod limits;
mod panics;
pub mod path;
pub mod readable;
pub mod registry;
mod routes;
pub mod table;
pub mod threads;
pub mod uia;
pub mod writers;

pub use auth::{AccessToken, Authed, ClientAddress};
pub use error::{ApiError, ApiResult};
pub use front::Front;
pub use handler::State;
pub use registry::{Operation, Spec};
