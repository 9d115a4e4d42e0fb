//! Typing and presence, as the ephemeral lane tells of them; and who attends on which device, which no record says.
//!
//! Nothing of it is stored but the lane itself, which is kept for a while. What was said before a start is taken in
//! again ([`Live::replay`]): so whoever was shown to type, or to be there, and has gone meanwhile, ends by a record
//! like everybody else, and that is told to every client whatever the age of its token.
//!
//! Locks are taken in the order: what was said, who attends.

mod attendance;
mod device;
mod typing;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use engram_base::Clock;
use engram_log::{FollowError, InputRef, Lanes, Log, Offset, Record, TimestampMs};
use engram_log_format::v1::{ArchivedInput, PresenceSet};
use parking_lot::{Mutex, RwLock};

use self::attendance::Attendance;
pub(crate) use self::attendance::Sum;
pub use self::device::Availability;
pub(crate) use self::device::PollId;
use self::typing::Typing;
use crate::limits::REPLAY_RECORDS;

/// Somebody's presence, as others are told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    /// How present they are.
    pub availability: Availability,
    /// Status message.
    pub status_msg: Option<String>,
    /// When they were last active.
    pub last_active: TimestampMs,
    /// Whether they are active now: then nothing is told of later activity.
    pub currently_active: bool,
    /// The offset of the last change.
    pub changed: Offset,
}

/// Who types and who is there.
#[derive(Debug, Default)]
pub struct Live {
    said: RwLock<Said>,
    attendance: Mutex<Attendance>,
}

/// What records of the ephemeral lane have said.
#[derive(Debug, Default)]
struct Said {
    /// The last record that was taken in.
    through: Offset,
    typing: Typing,
    presence: BTreeMap<String, Presence>,
    /// (offset, user) of everybody's last change.
    presence_changes: BTreeMap<Offset, String>,
}

/// A poll of a device: as long as this lives its user attends.
pub struct Attending {
    live: Arc<Live>,
    user_id: String,
    device_id: String,
    poll: PollId,
    clock: Clock,
}

impl Live {
    /// Nobody types, nobody is there.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Takes in what the ephemeral lane still has from before the start, before anybody observes. Who is said to type
    /// in a room where `is_joined` does not hold has left since; who was there counts as there until it shows that they
    /// do not come back.
    pub fn replay<E: From<FollowError>>(
        &self,
        log: &dyn Log,
        now: TimestampMs,
        is_joined: impl Fn(&str, &str) -> Result<bool, E>,
    ) -> Result<(), E> {
        let mut follower = log.follow(Offset::ZERO, Lanes::Ephemeral)?;
        let mut records = Vec::new();
        while follower.next(&mut records, REPLAY_RECORDS, Duration::ZERO)? > 0 {
            self.observe(&records);
            records.clear();
        }
        let at = log.durable_end();
        for (room_id, user_id) in self.typing_expired(TimestampMs(u64::MAX)) {
            if !is_joined(&room_id, &user_id)? {
                self.left(&room_id, &user_id, at);
            }
        }
        let said = self.said.read();
        let mut attendance = self.attendance.lock();
        for (user_id, presence) in &said.presence {
            if presence.availability != Availability::Offline {
                attendance.remember(user_id, presence.availability, presence.last_active, now);
            }
        }
        Ok(())
    }

    /// Takes in records of the ephemeral lane, in order. Of other kinds, and of what it has had, it takes no notice.
    pub fn observe(&self, ephemeral: &[Record]) {
        if ephemeral.is_empty() {
            return;
        }
        let mut said = self.said.write();
        let mut told = Vec::new();
        for record in ephemeral {
            if record.offset <= said.through {
                continue;
            }
            said.through = record.offset;
            match record.input() {
                Ok(InputRef::TypingSet(set)) => {
                    let until = set.until_ms.as_ref().map(|until| TimestampMs(until.to_native()));
                    said.typing.set(&set.room_id, &set.user_id, until, record.offset);
                }
                Ok(InputRef::PresenceSet(set)) => {
                    let presence = presence_of(set, record.offset);
                    told.push((set.user_id.as_str().to_owned(), presence.availability, record.timestamp));
                    said.set_presence(&set.user_id, presence);
                }
                _ => {}
            }
        }
        drop(said);
        let mut attendance = self.attendance.lock();
        for (user_id, availability, now) in told {
            attendance.settle(&user_id, availability, now);
        }
    }

