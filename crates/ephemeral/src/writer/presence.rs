//! Telling of presence: a record for what others see otherwise than before, and for nothing else.

use engram_log::{Input, TimestampMs};
use engram_log_format::v1::PresenceSet;
use engram_views::{Decision, WriteError};

use super::{Ephemeral, subjects};
use crate::limits::PRESENCE_BATCH_MAX;
use crate::live::{Availability, Presence, Sum};

impl Ephemeral {
    /// A device says how present its user is, and what is to be said of them; no status message takes away the one
    /// before.
    ///
    /// What others see is what all devices of the user come to.
    pub async fn set_presence(
        &self,
        user_id: &str,
        device_id: &str,
        says: Availability,
        status_msg: Option<&str>,
    ) -> Result<(), WriteError> {
        let decided = self.decider.decide([subjects::presence(user_id)], |_, now| -> Result<_, WriteError> {
            // What cannot be told now is due from here on.
            self.live.declare(user_id, device_id, says, now);
            Ok(Decision::ephemeral(self.change(user_id, |_| status_msg.map(str::to_owned), now), ()))
        });
        decided.await?.applied().await
    }

    /// Tells of those who have come, gone or become idle. How many records that took.
    pub(super) async fn tell_presence(&self) -> Result<usize, WriteError> {
        let due = self.live.presence_due(self.decider.now(), PRESENCE_BATCH_MAX);
        if due.is_empty() {
            return Ok(0);
        }
        let subjects = due.iter().map(|user_id| subjects::presence(user_id));
        let decided = self.decider.decide(subjects, |_, now| -> Result<_, WriteError> {
            let changes: Vec<Input> = due.iter().filter_map(|user_id| self.change_or_settle(user_id, now)).collect();
            let count = changes.len();
            Ok(Decision::ephemeral(changes, count))
        });
        decided.await?.applied().await
    }

    /// The record that is due of a user, whom somebody else may have told of since they were found to be due.
    fn change_or_settle(&self, user_id: &str, now: TimestampMs) -> Option<Input> {
        let change = self.change(user_id, |before| before.and_then(|before| before.status_msg.clone()), now);
        if change.is_none() {
            self.live.settle(user_id, now);
        }
        change
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
