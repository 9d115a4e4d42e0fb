//! Rooms that are made to be expensive.
