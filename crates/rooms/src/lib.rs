//! engram-rooms.