    /// Somebody left a room at an offset, and types there no longer. Whether they did.
    pub fn left(&self, room_id: &str, user_id: &str, at: Offset) -> bool {
        // Most who leave do not type.
        self.is_typing(room_id, user_id) && self.said.write().typing.leave(room_id, user_id, at)
    }

    /// Who types in a room, in byte order.
    pub fn typing(&self, room_id: &str) -> Vec<String> {
        self.said.read().typing.names(room_id)
    }

    /// The offset at which the set of typing users of a room last changed; zero if nobody has typed yet.
    pub fn typing_changed(&self, room_id: &str) -> Offset {
        self.said.read().typing.changed(room_id)
    }

    /// Who types in a room, if that changed after `since` and not after `through`.
    ///
    /// A change after `through` hides earlier ones: it will be told with the next position.
    pub fn typing_since(&self, room_id: &str, since: Offset, through: Offset) -> Option<Vec<String>> {
        let said = self.said.read();
        let changed = said.typing.changed(room_id);
        (since < changed && changed <= through).then(|| said.typing.names(room_id))
    }

    /// Whether a user types in a room.
    pub fn is_typing(&self, room_id: &str, user_id: &str) -> bool {
        self.typing_until(room_id, user_id).is_some()
    }

    /// The (room, user) pairs whose typing has expired by `now`, in the order of their expiry.
    pub fn typing_expired(&self, now: TimestampMs) -> Vec<(String, String)> {
        let said = self.said.read();
        let expired = said.typing.all().take_while(|(until, _, _)| *until <= now);
        expired.map(|(_, room_id, user_id)| (room_id.to_owned(), user_id.to_owned())).collect()
    }

    /// The earliest time at which somebody's typing expires.
    pub fn next_typing_expiry(&self) -> Option<TimestampMs> {
        self.said.read().typing.all().next().map(|(until, _, _)| until)
    }

    /// Whether time alone has brought about something that is to be written.
    pub fn is_due(&self, now: TimestampMs) -> bool {
        self.next_typing_expiry().is_some_and(|next| next <= now) || !self.presence_due(now, 1).is_empty()
    }

    /// Until when a user counts as typing in a room.
    pub(crate) fn typing_until(&self, room_id: &str, user_id: &str) -> Option<TimestampMs> {
        self.said.read().typing.until(room_id, user_id)
    }

    /// A user's presence, if they have been seen. The time of the last activity is that of now, not that of the record.
    pub fn presence(&self, user_id: &str) -> Option<Presence> {
        let said = self.said.read();
        let presence = said.presence.get(user_id)?.clone();
        Some(self.attendance.lock().brought_up_to_date(user_id, presence))
    }

    /// How many users have been seen, present or not.
    pub fn seen_count(&self) -> usize {
        self.said.read().presence.len()
    }

    /// The users whose presence changed after `since`, in the order of their last changes.
    pub fn presence_since(&self, since: Offset) -> Vec<(String, Presence)> {
        let said = self.said.read();
        let attendance = self.attendance.lock();
        let changes = said.presence_changes.range((Bound::Excluded(since), Bound::Unbounded));
        changes
            .map(|(_, user_id)| {
                (user_id.clone(), attendance.brought_up_to_date(user_id, said.presence[user_id].clone()))
            })
            .collect()
    }

