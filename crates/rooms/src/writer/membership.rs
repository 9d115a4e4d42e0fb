//! Changes of membership: join, leave, invite, knock, kick, ban, unban. The endpoints of that name and
//! `PUT /state/m.room.member` all end here (ROOM-07).

use engram_log::Offset;
use engram_matrix::build::Draft;
use serde_json::{Map, Value, json};

use super::head::Head;
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

/// The profile that a member event shows.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// `displayname`.
    pub displayname: Option<String>,
    /// `avatar_url`.
    pub avatar_url: Option<String>,
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
    /// The target's profile, as far as this server knows it.
    pub profile: Profile,
    /// Further keys of the content, from `PUT /state` or a third-party invite.
    pub extra: Option<Map<String, Value>>,
    /// The client's transaction.
    pub transaction: Option<TransactionScope<'a>>,
}

impl RoomServer {
    /// Changes a membership. What is so already stays so without a new event.
    pub fn change_membership(&self, request: &MembershipRequest<'_>) -> Result<Sent, RoomError> {
        if !engram_matrix::ids::is_user_id(request.target) {
            return Err(RoomError::InvalidParameter(format!("{:?} is not a user ID", request.target)));
        }
        request.transaction.as_ref().map_or(Ok(()), TransactionScope::check)?;
        self.with_head(request.room_id, |head| {
            let before = head.state.membership(request.target)?;
            check_change(request, before)?;
            let mut content = member_content(request);
            if request.change == Change::Join && before != Some(Membership::Join) {
                self.authorise_restricted_join(head, request.sender, before, &mut content)?;
            }
            if let Some(sent) = keep_as_is(head, request.target, before, &content)? {
                return Ok(sent);
            }
            let content = Value::Object(content).to_string();
            let draft = Draft {
                sender: request.sender,
                event_type: "m.room.member",
                state_key: Some(request.target),
                content: &content,
                redacts: None,
            };
            let event = self.compose(head, &draft, self.now().0)?;
            self.append(head, event, request.transaction)
        })
    }

    /// `PUT /state/m.room.member`: the content says which change is meant.
    pub fn put_member(&self, request: &SendRequest<'_>, target: &str) -> Result<Sent, RoomError> {
        let mut content: Map<String, Value> =
            serde_json::from_str(request.content).map_err(|error| RoomError::BadContent(error.to_string()))?;
        let word = content.get("membership").and_then(Value::as_str);
        let membership = word.and_then(Membership::parse).ok_or_else(|| {
            RoomError::BadContent("`membership` has to be one of ban, invite, join, knock, leave".to_owned())
        })?;
        content.remove("membership");
        let own = request.sender == target;
        let banned =
            self.with_head(request.room_id, |head| Ok(head.state.membership(target)?))? == Some(Membership::Ban);
        let change = match membership {
            Membership::Join => Change::Join,
            Membership::Knock => Change::Knock,
            Membership::Invite => Change::Invite,
            Membership::Ban => Change::Ban,
            Membership::Leave if own => Change::Leave,
            Membership::Leave if banned => Change::Unban,
            Membership::Leave => Change::Kick,
        };
        self.change_membership(&MembershipRequest {
            room_id: request.room_id,
            sender: request.sender,
            target,
            change,
            reason: None,
            profile: Profile::default(),
            extra: Some(content),
            transaction: request.transaction,
        })
    }

    /// Shows a user's new profile in every room that they have joined; returns the last position to wait for.
    ///
    /// A room that refuses is passed over: the profile itself is already changed.
    pub fn show_profile(&self, user_id: &str, profile: &Profile) -> Result<Offset, RoomError> {
        let snapshot = self.snapshot();
        let mut last = Offset::ZERO;
        for user_room in query::rooms_of(&*snapshot, user_id)? {
            if user_room.membership != Membership::Join {
                continue;
            }
            let room = query::room_by_number(&*snapshot, user_room.room)?;
            let shown = self.change_membership(&MembershipRequest {
                room_id: &room.room_id,
                sender: user_id,
                target: user_id,
                change: Change::Join,
                reason: None,
                profile: profile.clone(),
                extra: None,
                transaction: None,
            });
            match shown {
                Ok(sent) => last = last.max(sent.offset),
                Err(RoomError::Append(error)) => return Err(error.into()),
                Err(error) => {
                    tracing::info!(user_id, room_id = room.room_id, %error, "a room does not take the new profile");
                }
            }
        }
        Ok(last)
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
        (Change::Leave | Change::Kick, None | Some(Membership::Leave | Membership::Ban)) => {
            refuse(format!("{target} is not in the room {}", request.room_id))
        }
        (Change::Unban, before) if before != Some(Membership::Ban) => refuse(format!("{target} is not banned")),
        _ => Ok(()),
    }
}

fn member_content(request: &MembershipRequest<'_>) -> Map<String, Value> {
    let membership = match request.change {
        Change::Join => Membership::Join,
        Change::Leave | Change::Kick | Change::Unban => Membership::Leave,
        Change::Knock => Membership::Knock,
        Change::Invite => Membership::Invite,
        Change::Ban => Membership::Ban,
    };
    let mut content = request.extra.clone().unwrap_or_default();
    content.insert("membership".to_owned(), json!(membership.as_str()));
    if let Some(reason) = request.reason {
        content.insert("reason".to_owned(), json!(reason));
    }
    if matches!(request.change, Change::Join | Change::Knock | Change::Invite) {
        request.profile.write_to(&mut content);
    }
    content
}

impl Profile {
    /// Adds the fields that are set and not given otherwise.
    pub(super) fn write_to(&self, content: &mut Map<String, Value>) {
        for (key, value) in [("displayname", &self.displayname), ("avatar_url", &self.avatar_url)] {
            if let Some(value) = value
                && !content.contains_key(key)
            {
                content.insert(key.to_owned(), json!(value));
            }
        }
    }
}

/// A member who does what they have done already (joins twice with the same profile) gets the event that is there.
fn keep_as_is(
    head: &Head,
    target: &str,
    before: Option<Membership>,
    content: &Map<String, Value>,
) -> Result<Option<Sent>, RoomError> {
    let word = content.get("membership").and_then(Value::as_str);
    if before.map(Membership::as_str) != word {
        return Ok(None);
    }
    let Some(current) = head.state.entry("m.room.member", target)? else {
        return Ok(None);
    };
    let mut shown: Map<String, Value> = current.content().unwrap_or_default();
    shown.remove("join_authorised_via_users_server");
    Ok((&shown == content).then(|| Sent { event_id: current.event_id.to_string(), offset: head.appended }))
}
