//! engram-tests.
