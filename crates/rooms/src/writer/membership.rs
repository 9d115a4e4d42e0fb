//! Changes of membership: join, leave, invite, knock, kick, ban, unban. The endpoints of that name and
//! `PUT /state/m.room.member` all end here (ROOM-07).

use engram_log::Offset;
use engram_matrix::pdu::Pdu;
use serde_json::{Map, Value};

use super::accounts::ProfileField;
use super::guests;
use super::head::Head;
use super::member::MemberContent;
use super::send::TransactionScope;
use super::{RoomError, RoomServer, SendRequest, Sent};
use crate::query;
use crate::types::Membership;

/// What is to happen to the target's membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The sender joins.
    Join,
    /// The sender leaves, rejects an invite or takes back a knock.
    Leave,
    /// The sender asks to be let in.
    Knock,
    /// The sender invites the target.
    Invite,
    /// The sender removes the target, who is in the room, invited or knocking.
    Kick,
    /// The sender bans the target.
    Ban,
    /// The sender lifts a ban.
    Unban,
}

impl Change {
    fn membership(self) -> Membership {
        match self {
            Self::Join => Membership::Join,
            Self::Leave | Self::Kick | Self::Unban => Membership::Leave,
            Self::Knock => Membership::Knock,
            Self::Invite => Membership::Invite,
            Self::Ban => Membership::Ban,
        }
    }

    /// Whether it is about the sender themselves, and open to somebody who is not in the room.
    fn is_own(self) -> bool {
        matches!(self, Self::Join | Self::Leave | Self::Knock)
    }
}

/// A change of membership that a local user asks for.
#[derive(Clone, Debug)]
pub struct MembershipRequest<'a> {
    /// The room.
    pub room_id: &'a str,
    /// Who acts.
    pub sender: &'a str,
    /// Whose membership changes.
    pub target: &'a str,
    /// How.
    pub change: Change,
    /// The reason given.
    pub reason: Option<&'a str>,
    /// Further keys of the content, from `PUT /state` or a third-party invite.
    pub extra: Option<Map<String, Value>>,
    /// The client's transaction.
    pub transaction: Option<TransactionScope<'a>>,
}

/// How the present profile of a member is treated who joins once more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    /// It stays: they have just said so twice.
    Keeps,
    /// The content says all that there is.
    Replaces,
}

impl RoomServer {
    /// Changes a membership. What is so already stays so without a new event.
    pub async fn change_membership(&self, request: &MembershipRequest<'_>) -> Result<Sent, RoomError> {
        check_target(request.target)?;
        request.transaction.as_ref().map_or(Ok(()), TransactionScope::check)?;
        let is_guest = self.check_guest_change(request.sender, request.change)?;
        let changed = self.with_head(request.room_id, |head| self.change(head, request, Again::Keeps)).await;
        match changed {
            // Whether there is a room is as little a guest's business as anybody's.
            Err(RoomError::NotInRoom(_)) if is_guest => Err(guests::not_admitted()),
            changed => changed,
        }
    }

    /// `PUT /state/m.room.member`: the content says which change is meant.
    pub(super) async fn put_member(&self, request: &SendRequest<'_>, target: &str) -> Result<Sent, RoomError> {
        check_target(target)?;
        let mut content: Map<String, Value> =
            serde_json::from_str(request.content).map_err(|error| RoomError::BadContent(error.to_string()))?;
        let word = content.get("membership").and_then(Value::as_str);
        let membership = word.and_then(Membership::parse).ok_or_else(|| {
            RoomError::BadContent("`membership` has to be one of ban, invite, join, knock, leave".to_owned())
        })?;
        content.remove("membership");
        let mut wanted = MembershipRequest {
            room_id: request.room_id,
            sender: request.sender,
            target,
            change: change_to(membership, request.sender == target),
            reason: None,
            extra: Some(content),
            transaction: request.transaction,
        };
        let is_guest = self.check_guest_change(request.sender, wanted.change)?;
        let changed = self.with_head(request.room_id, |head| {
            if wanted.change == Change::Kick && head.state.membership(target)? == Some(Membership::Ban) {
                wanted.change = Change::Unban;
            }
            self.change(head, &wanted, Again::Replaces)
        });
        match changed.await {
            Err(RoomError::NotInRoom(_)) if is_guest => Err(guests::not_admitted()),
            changed => changed,
        }
    }

    fn change(&self, head: &mut Head, request: &MembershipRequest<'_>, again: Again) -> Result<Sent, RoomError> {
        if !request.change.is_own() {
            Self::check_member(head, request.sender)?;
        }
        let before = head.state.membership(request.target)?;
        check_change(request, before)?;
        if request.change == Change::Join && self.check_guest_change(request.sender, Change::Join)? {
            guests::admit_guest(head)?;
        }
        let content = self.content(head, request, before, again)?;
        let moved_from = if request.change == Change::Join { predecessor(head)? } else { None };
        if let Some(sent) = keep_as_is(head, request.target, before, &content)? {
            return Ok(Sent { moved_from, ..sent });
        }
        let composed = self.compose_member(head, request.sender, request.target, &content);
        let event = composed.map_err(|error| discreet(error, head, request, before))?;
        let sent = self.append(head, event, request.transaction)?;
        Ok(Sent { moved_from, ..sent })
    }

