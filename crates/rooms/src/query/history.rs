//! The timeline of a room with its past: live events by arrival, and before each those of the past that was fetched for
//! it.
//!
//! ```text
//! live      1   2   3               90              91
//! past                  p p p p p       p p p
//!                       anchor 90       anchor 91
//! ```
//!
//! An event of the past has a live event as its anchor: the first that follows it, over however many others. Among
//! those of one anchor the order is by depth, then by arrival, so that it does not matter in which order a past is
//! fetched.

use std::ops::{Bound, ControlFlow};

use engram_log::Offset;
use engram_views::{Read, ReadExt as _, ViewError};

use super::{EventMeta, Place, malformed, meta, timeline};
use crate::rows;
use crate::tables::{MISSING, PAST};
use crate::types::RoomNumber;

/// A position in a room's timeline, or the cut just before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The live event, or the one that those of the past come before.
    pub anchor: Offset,
    /// For an event of the past its depth and its offset; the greatest there are for a live one.
    pub past: (u64, Offset),
}

/// An event that is missing from a room's graph, though others follow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Its ID.
    pub event_id: String,
    /// The first live event that follows it, over however many others.
    pub anchor: Offset,
}

impl Position {
    /// The position of a live event.
    pub const fn live(offset: Offset) -> Self {
        Self { anchor: offset, past: (u64::MAX, Offset(u64::MAX)) }
    }

    /// The position of an event; none if it has none in the timeline.
    pub fn of(offset: Offset, meta: &EventMeta) -> Option<Self> {
        match meta.place {
            Place::Live => Some(Self::live(offset)),
            Place::Past(anchor) => anchor.map(|anchor| Self { anchor, past: (meta.depth, offset) }),
            Place::Apart => None,
        }
    }

    /// The cut after the event at this position.
    #[must_use]
    pub fn next(self) -> Self {
        if self.is_live() {
            return Self { anchor: self.anchor.next(), past: (0, Offset::ZERO) };
        }
        Self { past: (self.past.0, self.past.1.next()), ..self }
    }

    /// The last offset whose live event lies before the cut.
    pub fn live_before(self) -> Offset {
        Offset(self.anchor.0.saturating_sub(1))
    }

    /// Whether it is that of a live event.
    pub fn is_live(self) -> bool {
        self == Self::live(self.anchor)
    }

    /// The key of an event of the past in the table.
    pub(crate) fn past_key(self, room: RoomNumber) -> [u8; 28] {
        let mut key = [0; 28];
        key[..4].copy_from_slice(&room.0.to_be_bytes());
        key[4..12].copy_from_slice(&self.anchor.to_be_bytes());
        key[12..20].copy_from_slice(&self.past.0.to_be_bytes());
        key[20..].copy_from_slice(&self.past.1.to_be_bytes());
        key
    }

    fn of_past_key(key: &[u8]) -> Option<Self> {
        let number = |at: usize| Some(u64::from_be_bytes(key.get(at..at + 8)?.try_into().ok()?));
        Some(Self { anchor: Offset(number(4)?), past: (number(12)?, Offset(number(20)?)) })
    }
}

/// The shown events from one cut to another, newest first if `backwards`, at most `limit`: with position, offset and
/// row.
pub fn history(
    reader: &dyn Read,
    room: RoomNumber,
    from: Position,
    to: Position,
    backwards: bool,
    limit: usize,
) -> Result<Vec<(Position, Offset, EventMeta)>, ViewError> {
    if limit == 0 || from >= to {
        return Ok(Vec::new());
    }
    let live = timeline(reader, room, from.live_before(), to.live_before(), backwards, limit)?;
    let mut events: Vec<_> = live.into_iter().map(|(at, meta)| (Position::live(at), at, meta)).collect();
    let past = past(reader, room, from, to, backwards, limit)?;
    if !past.is_empty() {
        events.extend(past);
        events.sort_unstable_by_key(|(position, ..)| *position);
        if backwards {
            events.reverse();
        }
        events.truncate(limit);
    }
    Ok(events)
}

fn past(
    reader: &dyn Read,
    room: RoomNumber,
    from: Position,
    to: Position,
    backwards: bool,
    limit: usize,
) -> Result<Vec<(Position, Offset, EventMeta)>, ViewError> {
    let decode = |key: &[u8]| {
        let position = Position::of_past_key(key).ok_or(malformed(&PAST, "the key is too short"))?;
        let offset = position.past.1;
        let shown = meta(reader, room, offset)?.filter(EventMeta::is_shown);
        Ok(shown.map(|meta| (position, offset, meta)))
    };
    let mut events = Vec::new();
    let mut visit = |key: &[u8], _: &[u8]| {
        events.extend(decode(key).transpose());
        if events.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let (from, to) = (from.past_key(room), to.past_key(room));
    reader.scan(&PAST, Bound::Included(&from), Bound::Excluded(&to), backwards, &mut visit)?;
    events.into_iter().collect()
}

/// Whether a room has, or may get, a past that was not seen live.
pub fn has_past(reader: &dyn Read, room: RoomNumber) -> Result<bool, ViewError> {
    for table in [&MISSING, &PAST] {
        let mut any = false;
        let mut visit = |_: &[u8], _: &[u8]| {
            any = true;
            ControlFlow::Break(())
        };
        reader.scan_prefix(table, &room.0.to_be_bytes(), &mut visit)?;
        if any {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The backward extremities of a room: the events that are missing from its graph. Fetching what is known of them
/// elsewhere extends the room's history.
pub fn backward_extremities(reader: &dyn Read, room: RoomNumber) -> Result<Vec<Missing>, ViewError> {
    let mut missing = Vec::new();
    let mut visit = |key: &[u8], row: &[u8]| {
        let row = rows::decode_missing(key, row);
        missing.push(row.map(|(event_id, anchor)| Missing { event_id, anchor }));
        ControlFlow::Continue(())
    };
    reader.scan_prefix(&MISSING, &room.0.to_be_bytes(), &mut visit)?;
    missing.into_iter().collect()
}
