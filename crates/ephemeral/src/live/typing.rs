//! Who types where.

use std::collections::{BTreeMap, BTreeSet};

use engram_log::{Offset, TimestampMs};

/// Everybody who types.
#[derive(Debug, Default)]
pub(super) struct Typing {
    rooms: BTreeMap<String, Room>,
    /// (until, room, user) of everybody who types: the next to expire comes first.
    expiries: BTreeSet<(TimestampMs, String, String)>,
}

#[derive(Debug, Default)]
struct Room {
    users: BTreeMap<String, Typist>,
    /// Where the set of users last changed.
    changed: Offset,
}

#[derive(Clone, Copy, Debug)]
struct Typist {
    until: TimestampMs,
    /// The record that says so.
    said: Offset,
}

impl Typing {
    /// Somebody types until a time, or no longer.
    pub(super) fn set(&mut self, room_id: &str, user_id: &str, until: Option<TimestampMs>, at: Offset) {
        let room = self.rooms.entry(room_id.to_owned()).or_default();
        let before = match until {
            Some(until) => room.users.insert(user_id.to_owned(), Typist { until, said: at }),
            None => room.users.remove(user_id),
        };
        // A renewal changes until when, not who: nobody has to be told.
        if before.is_some() != until.is_some() {
            room.changed = room.changed.max(at);
        }
        let entry = |until: TimestampMs| (until, room_id.to_owned(), user_id.to_owned());
        if let Some(before) = before {
            self.expiries.remove(&entry(before.until));
        }
        if let Some(until) = until {
            self.expiries.insert(entry(until));
        }
    }

    /// Somebody left a room at an offset: what they said before does not count any more. Whether that changes anything.
    pub(super) fn leave(&mut self, room_id: &str, user_id: &str, at: Offset) -> bool {
        let typist = self.rooms.get(room_id).and_then(|room| room.users.get(user_id));
        let ends = typist.is_some_and(|typist| typist.said <= at);
        if ends {
            self.set(room_id, user_id, None, at);
        }
        ends
    }

    /// Who types in a room, in byte order.
    pub(super) fn names(&self, room_id: &str) -> Vec<String> {
        self.rooms.get(room_id).map(|room| room.users.keys().cloned().collect()).unwrap_or_default()
    }

    /// Where the set of users last changed; zero if nobody has typed yet.
    pub(super) fn changed(&self, room_id: &str) -> Offset {
        self.rooms.get(room_id).map_or(Offset::ZERO, |room| room.changed)
    }

    /// Until when a user types in a room.
    pub(super) fn until(&self, room_id: &str, user_id: &str) -> Option<TimestampMs> {
        Some(self.rooms.get(room_id)?.users.get(user_id)?.until)
    }

    /// All (room, user) pairs, by the time until when they type.
    pub(super) fn all(&self) -> impl Iterator<Item = (TimestampMs, &str, &str)> {
        self.expiries.iter().map(|(until, room_id, user_id)| (*until, room_id.as_str(), user_id.as_str()))
    }
}
