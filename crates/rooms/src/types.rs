//! Small types that the whole crate shares.

pub use engram_matrix::membership::Membership;

/// A room's internal number, in the order in which rooms came to be known. Big-endian in keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomNumber(pub u32);
