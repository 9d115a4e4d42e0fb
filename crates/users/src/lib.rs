//! engram-users.
