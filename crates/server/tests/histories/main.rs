//! Views are a function of the log: random histories of real records, through the projectors of the server.
//!
//! `ENGRAM_HISTORIES`, `ENGRAM_DAMAGES`, `ENGRAM_POWER_CUTS` and `ENGRAM_SNAPSHOT_READS` ask for long runs;
//! `ENGRAM_SEED` is where the seeds begin. A failure names its seed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod damage;
mod generate;
mod golden;
mod power;
mod rebuild;
mod snapshots;
mod support;