    fn content(
        &self,
        head: &Head,
        request: &MembershipRequest<'_>,
        before: Option<Membership>,
        again: Again,
    ) -> Result<MemberContent, RoomError> {
        let mut said = request.extra.clone().unwrap_or_default();
        if request.change == Change::Join && before == Some(Membership::Join) && again == Again::Keeps {
            keep_profile(head, request.target, &mut said)?;
        }
        let content = MemberContent::new(request.change.membership(), said).with("reason", request.reason);
        let content = match request.change {
            Change::Join | Change::Knock | Change::Invite => {
                content.with_profile(&self.accounts.profile(&*self.snapshot(), request.target)?)
            }
            Change::Leave | Change::Kick | Change::Ban | Change::Unban => content,
        };
        if request.change != Change::Join || matches!(before, Some(Membership::Join | Membership::Invite)) {
            return Ok(content);
        }
        Ok(match self.voucher(head, request.sender)? {
            Some(voucher) => content.vouched_by(&voucher),
            None => content,
        })
    }

    /// Shows what a user has changed of their profile in every room that they have joined; returns the last position to
    /// wait for. What they have set for one room otherwise stays.
    ///
    /// A room that refuses is passed over: the profile itself is already changed.
    pub async fn show_profile(&self, user_id: &str, field: ProfileField) -> Result<Offset, RoomError> {
        let snapshot = self.snapshot();
        let profile = self.accounts.profile(&*snapshot, user_id)?;
        let mut last = Offset::ZERO;
        for user_room in query::rooms_of(&*snapshot, user_id)? {
            if user_room.membership != Membership::Join {
                continue;
            }
            let room_id = query::room_by_number(&*snapshot, user_room.room)?.room_id;
            let shown = self.with_head(&room_id, |head| {
                let Some(present) = head.state.entry("m.room.member", user_id)? else { return Ok(None) };
                if Membership::of(&present) != Some(Membership::Join) {
                    return Ok(None);
                }
                let content = MemberContent::of_present(&present).with_field(field, &profile);
                if content == MemberContent::of_present(&present) {
                    return Ok(None);
                }
                let event = self.compose_member(head, user_id, user_id, &content)?;
                self.append(head, event, None).map(Some)
            });
            match shown.await {
                Ok(sent) => last = last.max(sent.map_or(Offset::ZERO, |sent| sent.offset)),
                Err(RoomError::Append(error)) => return Err(error.into()),
                Err(error) => tracing::info!(user_id, room_id, %error, "a room does not take the new profile"),
            }
        }
        Ok(last)
    }
}

fn check_target(target: &str) -> Result<(), RoomError> {
    if engram_matrix::ids::is_user_id(target) {
        return Ok(());
    }
    Err(RoomError::InvalidParameter(format!("{target:?} is not a user ID")))
}

fn change_to(membership: Membership, own: bool) -> Change {
    match membership {
        Membership::Join => Change::Join,
        Membership::Knock => Change::Knock,
        Membership::Invite => Change::Invite,
        Membership::Ban => Change::Ban,
        Membership::Leave if own => Change::Leave,
        Membership::Leave => Change::Kick,
    }
}

/// What the endpoints promise beyond the auth rules.
fn check_change(request: &MembershipRequest<'_>, before: Option<Membership>) -> Result<(), RoomError> {
    let target = request.target;
    let refuse = |why: String| Err(RoomError::Forbidden(why));
    match (request.change, before) {
        (Change::Join | Change::Leave | Change::Knock, _) if request.sender != target => {
            refuse(format!("{} cannot do that for {target}", request.sender))
        }
        (Change::Invite, Some(Membership::Join)) => refuse(format!("{target} is already in the room")),
        (Change::Invite, Some(Membership::Ban)) => refuse(format!("{target} is banned from the room")),
        (Change::Leave, None | Some(Membership::Leave | Membership::Ban)) => {
            Err(RoomError::NotInRoom(request.room_id.to_owned()))
        }
        (Change::Kick, None | Some(Membership::Leave | Membership::Ban)) => {
            refuse(format!("{target} is not in the room {}", request.room_id))
        }
        (Change::Unban, before) if before != Some(Membership::Ban) => refuse(format!("{target} is not banned")),
        _ => Ok(()),
    }
}

/// Why somebody cannot come in is for those to know who have had to do with the room; to others there might be none.
fn discreet(error: RoomError, head: &Head, request: &MembershipRequest<'_>, before: Option<Membership>) -> RoomError {
    match error {
        RoomError::Forbidden(_) if request.change.is_own() && before.is_none() => {
            RoomError::NotInRoom(head.room_id.to_string())
        }
        error => error,
    }
}

/// A member who joins once more without saying otherwise goes on showing what they show in this room.
fn keep_profile(head: &Head, target: &str, said: &mut Map<String, Value>) -> Result<(), RoomError> {
    let Some(present) = head.state.entry("m.room.member", target)? else { return Ok(()) };
    let present: Map<String, Value> = present.content().unwrap_or_default();
    for field in ProfileField::ALL {
        if let Some(value) = present.get(field.name()) {
            said.entry(field.name()).or_insert_with(|| value.clone());
        }
    }
    Ok(())
}

/// The room that this one says it replaced.
fn predecessor(head: &Head) -> Result<Option<String>, RoomError> {
    Ok(head.presented("m.room.create", "")?.and_then(|create| predecessor_of(&create)))
}

fn predecessor_of(create: &Pdu) -> Option<String> {
    let content: Map<String, Value> = create.content().unwrap_or_default();
    named_predecessor(&content)
}

/// The room that the content of a create event says it replaces.
pub(super) fn named_predecessor(content: &Map<String, Value>) -> Option<String> {
    content.get("predecessor")?.get("room_id")?.as_str().map(str::to_owned)
}

/// A member who does what they have done already (joins twice with the same profile) gets the event that is there.
fn keep_as_is(
    head: &Head,
    target: &str,
    before: Option<Membership>,
    content: &MemberContent,
) -> Result<Option<Sent>, RoomError> {
    let Some(current) = head.state.entry("m.room.member", target)? else {
        return Ok(None);
    };
    let same = before.is_some() && content.is_said_by(&current);
    Ok(same.then(|| Sent::new(&current, head.appended)))
}
