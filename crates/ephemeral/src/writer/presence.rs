//! Telling of presence: a record for what others see otherwise than before, and for nothing else.

use engram_log::{Input, Lane, TimestampMs};
use engram_log_format::v1::PresenceSet;

use super::{Ephemeral, WriteError};
use crate::limits::PRESENCE_BATCH_MAX;
use crate::live::{Availability, Presence, Sum};

impl Ephemeral {
    /// A device says how present its user is, and what is to be said of them; no status message takes away the one before.
    ///
    /// What others see is what all devices of the user come to.
    pub fn set_presence(
        &self,
        user_id: &str,
        device_id: &str,
        says: Availability,
        status_msg: Option<&str>,
    ) -> Result<(), WriteError> {
        let _decision = self.lock(user_id);
        let now = (self.clock)();
        self.live.declare(user_id, device_id, says, now);
        match self.change(user_id, |_| status_msg.map(str::to_owned), now) {
            Some(set) => self.commit(Lane::Ephemeral, &[set], now),
            None => Ok(()),
        }
    }

    /// Tells of those who have come, gone or become idle. How many records that took.
    pub(super) fn tell_presence(&self, now: TimestampMs) -> Result<usize, WriteError> {
        if self.live.presence_due(now, 1).is_empty() {
            return Ok(0);
        }
        let _decisions = self.lock_all();
        let mut changes = Vec::new();
        for user_id in self.live.presence_due(now, PRESENCE_BATCH_MAX) {
            match self.change(&user_id, |before| before.and_then(|before| before.status_msg.clone()), now) {
                Some(set) => changes.push(set),
                None => self.live.settle(&user_id, now),
            }
        }
        if !changes.is_empty() {
            self.commit(Lane::Ephemeral, &changes, now)?;
        }
        Ok(changes.len())
    }

    /// The record that is due, if others see a user otherwise than their devices are.
    fn change(
        &self,
        user_id: &str,
        status_msg: impl FnOnce(Option<&Presence>) -> Option<String>,
        now: TimestampMs,
    ) -> Option<Input> {
        let before = self.live.presence(user_id);
        let nobody = Sum { availability: Availability::Offline, last_active: TimestampMs(0) };
        let sum = self.live.sum(user_id, now).unwrap_or(nobody);
        let status_msg = status_msg(before.as_ref());
        let told = before.as_ref().map_or(Availability::Offline, |before| before.availability);
        if told == sum.availability
            && before.as_ref().and_then(|before| before.status_msg.as_ref()) == status_msg.as_ref()
        {
            return None;
        }
        let last_active = match before.map_or(TimestampMs(0), |before| before.last_active).max(sum.last_active) {
            // Nobody has ever seen them do anything: this is the first that is heard of them.
            TimestampMs(0) => now,
            last_active => last_active,
        };
        let set = PresenceSet {
            user_id: user_id.to_owned(),
            presence: sum.availability.as_str().to_owned(),
            status_msg,
            last_active_ms: last_active.0,
            currently_active: sum.availability == Availability::Online,
        };
        Some(set.into())
    }
}
