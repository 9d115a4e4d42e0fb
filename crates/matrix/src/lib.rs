//! engram-matrix.
