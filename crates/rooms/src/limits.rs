//! Named limits of the room server: what bounds its memory, and its work for one event.
//!
//! Those on memory never change a result. Those on work are part of what the projector decides: to change one is a new
//! version of the view.

/// Bytes that the projector remembers of its tables and of parsed events, over all rooms; heads of rooms and what they say
/// about power come on top, see [`ROOM_MEMOS_MAX`]. What is remembered is weighed roughly.
pub const MEMO_BYTES_MAX: usize = 96 << 20;
/// Rooms whose heads the projector remembers; each weighs a kilobyte or a few.
pub const ROOM_MEMOS_MAX: usize = 4096;
