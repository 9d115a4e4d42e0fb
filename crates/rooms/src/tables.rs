//! The tables of the room server's view, with their encodings. All integers are big-endian in keys; in values
//! they are LEB128 varints unless a width is given.

use engram_views::{Table, Tuning};

/// `name` → u32: the next free number of `room` and of `pair`.
pub static COUNTERS: Table = Table::new(0, "rooms.counters", Tuning::Points);
/// room ID → room number (u32).
pub static IDS: Table = Table::new(1, "rooms.ids", Tuning::Misses);
/// room number → create event's offset (u64), room version, room ID (length-prefixed strings).
pub static INFO: Table = Table::new(2, "rooms.info", Tuning::Points);
/// room number → [`crate::query::Head`].
pub static HEADS: Table = Table::new(3, "rooms.heads", Tuning::Points);
/// room number, offset → [`crate::query::EventMeta`]. The timeline in arrival order, with events that are not shown.
pub static EVENTS: Table = Table::new(4, "rooms.events", Tuning::Scans);
/// event ID (0x00 and 32 hash bytes, or 0x01 and the text) → room number, offset.
pub static EVENT_IDS: Table = Table::new(5, "rooms.event_ids", Tuning::Misses);
/// Nodes of the state tries; see [`crate::state`].
pub static TRIE: Table = Table::new(6, "rooms.trie", Tuning::Points);
/// event type, 0x00, state key → pair number (u32).
pub static PAIRS: Table = Table::new(7, "rooms.pairs", Tuning::Points);
/// pair number → event type, 0x00, state key.
pub static PAIR_NAMES: Table = Table::new(8, "rooms.pair_names", Tuning::Points);
/// room number, user ID → membership (u8), offset of the member event: the current members.
pub static MEMBERS: Table = Table::new(9, "rooms.members", Tuning::Scans);
/// user ID, 0x00, room number → membership (u8), forgotten (u8), offset of the member event.
pub static USER_ROOMS: Table = Table::new(10, "rooms.user_rooms", Tuning::Scans);
/// room number, offset → state root after the state event at that offset.
pub static ROOTS: Table = Table::new(11, "rooms.roots", Tuning::Points);
/// redacted event's ID (as in `event_ids`) → offset of a redaction that came before its target.
pub static PENDING_REDACTIONS: Table = Table::new(12, "rooms.pending_redactions", Tuning::Misses);
/// user ID, 0x00, device ID, 0x00, transaction ID → room number, offset.
pub static TRANSACTIONS: Table = Table::new(13, "rooms.transactions", Tuning::Misses);
/// alias → room ID, 0x00, creator.
pub static ALIASES: Table = Table::new(14, "rooms.aliases", Tuning::Points);
/// room ID, 0x00, alias → nothing.
pub static ROOM_ALIASES: Table = Table::new(15, "rooms.room_aliases", Tuning::Scans);
/// room ID → nothing: the published rooms.
pub static PUBLISHED: Table = Table::new(16, "rooms.published", Tuning::Scans);
/// room number, offset → changed pairs: changes of current state that no shown event at that offset explains.
pub static STATE_CHANGES: Table = Table::new(17, "rooms.state_changes", Tuning::Scans);

/// All of them.
pub static ALL: &[&Table] = &[
    &COUNTERS,
    &IDS,
    &INFO,
    &HEADS,
    &EVENTS,
    &EVENT_IDS,
    &TRIE,
    &PAIRS,
    &PAIR_NAMES,
    &MEMBERS,
    &USER_ROOMS,
    &ROOTS,
    &PENDING_REDACTIONS,
    &TRANSACTIONS,
    &ALIASES,
    &ROOM_ALIASES,
    &PUBLISHED,
    &STATE_CHANGES,
];
