//! engram-benches.
