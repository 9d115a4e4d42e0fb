//! Named limits of the room server: what bounds its memory, and its work for one event.
//!
//! Those on memory never change a result. Those on work are part of what the projector decides: to change one is a new
//! version of the view.

/// Bytes that the projector remembers of its tables and of parsed events, over all rooms; heads of rooms and what they
/// say about power come on top, see [`ROOM_MEMOS_MAX`]. What is remembered is weighed roughly.
pub const MEMO_BYTES_MAX: usize = 96 << 20;
/// Bytes of state nodes that readers remember together: those of some hundred thousand changes.
pub const READER_NODES_BYTES_MAX: usize = 64 << 20;
/// Rooms whose heads the projector remembers; each weighs a kilobyte or a few.
pub const ROOM_MEMOS_MAX: usize = 4096;

/// Forward extremities that a room keeps. With more, those of the least depth are forgotten: they stay in the timeline,
/// but no event will follow them. With every event all of them are written.
pub const EXTREMITIES_MAX: usize = 200;
/// Forward extremities from which on this server joins them with an event of its own, where one of its users may send
/// one.
pub const EXTREMITIES_CROWDED: usize = 10;
/// Local members whom the writer tries for that, in the order of their IDs.
pub const JOINING_SENDERS_MAX: usize = 16;

// What follows bounds the resolution of states: its work is counted in units of a quarter of a microsecond each, by
// what it looks at; see `projector::resolution`. A room pays for its resolutions with its events, so that an attack
// takes no more of the server than it brings.

/// What a room may owe before it waits: two seconds' worth. So nothing waits in a room in good faith, whatever meets
/// there.
pub const UNITS_OWED_MAX: u64 = 8_000_000;
/// What each event of a room pays, once for the room's current state and once for the events that join branches: two
/// milliseconds' worth of either.
pub const UNITS_PAID_BY_EVENT: u64 = 8_000;
/// What one resolution may take: no room's events hold together in ways that take more, unless they are made for it.
pub const RESOLUTION_UNITS_MAX: u64 = 8_000_000;
/// Events that one resolution holds in memory, some 500 bytes each.
pub const RESOLUTION_EVENTS_MAX: usize = 400_000;
/// Events that one resolution looks at on the way up from auth events, before it walks all chains down instead. What it
/// costs to look at one is what it costs to walk past some, so that a small room is as well served by either. Tests
/// have a smaller bound, so that they go beyond.
pub const AUTH_CHILDREN_VISITS_MAX: usize = if cfg!(test) { 12 } else { 2000 };
/// Bytes of what is known of events for resolutions, beside [`MEMO_BYTES_MAX`]: a hundred thousand events or so.
pub const FACTS_BYTES_MAX: usize = 48 << 20;
/// Bytes that are remembered while one resolution is explained.
pub const EXPLANATION_MEMO_BYTES: usize = 32 << 20;

/// Redactions by servers without power over others that wait for one unknown event: one a server, since a second one
/// adds nothing. Those by the power to redact others' events are one more.
pub const PENDING_REDACTIONS_MAX: usize = if cfg!(test) { 4 } else { 64 };

/// Rooms whose heads the writers keep in memory before those that are idle are dropped.
pub const HEADS_MAX: usize = 4096;
/// Bytes of state events that a head keeps in memory before it starts afresh from the views.
pub const HEAD_BYTES_MAX: usize = 4 << 20;
/// Bytes of state events in all heads before those that are idle are dropped.
pub const HEADS_BYTES_MAX: usize = 128 << 20;
/// The longest key of names that clients choose: far more than this server's may have, and what the store takes.
pub const NAMES_BYTES_MAX: usize = 4096;
