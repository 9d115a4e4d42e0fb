//! Joining the branches of a room that has too many: an event of a local member that does nothing else, and that
//! clients are not shown.

use engram_matrix::build::Draft;

use super::head::Head;
use super::{RoomError, RoomServer, Sent};
use crate::extremities::DUMMY_EVENT;
use crate::limits::{EXTREMITIES_CROWDED, JOINING_SENDERS_MAX};
use crate::query;
use crate::types::Membership;

impl RoomServer {
    /// Joins branches of the rooms that were noted since the last call, with one event in each. A room that is still
    /// crowded then will be noted again. Returns how many events were sent. To be called now and then.
    pub async fn join_crowded(&self) -> usize {
        let rooms = std::mem::take(&mut *self.crowded.lock());
        let mut sent = 0;
        for room_id in rooms {
            match self.join_branches(&room_id).await {
                Ok(joined) => sent += usize::from(joined.is_some()),
                Err(error) => tracing::warn!(%room_id, %error, "the branches of a room cannot be joined"),
            }
        }
        sent
    }

    /// Joins branches of a room with one event, if it has too many and a local member may send one.
    pub async fn join_branches(&self, room_id: &str) -> Result<Option<Sent>, RoomError> {
        let joined = self.with_head(room_id, |head| {
            if head.prev_events.len() <= EXTREMITIES_CROWDED {
                return Ok(None);
            }
            for sender in self.possible_senders(head)? {
                let draft =
                    Draft { sender: &sender, event_type: DUMMY_EVENT, state_key: None, content: "{}", redacts: None };
                match self.compose(head, &draft, self.now().0) {
                    Ok(event) => return self.append(head, event, None).map(Some),
                    Err(RoomError::Forbidden(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(None)
        });
        joined.await
    }

    /// Local members with the power to send.
    fn possible_senders(&self, head: &Head) -> Result<Vec<String>, RoomError> {
        let Some(room) = head.number() else { return Ok(Vec::new()) };
        let powers = head.powers()?;
        let required = powers.levels.required_for(DUMMY_EVENT, false);
        let members = query::members(&*self.snapshot(), room, Some(&[Membership::Join]))?;
        let users = members.into_iter().map(|member| member.user_id);
        let able = users.filter(|user| self.is_local(user) && powers.levels.user_level(user) >= required);
        Ok(able.take(JOINING_SENDERS_MAX).collect())
    }
}
