//! Feeds the hub: lives on the pipeline's thread, raises marks and collects whom to wake.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use engram_base::Clock;
use engram_ephemeral::{EphemeralDelta, EphemeralProjector, Live};
use engram_log::{InputRef, Offset, Record};
use engram_matrix::Pdu;
use engram_rooms::{MemberChange, Membership, RoomDelta, RoomNumber, RoomsProjector};
use engram_users::{UserDelta, UsersProjector};
use engram_views::{Batch, Observer, Snapshot, Views};

use super::strangers::Strangers;
use super::{Entry, Hub, RoomHub, UserHub};
use crate::limits;

/// Takes in what was committed. To be registered after the observer of typing and presence, which it asks.
pub(crate) struct HubObserver {
    hub: Arc<Hub>,
    views: Arc<Views>,
    live: Arc<Live>,
    clock: Clock,
    /// The rooms of the events that are kept in memory, oldest first.
    kept: VecDeque<Arc<RoomHub>>,
    strangers: Strangers,
    /// Whom to wake at the end of the batch.
    to_wake: Vec<Arc<UserHub>>,
}

/// A delta of one of those whom the hub hears.
#[derive(Clone, Copy)]
enum Heard<'a> {
    Room(&'a RoomDelta),
    User(&'a UserDelta),
    Ephemeral(&'a EphemeralDelta),
}

/// What was told, in the order of the log: who shares a room when a key changes depends on what came first.
fn in_order<'a>(batch: &Batch<'a>) -> Vec<(Offset, Heard<'a>)> {
    let mut heard = Vec::new();
    heard.extend(batch.deltas::<RoomsProjector>().iter().map(|(at, delta)| (*at, Heard::Room(delta))));
    heard.extend(batch.deltas::<UsersProjector>().iter().map(|(at, delta)| (*at, Heard::User(delta))));
    heard.extend(batch.deltas::<EphemeralProjector>().iter().map(|(at, delta)| (*at, Heard::Ephemeral(delta))));
    heard.sort_by_key(|(at, _)| *at);
    heard
}

impl Observer for HubObserver {
    fn committed(&mut self, batch: &Batch<'_>) {
        let snapshot = batch.snapshot();
        // The order of these steps is what lets requests run beside them without a lock: marks are raised before the
        // position that they belong to is shown, and nobody is woken before that.
        self.hub.taking.raise(snapshot.offset());
        for (offset, heard) in in_order(batch) {
            match heard {
                Heard::Room(delta) => self.room_delta(offset, delta),
                Heard::User(delta) => self.user_delta(snapshot, offset, delta),
                Heard::Ephemeral(delta) => self.ephemeral_delta(offset, delta),
            }
        }
        self.typing(snapshot, batch.ephemeral());
        self.presence(snapshot, batch.ephemeral());
        *self.hub.current.write() = self.views.snapshot();
        for user in self.to_wake.drain(..) {
            user.wake();
        }
    }
}

impl HubObserver {
    pub(crate) fn new(hub: Arc<Hub>, views: Arc<Views>, live: Arc<Live>, clock: Clock) -> Self {
        let (kept, strangers, to_wake) = (VecDeque::new(), Strangers::default(), Vec::new());
        Self { hub, views, live, clock, kept, strangers, to_wake }
    }

    fn room_delta(&mut self, at: Offset, delta: &RoomDelta) {
        match delta {
            RoomDelta::Event { room, room_id, offset, pdu, membership } => {
                if let Some(change) = membership {
                    self.membership(*room, room_id, *offset, change);
                }
                if let Some(room) = self.hub.known_room(*room) {
                    self.event(&room, *offset, pdu, membership.is_some());
                }
                self.unlisten(*room, membership.as_slice());
            }
            RoomDelta::State { room, room_id, offset, memberships } => {
                for change in memberships {
                    self.membership(*room, room_id, *offset, change);
                }
                self.state_changed(*room, *offset, !memberships.is_empty());
                self.unlisten(*room, memberships);
            }
            RoomDelta::Forgotten { user_id, room } => {
                if let Some(user) = self.hub.known_user(user_id) {
                    user.rooms.lock().change(at, |entries| {
                        if let Some(entry) = entries.get_mut(room) {
                            entry.forgotten = true;
                        }
                    });
                }
            }
            // Of interest to the writer alone.
            RoomDelta::Crowded { .. } | RoomDelta::Postponed { .. } | RoomDelta::StoodFor { .. } => {}
        }
    }

    /// Somebody's membership changed. They listen from here on, if they have joined.
    fn membership(&mut self, number: RoomNumber, room_id: &str, offset: Offset, change: &MemberChange) {
        self.strangers.forget(&change.user_id);
        if change.membership() != Some(Membership::Join) {
            self.stops_typing(room_id, &change.user_id, offset);
        }
        let Some(user) = self.hub.known_user(&change.user_id) else { return };
        let mut rooms = user.rooms.lock();
        let room = self.hub.room(number, room_id);
        let loaded = rooms.change(offset, |entries| match change.after {
            Some((membership, event)) => {
                // As the projector has it: a ban does not bring back what was forgotten.
                let was_forgotten = entries.get(&number).is_some_and(|entry| entry.forgotten);
                let forgotten = was_forgotten && matches!(membership, Membership::Leave | Membership::Ban);
                entries.insert(number, Entry { room: Arc::clone(&room), membership, event, forgotten });
            }
            None => drop(entries.remove(&number)),
        });
        if loaded && change.membership() == Some(Membership::Join) {
            room.listen(&user);
        }
        drop(rooms);
        user.device_lists.raise(offset);
        user.presence.raise(offset);
        touch(&mut self.to_wake, &user, offset);
    }

    fn event(&mut self, room: &Arc<RoomHub>, offset: Offset, pdu: &Arc<Pdu>, members_changed: bool) {
        room.latest.raise(offset);
        if members_changed || pdu.event_type == "m.room.member" {
            room.members_changed.raise(offset);
        }
        if room.push(offset, pdu) {
            self.kept.push_back(Arc::clone(room));
            if self.kept.len() > limits::RECENT_EVENTS_MAX
                && let Some(oldest) = self.kept.pop_front()
            {
                oldest.drop_oldest();
            }
        }
        let to_wake = &mut self.to_wake;
        room.for_listeners(|user| {
            if members_changed {
                user.device_lists.raise(offset);
                user.presence.raise(offset);
            }
            touch(to_wake, user, offset);
        });
    }

    /// Whoever has not joined any more does not listen, but has been told of that.
    fn unlisten(&self, number: RoomNumber, memberships: &[MemberChange]) {
        let Some(room) = self.hub.known_room(number) else { return };
        let gone = memberships.iter().filter(|change| change.membership() != Some(Membership::Join));
        for user in gone.filter_map(|change| self.hub.known_user(&change.user_id)) {
            room.unlisten(&user);
        }
    }

    /// State changed without an event that says so.
    fn state_changed(&mut self, number: RoomNumber, offset: Offset, members_changed: bool) {
        let Some(room) = self.hub.known_room(number) else { return };
        room.latest.raise(offset);
        room.state_changed.raise(offset);
        room.members_changed.raise(offset);
        let to_wake = &mut self.to_wake;
        room.for_listeners(|user| {
            if members_changed {
                user.device_lists.raise(offset);
                user.presence.raise(offset);
            }
            touch(to_wake, user, offset);
        });
    }

    fn user_delta(&mut self, snapshot: &Snapshot, offset: Offset, delta: &UserDelta) {
        match delta {
            UserDelta::AccountData { user_id, .. } => self.own(user_id, offset, |user| user.account_data.raise(offset)),
            UserDelta::ToDevice { user_id, .. } => self.own(user_id, offset, |user| user.to_device.raise(offset)),
            UserDelta::SignaturesChanged { signer, .. } => {
                self.own(signer, offset, |user| user.device_lists.raise(offset));
            }
            UserDelta::DeviceListChanged { user_id } => {
                self.sharing(snapshot, user_id, offset, |user| user.device_lists.raise(offset));
            }
            UserDelta::OneTimeKeysChanged { user_id, device_id } => {
                self.own(user_id, offset, |user| user.keys.raise(device_id, offset));
            }
            UserDelta::DevicesRemoved { user_id, device_ids } => {
                self.live.remove_devices(user_id, Some(device_ids), (self.clock)());
                // Their polls end, and are told that they are logged out.
                self.own(user_id, offset, |user| {
                    for device_id in device_ids {
                        user.keys.raise(device_id, offset);
                    }
                });
            }
            UserDelta::AccountDeactivated { user_id } => {
                self.live.remove_devices(user_id, None, (self.clock)());
            }
            UserDelta::ProfileChanged { .. } => {}
        }
    }

    fn ephemeral_delta(&mut self, offset: Offset, delta: &EphemeralDelta) {
        let EphemeralDelta::Receipt { room_id, user_id, private } = delta;
        let Some(room) = self.hub.known_room_by_id(room_id) else { return };
        room.ephemeral.raise(offset);
        if *private {
            self.own(user_id, offset, |_| ());
        } else {
            let to_wake = &mut self.to_wake;
            room.for_listeners(|user| touch(to_wake, user, offset));
        }
    }

    /// Who is not in a room does not type there, whatever was said before they left, or at the same moment.
    fn stops_typing(&mut self, room_id: &str, user_id: &str, offset: Offset) {
        if self.live.left(room_id, user_id, offset)
            && let Some(room) = self.hub.known_room_by_id(room_id)
        {
            self.ephemeral_changed(&room, offset);
        }
    }

    fn ephemeral_changed(&mut self, room: &RoomHub, offset: Offset) {
        room.ephemeral.raise(offset);
        let to_wake = &mut self.to_wake;
        room.for_listeners(|user| touch(to_wake, user, offset));
    }

    /// Most records of typing only say again what is known, and wake nobody.
    fn typing(&mut self, snapshot: &Snapshot, ephemeral: &[Record]) {
        for record in ephemeral {
            let Ok(InputRef::TypingSet(typing)) = record.input() else { continue };
            if self.live.typing_changed(&typing.room_id) < record.offset {
                continue;
            }
            // In a room that the hub does not know nobody is told, and time ends it.
            let Some(room) = self.hub.known_room_by_id(&typing.room_id) else { continue };
            self.ephemeral_changed(&room, record.offset);
            if typing.until_ms.is_some() && !self.may_be_in(snapshot, &room, &typing.user_id) {
                self.stops_typing(&typing.room_id, &typing.user_id, record.offset);
            }
        }
    }

    /// Whether a user is in a room, as far as that is remembered or costs little to find out.
    fn may_be_in(&mut self, snapshot: &Snapshot, room: &RoomHub, user_id: &str) -> bool {
        let rooms = self.rooms_of(snapshot, user_id);
        rooms.is_none_or(|rooms| rooms.iter().any(|joined| joined.number == room.number))
    }

    /// Tells those who share rooms of everybody whose presence changed: each room once, however many of its members are
    /// among them.
    fn presence(&mut self, snapshot: &Snapshot, ephemeral: &[Record]) {
        let mut last = None;
        let mut rooms = BTreeMap::new();
        let mut anybody_may_share = false;
        for record in ephemeral {
            let Ok(InputRef::PresenceSet(presence)) = record.input() else { continue };
            last = Some(record.offset);
            self.own(&presence.user_id, record.offset, |user| user.presence.raise(record.offset));
            match self.rooms_of(snapshot, &presence.user_id) {
                Some(joined) => rooms.extend(joined.into_iter().map(|room| (room.number, room))),
                None => anybody_may_share = true,
            }
        }
        let Some(last) = last else { return };
        let to_wake = &mut self.to_wake;
        let mut tell = |user: &Arc<UserHub>| {
            user.presence.raise(last);
            touch(to_wake, user, last);
        };
        if anybody_may_share {
            self.hub.known_users().iter().for_each(tell);
        } else {
            for room in rooms.values() {
                room.for_listeners(&mut tell);
            }
        }
    }

    /// Something concerns a user alone.
    fn own(&mut self, user_id: &str, offset: Offset, raise: impl Fn(&UserHub)) {
        if let Some(user) = self.hub.known_user(user_id) {
            raise(&user);
            touch(&mut self.to_wake, &user, offset);
        }
    }

    /// Something concerns a user and all who share a room with them.
    fn sharing(&mut self, snapshot: &Snapshot, user_id: &str, offset: Offset, raise: impl Fn(&UserHub)) {
        self.own(user_id, offset, &raise);
        let rooms = self.rooms_of(snapshot, user_id);
        let to_wake = &mut self.to_wake;
        let mut tell = |user: &Arc<UserHub>| {
            raise(user);
            touch(to_wake, user, offset);
        };
        match rooms {
            Some(rooms) => rooms.iter().for_each(|room| room.for_listeners(&mut tell)),
            None => self.hub.known_users().iter().for_each(tell),
        }
    }

    /// The rooms that a user has joined, as far as somebody is in them who has synced. None: perhaps all of them.
    fn rooms_of(&mut self, snapshot: &Snapshot, user_id: &str) -> Option<Vec<Arc<RoomHub>>> {
        if let Some(user) = self.hub.known_user(user_id) {
            let rooms = user.rooms.lock();
            if rooms.to_load().is_none() {
                self.strangers.forget(user_id);
                return Some(rooms.joined().map(|entry| Arc::clone(&entry.room)).collect());
            }
        }
        let joined = self.strangers.joined(snapshot, user_id)?;
        Some(joined.iter().filter_map(|room| self.hub.known_room(*room)).collect())
    }
}

fn touch(to_wake: &mut Vec<Arc<UserHub>>, user: &Arc<UserHub>, offset: Offset) {
    if user.touch(offset) {
        to_wake.push(Arc::clone(user));
    }
}
