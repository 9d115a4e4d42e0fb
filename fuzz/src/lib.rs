//! What reads bytes that others have written, and what must hold whatever they are.
//!
//! A [`Target`] is a function of bytes that panics if something does not hold. Two drivers feed it: the test `short`
//! replays the corpus and mutates it a little, on every run of the test suite; `fuzz/run` mutates for as long as one
//! likes, guided by coverage. `README.md` beside this crate says how a finding becomes part of the corpus.
//!
//! Checksums stop random bytes at the door. So whatever carries them is tried twice: as it is, and with every digest
//! set right ([`reseal`]), as somebody would who wants to do harm.

pub mod corpus;
pub mod mutate;
pub mod reseal;
pub mod seeds;
mod targets;

/// Something that reads bytes.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, and that of its directory in the corpus.
    pub name: &'static str,
    /// Reads the bytes, and panics if something does not hold that should.
    pub run: fn(&[u8]),
    /// Inputs from golden files and real events, to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// The longest input worth trying.
    pub bytes_max: usize,
    /// Mutations in the test suite: about as many as fit into half a second of an unoptimised build.
    pub short_runs: u64,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target {
        name: "segment",
        run: targets::format::segment,
        seeds: seeds::segments,
        bytes_max: 8192,
        short_runs: 6000,
    },
    Target { name: "frame", run: targets::format::frame, seeds: seeds::frames, bytes_max: 4096, short_runs: 6000 },
    Target { name: "record", run: targets::format::record, seeds: seeds::records, bytes_max: 2048, short_runs: 10_000 },
    Target {
        name: "payload",
        run: targets::format::payload,
        seeds: seeds::payloads,
        bytes_max: 2048,
        short_runs: 10_000,
    },
    Target { name: "log", run: targets::log::log, seeds: seeds::logs, bytes_max: 16_384, short_runs: 150 },
    Target {
        name: "canonical",
        run: targets::json::canonical,
        seeds: seeds::events,
        bytes_max: 4096,
        short_runs: 3000,
    },
    Target { name: "pdu", run: targets::json::pdu, seeds: seeds::pdus, bytes_max: 4096, short_runs: 1500 },
    Target { name: "rooms", run: targets::rooms::rooms, seeds: seeds::rooms, bytes_max: 16_384, short_runs: 12 },
    Target {
        name: "x-matrix",
        run: targets::text::x_matrix,
        seeds: seeds::x_matrix,
        bytes_max: 1024,
        short_runs: 10_000,
    },
    Target { name: "config", run: targets::text::config, seeds: seeds::config, bytes_max: 2048, short_runs: 2000 },
    Target { name: "client", run: targets::text::client, seeds: seeds::client, bytes_max: 2048, short_runs: 3000 },
];

/// The target of a name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
