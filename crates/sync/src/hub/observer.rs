//! Feeds the hub: lives on the pipeline's thread, raises marks and collects whom to wake.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use engram_ephemeral::{EphemeralDelta, Live};
use engram_log::{InputRef, Offset, Record};
use engram_matrix::Pdu;
use engram_rooms::{Membership, RoomDelta, RoomNumber, query};
use engram_users::UserDelta;
use engram_views::{Observer, Snapshot, Views};

use super::{Entry, Hub, RoomHub, UserHub};
use crate::limits;
use crate::server::Clock;

/// Takes in what was committed. To be registered after the observer of typing and presence, which it asks.
pub(crate) struct HubObserver {
    hub: Arc<Hub>,
    views: Arc<Views>,
    live: Arc<Live>,
    clock: Clock,
    /// The rooms of the events that are kept in memory, oldest first.
    kept: VecDeque<Arc<RoomHub>>,
    /// Whom to wake at the end of the batch.
    to_wake: Vec<Arc<UserHub>>,
}

impl Observer for HubObserver {
    fn committed(&mut self, snapshot: &Snapshot, deltas: &[(Offset, Box<dyn Any + Send>)], ephemeral: &[Record]) {
        // The order of these steps is what lets requests run beside them without a lock: marks are raised before the position
        // that they belong to is shown, and nobody is woken before that.
        self.hub.taking.raise(snapshot.offset());
        for (offset, delta) in deltas {
            let delta: &dyn Any = &**delta;
            if let Some(delta) = delta.downcast_ref::<RoomDelta>() {
                self.room_delta(snapshot, delta);
            } else if let Some(delta) = delta.downcast_ref::<UserDelta>() {
                self.user_delta(snapshot, *offset, delta);
            } else if let Some(delta) = delta.downcast_ref::<EphemeralDelta>() {
                self.ephemeral_delta(*offset, delta);
            }
        }
        self.typing(snapshot, ephemeral);
        self.presence(snapshot, ephemeral);
        *self.hub.current.write() = self.views.snapshot();
        for user in self.to_wake.drain(..) {
            user.wake();
        }
    }
}

impl HubObserver {
    pub(crate) fn new(hub: Arc<Hub>, views: Arc<Views>, live: Arc<Live>, clock: Clock) -> Self {
        Self { hub, views, live, clock, kept: VecDeque::new(), to_wake: Vec::new() }
    }

    fn room_delta(&mut self, snapshot: &Snapshot, delta: &RoomDelta) {
        match delta {
            RoomDelta::Event { room, room_id, offset, pdu, membership } => {
                if let Some((user_id, _, after)) = membership {
                    self.membership(*room, room_id, *offset, user_id, *after);
                    if *after != Membership::Join {
                        self.stops_typing(room_id, user_id, *offset);
                    }
                }
                if let Some(room) = self.hub.known_room(*room) {
                    self.event(&room, *offset, pdu, membership.is_some());
                }
                if let Some((user_id, _, after)) = membership
                    && *after != Membership::Join
                    && let (Some(room), Some(user)) = (self.hub.known_room(*room), self.hub.known_user(user_id))
                {
                    room.unlisten(&user);
                }
            }
            RoomDelta::State { room, room_id, offset } => {
                for user_id in self.live.typing(room_id) {
                    if !is_joined(snapshot, *room, &user_id) {
                        self.stops_typing(room_id, &user_id, *offset);
                    }
                }
                self.state_changed(snapshot, *room, *offset);
            }
            RoomDelta::Forgotten { user_id, room } => {
                if let Some(user) = self.hub.known_user(user_id) {
                    user.rooms.lock().change(snapshot.offset(), |entries| {
                        if let Some(entry) = entries.get_mut(room) {
                            entry.forgotten = true;
                        }
                    });
                }
            }
        }
    }