    /// A device polls, and says how present its user is. What others are to be told of that, the writer of presence
    /// finds out.
    pub fn attend(self: &Arc<Self>, user_id: &str, device_id: &str, says: Availability, clock: Clock) -> Attending {
        let told = self.told(user_id);
        let poll = self.attendance.lock().poll_began((user_id, device_id), says, told, clock());
        Attending { live: Arc::clone(self), user_id: user_id.to_owned(), device_id: device_id.to_owned(), poll, clock }
    }

    /// Somebody does something on a device: writes, reads, types.
    pub fn act(&self, user_id: &str, device_id: &str, now: TimestampMs) {
        let told = self.told(user_id);
        self.attendance.lock().act((user_id, device_id), told, now);
    }

    /// Devices are no more, or with none all of a user's devices.
    pub fn remove_devices(&self, user_id: &str, devices: Option<&[String]>, now: TimestampMs) {
        let is_gone = |device_id: &str| devices.is_none_or(|gone| gone.iter().any(|gone| gone == device_id));
        self.attendance.lock().remove(user_id, is_gone, now);
    }

    /// A user's presence as it will be told, if that is not yet what was told.
    pub fn presence_to_tell(&self, user_id: &str, now: TimestampMs) -> Option<Presence> {
        let before = self.presence(user_id);
        let Sum { availability, last_active } = self.sum(user_id, now)?;
        Some(Presence {
            availability,
            status_msg: before.and_then(|before| before.status_msg),
            last_active,
            currently_active: availability == Availability::Online,
            changed: Offset::ZERO,
        })
    }

    /// A device says how present its user is, in a request for that purpose.
    pub(crate) fn declare(&self, user_id: &str, device_id: &str, says: Availability, now: TimestampMs) {
        let told = self.told(user_id);
        self.attendance.lock().declare((user_id, device_id), says, told, now);
    }

    /// What a user's devices come to.
    pub(crate) fn sum(&self, user_id: &str, now: TimestampMs) -> Option<Sum> {
        self.attendance.lock().sum(user_id, now)
    }

    /// The first of those of whom something may have to be told by now.
    pub(crate) fn presence_due(&self, now: TimestampMs, limit: usize) -> Vec<String> {
        self.attendance.lock().due(now, limit)
    }

    /// It was found that nothing has to be told of a user.
    pub(crate) fn settle(&self, user_id: &str, now: TimestampMs) {
        let told = self.told(user_id);
        self.attendance.lock().settle(user_id, told, now);
    }

    fn told(&self, user_id: &str) -> Availability {
        self.said.read().presence.get(user_id).map_or(Availability::Offline, |presence| presence.availability)
    }
}

impl Said {
    fn set_presence(&mut self, user_id: &str, presence: Presence) {
        self.presence_changes.insert(presence.changed, user_id.to_owned());
        if let Some(before) = self.presence.insert(user_id.to_owned(), presence) {
            self.presence_changes.remove(&before.changed);
        }
        assert_eq!(self.presence.len(), self.presence_changes.len(), "one last change for everybody");
    }
}

impl Attendance {
    fn brought_up_to_date(&self, user_id: &str, presence: Presence) -> Presence {
        let last_active = self.last_active(user_id).unwrap_or_default().max(presence.last_active);
        Presence { last_active, ..presence }
    }
}

/// What a record says. A word that nobody knows any more says that nobody is there.
fn presence_of(set: &ArchivedInput<PresenceSet>, at: Offset) -> Presence {
    Presence {
        availability: Availability::parse(&set.presence).unwrap_or(Availability::Offline),
        status_msg: set.status_msg.as_ref().map(|message| message.as_str().to_owned()),
        last_active: TimestampMs(set.last_active_ms.to_native()),
        currently_active: set.currently_active,
        changed: at,
    }
}

impl Drop for Attending {
    fn drop(&mut self) {
        let now = (self.clock)();
        self.live.attendance.lock().poll_ended((&self.user_id, &self.device_id), self.poll, now);
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
