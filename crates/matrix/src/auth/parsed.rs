//! Judging state events from values that were parsed once: state resolution judges thousands of events by the same few
//! of them.
//!
//! [`check`] knows the rules for what a room mostly consists of. Where it does not, it says so, and
//! [`super::check_dependent`] has to judge.

use super::{PowerLevels, message::is_ordinary};
use crate::{RoomVersion, ids, membership::Membership, power::Creation};

/// A state event, as far as the rules look at it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Its type.
    pub event_type: &'a str,
    /// Its state key.
    pub state_key: &'a str,
    /// Its sender.
    pub sender: &'a str,
    /// What its type alone has.
    pub own: Own<'a>,
}

/// What the rules look at in events of one type.
#[derive(Debug, Clone, Copy)]
pub enum Own<'a> {
    /// An event of a type without rules of its own, or without content that they look at.
    Nothing,
    /// The membership that a member event gives, and the one event that it follows, if that is all that it follows.
    Member(Membership, Option<&'a str>),
    /// The levels that a power levels event sets.
    Levels(&'a PowerLevels),
    /// Something that only the full rules read.
    Odd,
}

/// A join rule as the rules know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entrance {
    /// Anyone may join.
    Public,
    /// The invited may join.
    Invite,
    /// The invited may join, others knock.
    Knock,
    /// Members of other rooms may join.
    Restricted,
    /// Members of other rooms may join, others knock.
    KnockRestricted,
    /// Nobody may join.
    Closed,
}

/// The state by which an event is judged.
#[derive(Debug, Clone, Copy)]
pub struct State<'a> {
    /// The create event's ID.
    pub create: &'a str,
    /// What it says.
    pub creation: &'a Creation,
    /// Whether the state has power levels, or these are the defaults.
    pub has_levels: bool,
    /// The levels.
    pub levels: &'a PowerLevels,
    /// What the event's sender is to the room.
    pub sender: Membership,
    /// What the user is to the room whom the event's state key names.
    pub target: Membership,
    /// The join rule, if the state has one that can be read.
    pub entrance: Option<Entrance>,
}

impl Entrance {
    /// The rule of this word.
    pub fn parse(word: &str) -> Self {
        match word {
            "public" => Self::Public,
            "invite" => Self::Invite,
            "knock" => Self::Knock,
            "restricted" => Self::Restricted,
            "knock_restricted" => Self::KnockRestricted,
            _ => Self::Closed,
        }
    }
}

/// The state-dependent rules of the room version for a state event: whether it is allowed. `None` if only the full
/// rules can tell.
pub fn check(version: &RoomVersion, event: &Subject<'_>, state: &State<'_>) -> Option<bool> {
    if event.event_type == "m.room.create" {
        return Some(true);
    }
    if !state.creation.federate && ids::server_name_of(event.sender) != ids::server_name_of(&state.creation.sender) {
        return Some(false);
    }
    match event.own {
        Own::Odd => None,
        Own::Member(membership, follows) => check_member(version, event, membership, follows, state),
        _ if event.event_type == "m.room.aliases" && !is_ordinary(version, event.event_type) => None,
        _ if state.sender != Membership::Join => Some(false),
        _ if event.event_type == "m.room.third_party_invite" => {
            Some(state.levels.user_level(event.sender) >= state.levels.invite)
        }
        own => check_sent(version, event, own, state),
    }
}

/// An event that is no member event, of somebody who is in the room.
fn check_sent(version: &RoomVersion, event: &Subject<'_>, own: Own<'_>, state: &State<'_>) -> Option<bool> {
    if state.levels.user_level(event.sender) < state.levels.required_for(event.event_type, true)
        || (event.state_key.starts_with('@') && event.state_key != event.sender)
    {
        return Some(false);
    }
    match own {
        Own::Levels(next) if state.has_levels => state.levels.may_become(next, event.sender, version),
        Own::Levels(next) => next.may_begin(version),
        _ => is_ordinary(version, event.event_type).then_some(true),
    }
}

fn check_member(
    version: &RoomVersion,
    event: &Subject<'_>,
    membership: Membership,
    follows: Option<&str>,
    state: &State<'_>,
) -> Option<bool> {
    let is_own = event.sender == event.state_key;
    let (power, levels) = (state.levels.user_level(event.sender), state.levels);
    let outranks = power > levels.user_level(event.state_key);
    let is_joined = state.sender == Membership::Join;
    Some(match membership {
        Membership::Join => return check_join(version, event, follows, state),
        Membership::Invite => {
            is_joined && !matches!(state.target, Membership::Join | Membership::Ban) && power >= levels.invite
        }
        Membership::Leave if is_own => match state.sender {
            Membership::Join | Membership::Invite => true,
            Membership::Knock => version.rules().authorization.knocking,
            Membership::Leave | Membership::Ban => false,
        },
        Membership::Leave => {
            let may_lift = state.target != Membership::Ban || power >= levels.ban;
            is_joined && may_lift && power >= levels.kick && outranks
        }
        Membership::Ban => is_joined && power >= levels.ban && outranks,
        Membership::Knock => {
            let rules = &version.rules().authorization;
            let is_open = match state.entrance {
                Some(Entrance::Knock) => true,
                Some(Entrance::KnockRestricted) => rules.knock_restricted_join_rule,
                _ => false,
            };
            let may_knock = matches!(state.sender, Membership::Knock | Membership::Leave);
            rules.knocking && is_open && is_own && may_knock
        }
    })
}

fn check_join(version: &RoomVersion, event: &Subject<'_>, follows: Option<&str>, state: &State<'_>) -> Option<bool> {
    let rules = &version.rules().authorization;
    let creator =
        if rules.use_room_create_sender { Some(&state.creation.sender) } else { state.creation.creators.first() };
    if follows == Some(state.create) && creator.is_some_and(|creator| **creator == *event.state_key) {
        return Some(true);
    }
    if event.sender != event.state_key || state.target == Membership::Ban {
        return Some(false);
    }
    let is_expected = matches!(state.target, Membership::Invite | Membership::Join);
    match state.entrance {
        Some(Entrance::Public) => Some(true),
        Some(Entrance::Invite) => Some(is_expected),
        Some(Entrance::Knock) => Some(rules.knocking && is_expected),
        Some(Entrance::Restricted) if rules.restricted_join_rule => is_expected.then_some(true),
        Some(Entrance::KnockRestricted) if rules.knock_restricted_join_rule => is_expected.then_some(true),
        _ => Some(false),
    }
}