    /// Somebody's membership changed. They listen from here on, if they have joined.
    fn membership(&mut self, number: RoomNumber, room_id: &str, offset: Offset, user_id: &str, after: Membership) {
        let Some(user) = self.hub.known_user(user_id) else { return };
        let mut rooms = user.rooms.lock();
        let room = self.hub.room(number, room_id);
        let entry = Entry { room: Arc::clone(&room), membership: after, event: offset, forgotten: false };
        let loaded = rooms.change(offset, |entries| _ = entries.insert(number, entry));
        if loaded && after == Membership::Join {
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

    /// State changed without an event that says so, memberships perhaps among it: whoever may be concerned loads anew.
    fn state_changed(&mut self, snapshot: &Snapshot, number: RoomNumber, offset: Offset) {
        let room = self.hub.known_room(number);
        for user in self.hub.known_users() {
            let after = query::membership(snapshot, number, &user.id).ok().flatten().map(|(membership, _)| membership);
            let mut rooms = user.rooms.lock();
            if rooms.entry(number).map(|entry| entry.membership) != after {
                rooms.unload();
                drop(rooms);
                user.device_lists.raise(offset);
                touch(&mut self.to_wake, &user, offset);
            }
        }
        if let Some(room) = room {
            room.latest.raise(offset);
            room.state_changed.raise(offset);
            room.members_changed.raise(offset);
            let to_wake = &mut self.to_wake;
            room.for_listeners(|user| {
                // Others' memberships may be among what changed.
                user.device_lists.raise(offset);
                user.presence.raise(offset);
                touch(to_wake, user, offset);
            });
        }
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
                    device_ids.iter().for_each(|device_id| user.keys.raise(device_id, offset));
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
            let room_id = &typing.room_id;
            if self.live.typing_changed(room_id) < record.offset {
                continue;
            }
            if let Some(room) = self.hub.known_room_by_id(room_id) {
                self.ephemeral_changed(&room, record.offset);
            }
            if typing.until_ms.is_some() && !is_joined_by_id(snapshot, room_id, &typing.user_id) {
                self.stops_typing(room_id, &typing.user_id, record.offset);
            }
        }
    }

    /// Tells those who share rooms of everybody whose presence changed: each room once, however many of its members are among them.
    fn presence(&mut self, snapshot: &Snapshot, ephemeral: &[Record]) {
        let mut rooms = BTreeMap::new();
        let mut last = None;
        for record in ephemeral {
            let Ok(InputRef::PresenceSet(presence)) = record.input() else { continue };
            let offset = record.offset;
            last = Some(offset);
            self.own(&presence.user_id, offset, |user| user.presence.raise(offset));
            for room in self.rooms_of(snapshot, &presence.user_id) {
                rooms.insert(room.number, room);
            }
        }
        let Some(last) = last else { return };
        let to_wake = &mut self.to_wake;
        for room in rooms.values() {
            room.for_listeners(|user| {
                user.presence.raise(last);
                touch(to_wake, user, last);
            });
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
        for room in self.rooms_of(snapshot, user_id) {
            let to_wake = &mut self.to_wake;
            room.for_listeners(|user| {
                raise(user);
                touch(to_wake, user, offset);
            });
        }
    }

    /// The rooms that a user has joined, as far as somebody is in them who has synced.
    fn rooms_of(&self, snapshot: &Snapshot, user_id: &str) -> Vec<Arc<RoomHub>> {
        if let Some(user) = self.hub.known_user(user_id) {
            let rooms = user.rooms.lock();
            if rooms.to_load().is_none() {
                return rooms.joined().map(|entry| Arc::clone(&entry.room)).collect();
            }
        }
        let rooms = query::rooms_of(snapshot, user_id).unwrap_or_else(|error| {
            tracing::warn!(%error, user_id, "the rooms of a user cannot be read; those who share them are told later");
            Vec::new()
        });
        let joined = rooms.iter().filter(|row| row.membership == Membership::Join);
        joined.filter_map(|row| self.hub.known_room(row.room)).collect()
    }
}

/// Whether a user is in a room. One of whom that cannot be read counts as being there: they are asked about again.
fn is_joined(snapshot: &Snapshot, room: RoomNumber, user_id: &str) -> bool {
    query::membership(snapshot, room, user_id)
        .map_or(true, |membership| matches!(membership, Some((Membership::Join, _))))
}

fn is_joined_by_id(snapshot: &Snapshot, room_id: &str, user_id: &str) -> bool {
    match query::room(snapshot, room_id) {
        Ok(Some(room)) => is_joined(snapshot, room.number, user_id),
        Ok(None) => false,
        Err(_) => true,
    }
}

fn touch(to_wake: &mut Vec<Arc<UserHub>>, user: &Arc<UserHub>, offset: Offset) {
    if user.touch(offset) {
        to_wake.push(Arc::clone(user));
    }
}
