//! What the end-to-end tests share: a server process, users who talk to it, and other programs as clients.
//!
//! The tests themselves are in `tests/`; scripts that drive client libraries in other languages in `clients/`.
//!
//! `ENGRAM_TEST_URL` points the conversation and client tests at a homeserver that runs already: a way to test the
//! tests. It needs open registration and no rate limits.

pub mod binaries;
pub mod reply;
pub mod scripts;
pub mod server;
pub mod user;
pub mod wait;

pub use reply::Reply;
pub use server::Server;
pub use user::User;
pub use wait::{DEADLINE, eventually};

use std::sync::atomic::{AtomicU32, Ordering};

/// A localpart that nobody has yet, also on a server that outlives this run.
pub fn fresh(name: &str) -> String {
    format!("{name}-{}-{}", std::process::id(), unique())
}

/// A number that this run has not used yet, for names that must not collide.
pub fn unique() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
