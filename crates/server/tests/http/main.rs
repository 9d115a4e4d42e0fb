//! What the surfaces of HTTP share: who may call what, what is documented, how connections end, and user-interactive
//! authentication.

mod access;
#[path = "../common/mod.rs"]
mod common;
mod connections;
mod document;
mod endpoints;
mod uia;
