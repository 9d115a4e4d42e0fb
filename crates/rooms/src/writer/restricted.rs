//! Joins to restricted rooms: who may come in because they are in another room (ROOM-11).

use engram_matrix::join_rules::JoinRule;

use super::head::Head;
use super::{RoomError, RoomServer};
use crate::query;
use crate::types::Membership;

impl RoomServer {
    /// If the room is restricted, names a local member in whose power it is to let somebody in who is neither there nor
    /// invited. None where the join needs no such voucher, or cannot have one: then the auth rules say no.
    pub(super) fn voucher(&self, head: &Head, joiner: &str) -> Result<Option<String>, RoomError> {
        let rule = JoinRule::in_state(head.state.entry("m.room.join_rules", "")?.as_deref());
        if !self.is_in_any(joiner, rule.allowed_rooms())? {
            return Ok(None);
        }
        self.local_inviter(head)
    }

    fn is_in_any(&self, user_id: &str, room_ids: &[String]) -> Result<bool, RoomError> {
        let snapshot = self.snapshot();
        for room_id in room_ids {
            let Some(room) = query::room(&*snapshot, room_id)? else {
                continue;
            };
            if let Some((Membership::Join, _)) = query::membership(&*snapshot, room.number, user_id)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The first local member, by user ID, who is joined and may invite.
    fn local_inviter(&self, head: &Head) -> Result<Option<String>, RoomError> {
        let Some(number) = head.number() else {
            return Ok(None);
        };
        let powers = head.powers()?;
        let snapshot = self.snapshot();
        for member in query::members(&*snapshot, number, Some(&[Membership::Join]))? {
            let may_invite =
                self.is_local(&member.user_id) && powers.levels.user_level(&member.user_id) >= powers.levels.invite;
            if may_invite && head.state.membership(&member.user_id)? == Some(Membership::Join) {
                return Ok(Some(member.user_id));
            }
        }
        Ok(None)
    }
}
