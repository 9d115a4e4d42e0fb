//! What guests may do in rooms (UIA-19), whatever the endpoint: say anything, join where they are welcome, and leave.
//!
//! Where they are no longer welcome they are taken out again. What changes that may be an event of this server or
//! another's, a redaction, or a resolution of states; so not those who send are asked to see to it, but whoever
//! observes what was applied. After a start all guests are looked at once: a crash may have come between.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use engram_log::Offset;
use engram_views::Read;

use super::head::Head;
use super::membership::Change;
use super::{MembershipRequest, RoomError, RoomServer};
use crate::query;
use crate::types::Membership;

/// What guests are told.
const NOT_FOR_GUESTS: &str = "guests cannot do this";
/// What guests are told who try to join, also where there is no room.
const NOT_ADMITTED: &str = "this room does not admit guests";

/// Rooms that may not admit guests any more, and who waits for there to be some.
#[derive(Default)]
pub(super) struct Doors {
    closed: BTreeSet<Arc<str>>,
    keeper: Option<Waker>,
}

impl RoomServer {
    /// Refuses guests.
    pub(super) fn no_guest(&self, user_id: &str) -> Result<(), RoomError> {
        if self.accounts.is_guest(&*self.snapshot(), user_id)? {
            return Err(RoomError::GuestForbidden(NOT_FOR_GUESTS));
        }
        Ok(())
    }

    /// Refuses a change of membership that is no guest's to make, if the sender is one. Returns whether they are.
    pub(super) fn check_guest_change(&self, user_id: &str, change: Change) -> Result<bool, RoomError> {
        match change {
            Change::Leave => Ok(false),
            Change::Join => Ok(self.accounts.is_guest(&*self.snapshot(), user_id)?),
            Change::Knock | Change::Invite | Change::Kick | Change::Ban | Change::Unban => {
                self.no_guest(user_id).map(|()| false)
            }
        }
    }

    /// Resolves when there is something to do for [`RoomServer::dismiss_guests`]. One task at a time may wait.
    pub async fn door_closed(&self) {
        poll_fn(|context| {
            let mut doors = self.doors.lock();
            if doors.closed.is_empty() {
                doors.keeper = Some(context.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
    }

    /// Notes that a room may not admit guests any more.
    pub(super) fn note_door(&self, room_id: &Arc<str>) {
        let keeper = {
            let mut doors = self.doors.lock();
            doors.closed.insert(Arc::clone(room_id));
            doors.keeper.take()
        };
        if let Some(keeper) = keeper {
            keeper.wake();
        }
    }

    /// Takes guests out of the rooms that were noted since the last call, and that do not admit them. Returns how many
    /// have left.
    pub async fn dismiss_guests(&self) -> usize {
        let rooms = std::mem::take(&mut self.doors.lock().closed);
        let mut left = 0;
        for room_id in rooms {
            match self.dismiss_guests_of(&room_id).await {
                Ok(count) => left += count,
                Err(error) => tracing::warn!(%room_id, %error, "the guests of a room cannot be taken out of it"),
            }
        }
        left
    }

    /// Takes all guests out of all rooms that do not admit them: what a crash may have left undone. Returns how many
    /// have left.
    pub async fn dismiss_all_guests(&self) -> Result<usize, RoomError> {
        let snapshot = self.snapshot();
        let mut left = 0;
        for user_id in self.accounts.guests(&*snapshot)? {
            for room in query::rooms_of(&*snapshot, &user_id)?.iter().filter(|room| room.membership == Membership::Join)
            {
                let room_id = query::room_by_number(&*snapshot, room.room)?.room_id;
                if !self.with_head(&room_id, |head| guests_may_join(head)).await? {
                    left += usize::from(self.dismiss(&room_id, &user_id).await);
                }
            }
        }
        Ok(left)
    }

    async fn dismiss_guests_of(&self, room_id: &str) -> Result<usize, RoomError> {
        let (admitted, appended) = self.with_head(room_id, |head| Ok((guests_may_join(head)?, head.appended))).await?;
        if admitted {
            return Ok(0);
        }
        // Whoever came in before is a member then, and nobody comes in after.
        self.reading.caught_up(appended).await?;
        let mut left = 0;
        for user_id in self.local_guests(room_id)? {
            left += usize::from(self.dismiss(room_id, &user_id).await);
        }
        Ok(left)
    }

    fn local_guests(&self, room_id: &str) -> Result<Vec<String>, RoomError> {
        let snapshot = self.snapshot();
        let reader: &dyn Read = &*snapshot;
        let Some(room) = query::room(reader, room_id)? else { return Ok(Vec::new()) };
        let mut guests = Vec::new();
        for member in query::members(reader, room.number, Some(&[Membership::Join]))? {
            if self.is_local(&member.user_id) && self.accounts.is_guest(reader, &member.user_id)? {
                guests.push(member.user_id);
            }
        }
        Ok(guests)
    }

    /// One guest who cannot be taken out must not keep the others in.
    async fn dismiss(&self, room_id: &str, user_id: &str) -> bool {
        let request = MembershipRequest {
            room_id,
            sender: user_id,
            target: user_id,
            change: Change::Leave,
            reason: None,
            extra: None,
            transaction: None,
        };
        match self.change_membership(&request).await {
            Ok(sent) => sent.offset > Offset::ZERO,
            // They have left by themselves.
            Err(RoomError::NotInRoom(_)) => false,
            Err(error) => {
                tracing::warn!(room_id, user_id, %error, "a guest cannot be taken out of a room");
                false
            }
        }
    }
}

/// Refuses guests where they are not welcome, and where there is no room.
pub(super) fn admit_guest(head: &Head) -> Result<(), RoomError> {
    if guests_may_join(head)? { Ok(()) } else { Err(not_admitted()) }
}

pub(super) fn not_admitted() -> RoomError {
    RoomError::GuestForbidden(NOT_ADMITTED)
}

/// Whether guests may join a room (GUEST-06). What was redacted says nothing.
fn guests_may_join(head: &Head) -> Result<bool, RoomError> {
    let Some(event) = head.presented("m.room.guest_access", "")? else { return Ok(false) };
    let content: serde_json::Map<String, serde_json::Value> = event.content().unwrap_or_default();
    Ok(content.get("guest_access").and_then(serde_json::Value::as_str) == Some("can_join"))
}
