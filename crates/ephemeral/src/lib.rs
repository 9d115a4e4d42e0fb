//! engram-ephemeral.
