//! engram-client-api.
