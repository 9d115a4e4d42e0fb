//! Typing and presence, as far as this process has seen them.
//!
//! A function of the ephemeral lane since the start of the process; nothing of it is stored.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use engram_log::{InputRef, Offset, Record, TimestampMs};
use parking_lot::RwLock;

/// Somebody's presence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    /// `online`, `unavailable` or `offline`.
    pub presence: String,
    /// Status message.
    pub status_msg: Option<String>,
    /// When they were last active.
    pub last_active: TimestampMs,
    /// Whether they are active now.
    pub currently_active: bool,
    /// The offset of the last change.
    pub changed: Offset,
}

/// Who types and who is there.
#[derive(Debug, Default)]
pub struct Live {
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    rooms: BTreeMap<String, TypingRoom>,
    /// (until, room, user) of everybody who types: the next to expire comes first.
    expiries: BTreeSet<(TimestampMs, String, String)>,
    presence: BTreeMap<String, Presence>,
    /// (offset, user) of everybody's last change.
    presence_changes: BTreeMap<Offset, String>,
}

#[derive(Debug, Default)]
struct TypingRoom {
    users: BTreeMap<String, TimestampMs>,
    changed: Offset,
}

impl Live {
    /// Nobody types, nobody is there.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Takes in records of the ephemeral lane, in order. Of other kinds it takes no notice.
    pub fn observe(&self, ephemeral: &[Record]) {
        if ephemeral.is_empty() {
            return;
        }
        let mut state = self.state.write();
        for record in ephemeral {
            match record.input() {
                Ok(InputRef::TypingSet(set)) => {
                    let until = set.until_ms.as_ref().map(|until| TimestampMs(until.to_native()));
                    state.set_typing(&set.room_id, &set.user_id, until, record.offset);
                }
                Ok(InputRef::PresenceSet(set)) => state.set_presence(
                    &set.user_id,
                    Presence {
                        presence: set.presence.as_str().to_owned(),
                        status_msg: set.status_msg.as_ref().map(|message| message.as_str().to_owned()),
                        last_active: TimestampMs(set.last_active_ms.to_native()),
                        currently_active: set.currently_active,
                        changed: record.offset,
                    },
                ),
                _ => {}
            }
        }
    }

    /// Who types in a room, in byte order.
    pub fn typing(&self, room_id: &str) -> Vec<String> {
        let state = self.state.read();
        state.rooms.get(room_id).map(TypingRoom::names).unwrap_or_default()
    }

    /// The offset at which the set of typing users of a room last changed; zero if nobody has typed yet.
    pub fn typing_changed(&self, room_id: &str) -> Offset {
        self.state.read().rooms.get(room_id).map_or(Offset::ZERO, |room| room.changed)
    }

    /// Who types in a room, if that changed after `since` and not after `through`.
    ///
    /// A change after `through` hides earlier ones: it will be told with the next position.
    pub fn typing_since(&self, room_id: &str, since: Offset, through: Offset) -> Option<Vec<String>> {
        let state = self.state.read();
        let room = state.rooms.get(room_id)?;
        (since < room.changed && room.changed <= through).then(|| room.names())
    }

    /// Whether a user types in a room.
    pub fn is_typing(&self, room_id: &str, user_id: &str) -> bool {
        self.state.read().rooms.get(room_id).is_some_and(|room| room.users.contains_key(user_id))
    }

    /// A user's presence, if they have been seen.
    pub fn presence(&self, user_id: &str) -> Option<Presence> {
        self.state.read().presence.get(user_id).cloned()
    }

    /// The users whose presence changed after `since`, in the order of their last changes.
    pub fn presence_since(&self, since: Offset) -> Vec<(String, Presence)> {
        let state = self.state.read();
        let changes = state.presence_changes.range((Bound::Excluded(since), Bound::Unbounded));
        changes.map(|(_, user_id)| (user_id.clone(), state.presence[user_id].clone())).collect()
    }

    /// The (room, user) pairs whose typing has expired by `now`, in the order of their expiry.
    pub fn typing_expired(&self, now: TimestampMs) -> Vec<(String, String)> {
        let state = self.state.read();
        let expired = state.expiries.iter().take_while(|(until, _, _)| *until <= now);
        expired.map(|(_, room_id, user_id)| (room_id.clone(), user_id.clone())).collect()
    }

    /// The earliest time at which somebody's typing expires.
    pub fn next_typing_expiry(&self) -> Option<TimestampMs> {
        self.state.read().expiries.first().map(|(until, _, _)| *until)
    }

    /// Until when a user counts as typing in a room.
    pub(crate) fn typing_until(&self, room_id: &str, user_id: &str) -> Option<TimestampMs> {
        self.state.read().rooms.get(room_id)?.users.get(user_id).copied()
    }
}

impl State {
    fn set_typing(&mut self, room_id: &str, user_id: &str, until: Option<TimestampMs>, at: Offset) {
        let room = self.rooms.entry(room_id.to_owned()).or_default();
        let before = match until {
            Some(until) => room.users.insert(user_id.to_owned(), until),
            None => room.users.remove(user_id),
        };
        // A renewal changes until when, not who: nobody has to be told.
        if before.is_some() != until.is_some() {
            room.changed = at;
        }
        let entry = |until: TimestampMs| (until, room_id.to_owned(), user_id.to_owned());
        if let Some(before) = before {
            self.expiries.remove(&entry(before));
        }
        if let Some(until) = until {
            self.expiries.insert(entry(until));
        }
    }

    fn set_presence(&mut self, user_id: &str, presence: Presence) {
        self.presence_changes.insert(presence.changed, user_id.to_owned());
        if let Some(before) = self.presence.insert(user_id.to_owned(), presence) {
            self.presence_changes.remove(&before.changed);
        }
        assert_eq!(self.presence.len(), self.presence_changes.len(), "one last change for everybody");
    }
}

impl TypingRoom {
    fn names(&self) -> Vec<String> {
        self.users.keys().cloned().collect()
    }
}

/// Feeds a [`Live`]. To be registered before the observers that read it, so that they see what they are woken for.
#[derive(Debug)]
pub struct LiveObserver(pub Arc<Live>);

impl engram_views::Observer for LiveObserver {
    fn committed(&mut self, batch: &engram_views::Batch<'_>) {
        self.0.observe(batch.ephemeral());
    }
}
