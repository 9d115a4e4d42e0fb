//! The tables of the room server's view, with their encodings. All integers are big-endian in keys; in values
//! they are LEB128 varints unless a width is given. Texts that are followed by something have their length before them,
//! as a varint, unless a terminator is given.

use engram_views::{DueList, Table};

/// name → u32: the last number given out (`room`, `pair`, `node`), or how much was passed over or put off (`malformed`,
/// `unresolved`, `too_much`, `put_off`).
pub static COUNTERS: Table = Table::new(0, "rooms.counters");
/// room ID → room number (u32).
pub static IDS: Table = Table::new(1, "rooms.ids");
/// room number → create event's offset, room version, room ID.
pub static INFO: Table = Table::new(2, "rooms.info");
/// room number → [`crate::query::Head`].
pub static HEADS: Table = Table::new(3, "rooms.heads");
/// room number, offset → [`crate::query::EventMeta`], or where the event is now. The timeline in arrival order, with
/// events that are not shown.
pub static EVENTS: Table = Table::new(4, "rooms.events");
/// event ID (0x00 and 32 hash bytes, or 0x01 and the text) → room number, offset.
pub static EVENT_IDS: Table = Table::new(5, "rooms.event_ids");
/// Nodes of the state tries; see [`crate::state`].
pub static TRIE: Table = Table::new(6, "rooms.trie");
/// event type, state key → pair number (u32).
pub static PAIRS: Table = Table::new(7, "rooms.pairs");
/// pair number → event type, state key.
pub static PAIR_NAMES: Table = Table::new(8, "rooms.pair_names");
/// room number, user ID → membership (u8), offset of the member event: the current members.
pub static MEMBERS: Table = Table::new(9, "rooms.members");
/// user ID, 0x00, room number (u32) → membership (u8), forgotten (u8), offset of the member event.
pub static USER_ROOMS: Table = Table::new(10, "rooms.user_rooms");
/// room number, offset → state root (32 bytes) after the event at that offset, if it is a state event or joins branches
/// whose states differ; with 0x00 at the end of the key the root before an event that joins branches.
pub static ROOTS: Table = Table::new(11, "rooms.roots");
/// room number, redacted event's ID (as in `event_ids`), offset of a redaction that came before its target → the server
/// by whose right, or nothing if it is by power.
pub static PENDING_REDACTIONS: Table = Table::new(12, "rooms.pending_redactions");
/// user ID, device ID, room ID, event type, target of a redaction or nothing, transaction ID → offset.
pub static TRANSACTIONS: Table = Table::new(13, "rooms.transactions");
/// alias → room ID, creator.
pub static ALIASES: Table = Table::new(14, "rooms.aliases");
/// room ID, alias → nothing.
pub static ROOM_ALIASES: Table = Table::new(15, "rooms.room_aliases");
/// room ID → nothing: the published rooms.
pub static PUBLISHED: Table = Table::new(16, "rooms.published");
/// room number, offset → current state from there on (root, 32 bytes), then the pairs that changed (u32 each): where
/// `roots` does not hold the current state, after state resolution or for a state event that did not take effect.
pub static STATE_CHANGES: Table = Table::new(17, "rooms.state_changes");
/// room number, offset → why an event was rejected, soft-failed or kept apart, in words.
pub static REASONS: Table = Table::new(18, "rooms.reasons");
/// room number, [`crate::rows::event_id_mark`] of an event's ID, offset → nothing: the state event at that offset names
/// the event among its `auth_events`. Marks may coincide; who looks here looks at the event too.
pub static AUTH_CHILDREN: Table = Table::new(19, "rooms.auth_children");
/// room number, anchor, depth, offset (u64 each) → nothing: an event from before the room was known here, in the order
/// of the timeline. It comes before the live event that is its anchor, and after every live event before that.
pub static PAST: Table = Table::new(24, "rooms.past");
/// room number, event ID (as in `event_ids`) → the anchor: events in the graph follow this one, which is not there.
pub static MISSING: Table = Table::new(25, "rooms.missing");
/// room number, event ID (as in `event_ids`) → root (32 bytes), whether the room begins anew (u8): the state before
/// the event, as another server gave it.
pub static GIVEN_STATES: Table = Table::new(26, "rooms.given_states");
/// room ID → digests of all verdicts and of the current state, 16 bytes each; see [`crate::verdicts`]. Key and value
/// are the same in every version of the view: a later version compares its own with them.
pub static VERDICTS: Table = Table::new(27, "rooms.verdicts");
/// room number → offset of the record that says that verdicts have changed.
pub static REJUDGED: Table = Table::new(28, "rooms.rejudged");
/// room number, `origin_server_ts` (u64), offset → nothing: the accepted events of the room's graph by the time that
/// they name.
pub static TIMES: Table = Table::new(29, "rooms.times");
/// event ID (as in `event_ids`), offset → nothing: a record that holds an event which another record holds too, with
/// content that redaction would take. Until the event is redacted.
pub static COPIES: Table = Table::new(30, "rooms.copies");
/// room number, offset → why (u8), what the room owed: events that join branches, before which the current state stands
/// for what was not resolved.
pub static UNRESOLVED: Table = Table::new(20, "rooms.unresolved");
/// Records of redacted events whose payloads are to be replaced: see [`engram_views::DueList`].
pub static ERASURES: Table = Table::new(31, "rooms.erasures");

/// user ID, device ID → offset of the record with which a device ended: transactions from before it are none of a later
/// device of that name.
pub static ENDED_DEVICES: Table = Table::new(21, "rooms.ended_devices");

/// What is to be replaced.
pub static DUE: DueList = DueList(&ERASURES);

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
    &REASONS,
    &AUTH_CHILDREN,
    &PAST,
    &MISSING,
    &GIVEN_STATES,
    &VERDICTS,
    &REJUDGED,
    &TIMES,
    &COPIES,
    &ERASURES,
    &UNRESOLVED,
    &ENDED_DEVICES,
];
