//! Named limits of the room server: what bounds its memory, and its work for one event.
//!
//! Those on memory never change a result. Those on work are part of what the projector decides: to change one is a new
//! version of the view.

/// Bytes that the projector remembers of its tables and of parsed events, over all rooms; heads of rooms and what they say
/// about power come on top, see [`ROOM_MEMOS_MAX`]. What is remembered is weighed roughly.
pub const MEMO_BYTES_MAX: usize = 96 << 20;
/// Bytes of state nodes that readers remember together: those of some hundred thousand changes.
pub const READER_NODES_BYTES_MAX: usize = 64 << 20;
/// Rooms whose heads the projector remembers; each weighs a kilobyte or a few.
pub const ROOM_MEMOS_MAX: usize = 4096;

/// Forward extremities that a room keeps. With more, those of the least depth are forgotten: they stay in the timeline, but no event
/// will follow them. With every event all of them are written.
pub const EXTREMITIES_MAX: usize = 200;
/// Forward extremities from which on this server joins them with an event of its own, where one of its users may send one.
pub const EXTREMITIES_CROWDED: usize = 10;
/// Local members whom the writer tries for that, in the order of their IDs.
pub const JOINING_SENDERS_MAX: usize = 16;

// What follows bounds the resolution of states for one event. Beyond any of these, one of the states stands for all, the same one
// in every rebuild; the event is judged by that, and the view counts it as unresolved. Tests have smaller bounds, so that they
// can go beyond.

/// Entries in which the states of branches may differ. Resolution takes some tens of microseconds for each.
pub const CONFLICTED_ENTRIES_MAX: usize = if cfg!(test) { 60 } else { 10_000 };
/// Events that one resolution looks at on its way through auth chains, about a microsecond and 200 bytes each while
/// they are remembered.
pub const AUTH_CHAIN_EVENTS_MAX: usize = if cfg!(test) { 400 } else { 200_000 };
/// Steps from event to power levels event in the mainline ordering: for each event that is ordered by it, the power levels that it may
/// have to pass.
pub const MAINLINE_STEPS_MAX: usize = if cfg!(test) { 10_000 } else { 20_000_000 };
/// Events that one resolution looks at on the way up from auth events, before it walks all chains down instead. What it costs to look at
/// one is what it costs to walk past one, so that a room smaller than this is as well served by either.
pub const AUTH_CHILDREN_VISITS_MAX: usize = if cfg!(test) { 12 } else { 2000 };

/// Rooms whose heads the writers keep in memory before those that are idle are dropped.
pub const HEADS_MAX: usize = 4096;
/// Bytes of state events that a head keeps in memory before it starts afresh from the views.
pub const HEAD_BYTES_MAX: usize = 4 << 20;
/// Bytes of state events in all heads before those that are idle are dropped.
pub const HEADS_BYTES_MAX: usize = 128 << 20;
/// The longest key of names that clients choose: far more than this server's may have, and what the store takes.
pub const NAMES_BYTES_MAX: usize = 4096;
