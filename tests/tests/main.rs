//! End-to-end tests: one process of the server and clients of all kinds, from the outside.
//!
//! One binary, so that the programs under test and the client libraries are prepared once.

mod clients;
mod conversation;
mod crash;
mod erasure;
mod faults;
mod layers;
mod operation;
mod tidy;
mod views;
