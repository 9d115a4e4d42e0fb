//! Who attends on which device, in memory: from it follows what is to be told of a user, and when to look again.
//!
//! A device counts as long as it polls, and for a while after. The most present of a user's devices speaks for them.
//! Nothing here is told to anybody: the writer of presence asks what is due, appends a record, and the record is what
//! others see. More presence is due at once, less of it only when it lasts ([`SETTLE`]); so devices that contradict
//! each other cost nothing.
//!
//! No clock is read: every call brings the time.

use std::collections::{BTreeMap, BTreeSet};

use engram_log::TimestampMs;

use super::device::{Availability, Device, PollId, after};
use crate::limits::SETTLE;

/// Everybody who attends.
#[derive(Debug, Default)]
pub(super) struct Attendance {
    users: BTreeMap<String, User>,
    /// When to look at whom again: an entry for each user who is to be looked at.
    due: BTreeSet<(TimestampMs, String)>,
    polls: u64,
}

#[derive(Debug)]
struct User {
    devices: BTreeMap<String, Device>,
    /// What others were told last.
    told: Availability,
    due: Option<TimestampMs>,
}

/// What a user's devices come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) availability: Availability,
    pub(crate) last_active: TimestampMs,
}

/// In the place of the device, for what is known of a user from before the start.
const FORMER: &str = "";

impl Attendance {
    /// A user was present before the start, on devices that may or may not come back.
    pub(super) fn remember(&mut self, user_id: &str, told: Availability, last_active: TimestampMs, now: TimestampMs) {
        self.change(user_id, told, now, |devices| {
            devices.insert(FORMER.to_owned(), Device::new(told, last_active, now));
        });
    }

    /// A device begins to poll. `told` is what others know of its user.
    pub(super) fn poll_began(
        &mut self,
        (user_id, device_id): (&str, &str),
        says: Availability,
        told: Availability,
        now: TimestampMs,
    ) -> PollId {
        self.polls += 1;
        let poll = PollId(self.polls);
        self.device((user_id, device_id), says, told, now, |device| device.poll_began(poll, says, now));
        poll
    }

    /// A poll has ended.
    pub(super) fn poll_ended(&mut self, (user_id, device_id): (&str, &str), poll: PollId, now: TimestampMs) {
        let Some(told) = self.users.get(user_id).map(|user| user.told) else { return };
        self.change(user_id, told, now, |devices| {
            if let Some(device) = devices.get_mut(device_id) {
                device.poll_ended(poll, now);
            }
        });
    }

    /// A device says how present its user is.
    pub(super) fn declare(
        &mut self,
        (user_id, device_id): (&str, &str),
        says: Availability,
        told: Availability,
        now: TimestampMs,
    ) {
        self.device((user_id, device_id), says, told, now, |device| device.declare(says, now));
    }

    /// Somebody did something on a device.
    pub(super) fn act(&mut self, (user_id, device_id): (&str, &str), told: Availability, now: TimestampMs) {
        self.device((user_id, device_id), Availability::Online, told, now, |device| device.act(now));
    }

    /// Devices are no more.
    pub(super) fn remove(&mut self, user_id: &str, gone: impl Fn(&str) -> bool, now: TimestampMs) {
        let Some(told) = self.users.get(user_id).map(|user| user.told) else { return };
        self.change(user_id, told, now, |devices| devices.retain(|device_id, _| !gone(device_id)));
    }

    /// Others were told, or it was found that they need not be.
    pub(super) fn settle(&mut self, user_id: &str, told: Availability, now: TimestampMs) {
        if self.users.contains_key(user_id) {
            self.change(user_id, told, now, |_| ());
        }
    }

    /// What a user's devices come to; nothing if they attend on none.
    pub(super) fn sum(&self, user_id: &str, now: TimestampMs) -> Option<Sum> {
        self.users.get(user_id)?.sum(now)
    }

    /// When a user was last active, as far as their devices know.
    pub(super) fn last_active(&self, user_id: &str) -> Option<TimestampMs> {
        self.users.get(user_id)?.devices.values().map(|device| device.last_active).max()
    }

    /// The first of those who have to be looked at by now.
    pub(super) fn due(&self, now: TimestampMs, limit: usize) -> Vec<String> {
        let due = self.due.iter().take_while(|(at, _)| *at <= now).take(limit);
        due.map(|(_, user_id)| user_id.clone()).collect()
    }

    fn device(
        &mut self,
        (user_id, device_id): (&str, &str),
        says: Availability,
        told: Availability,
        now: TimestampMs,
        change: impl FnOnce(&mut Device),
    ) {
        self.change(user_id, told, now, |devices| {
            // Of a device that calls itself idle, or is not to be seen, no activity is known.
            let last_active = if says == Availability::Online { now } else { TimestampMs(0) };
            change(devices.entry(device_id.to_owned()).or_insert_with(|| Device::new(says, last_active, now)));
        });
    }

    fn change(
        &mut self,
        user_id: &str,
        told: Availability,
        now: TimestampMs,
        change: impl FnOnce(&mut BTreeMap<String, Device>),
    ) {
        if !self.users.contains_key(user_id) {
            self.users.insert(user_id.to_owned(), User { devices: BTreeMap::new(), told, due: None });
        }
        let user = self.users.get_mut(user_id).expect("it was there, or has just been inserted");
        user.told = told;
        change(&mut user.devices);
        let before = user.due;
        user.look_again(now);
        let (due, is_over) = (user.due, user.devices.is_empty() && user.due.is_none());
        if let Some(before) = before {
            let was_there = self.due.remove(&(before, user_id.to_owned()));
            assert!(was_there, "whoever is due is on the list");
        }
        if let Some(due) = due {
            self.due.insert((due, user_id.to_owned()));
        }
        if is_over {
            self.users.remove(user_id);
        }
        assert!(self.due.len() <= self.users.len(), "everybody on the list attends, and is on it once");
    }
}

impl User {
    fn sum(&self, now: TimestampMs) -> Option<Sum> {
        let availability = self.devices.values().map(|device| device.availability(now)).max()?;
        let last_active = self.devices.values().map(|device| device.last_active).max()?;
        Some(Sum { availability, last_active })
    }

    /// Decides when to look again, and forgets devices that are gone.
    fn look_again(&mut self, now: TimestampMs) {
        let sum = self.sum(now).map_or(Availability::Offline, |sum| sum.availability);
        if sum > self.told {
            self.due = Some(now);
            return;
        }
        if sum < self.told {
            let settled = after(now, SETTLE);
            // A look that is due already is not put off by whatever happens in the meantime.
            self.due = Some(self.due.filter(|due| *due <= settled).unwrap_or(settled));
            return;
        }
        self.devices.retain(|_, device| device.is_here(now));
        self.due = self.devices.values().filter_map(|device| device.next_change(now)).min();
    }
}
