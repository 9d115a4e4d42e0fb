//! engram-sync.
