//! What resolution asks of an event, read and parsed once.
//!
//! An event is known by its place. One that was kept apart first is found under its former place too, which states from
//! that time name; both lead to the same fact.

use std::cell::OnceCell;
use std::sync::Arc;

use engram_log::Offset;
use engram_matrix::auth::parsed::{Entrance, Own, Subject};
use engram_matrix::auth::{Creation, PowerLevels};
use engram_matrix::membership::Membership;
use engram_matrix::pdu::Pdu;
use engram_matrix::{OwnedEventId, UserId, limits};
use engram_views::{Read, ViewError};
use serde::Deserialize;
use serde::de::IgnoredAny;
use smallvec::SmallVec;

use super::super::lookup::Pdus;
use crate::query::RoomInfo;
use crate::state::{Pair, PairName, Remembering};

/// What resolution asks of an event.
pub(in super::super) struct Fact {
    /// Where the event is now: its identity.
    pub(super) place: Offset,
    pub(super) event_id: OwnedEventId,
    sender: Box<str>,
    /// The time that it names.
    pub(super) ts: u64,
    /// The entry that it sets; none for what is no state event.
    pub(super) pair: Option<Pair>,
    /// The pair's type and state key.
    pub(super) name: Option<PairName>,
    /// The entry that holds its sender's membership.
    pub(super) sender_pair: Option<Pair>,
    pub(super) kind: Kind,
    /// It might take from somebody the right to something: the specification's power event.
    pub(super) is_power: bool,
    pub(super) is_rejected: bool,
    /// The auth events that are known, in order.
    pub(super) auth: SmallVec<[Offset; 4]>,
    /// The power levels event among them, if one is known.
    pub(super) levels: Option<Offset>,
    /// What it refers to that is not known. If there is anything, the fact is to be read again next time.
    unknown: Unknown,
}

/// What an event refers to that is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Unknown {
    Nothing,
    Something,
    /// An auth event that comes before any power levels event in the list: so the event has no place in the mainline
    /// ordering.
    Levels,
}

/// What events of one type have. None is what the full rules have to read.
pub(super) enum Kind {
    Create(Option<Arc<Creation>>),
    Levels(Option<Arc<PowerLevels>>),
    JoinRules(Option<Entrance>),
    Member(Option<Member>),
    Other,
}

/// What a member event says.
pub(super) struct Member {
    pub(super) membership: Membership,
    /// For a join, the event that it follows, if that is only one.
    follows: Option<OwnedEventId>,
}

impl Fact {
    /// The event as the rules see it; none if only the full rules can judge it.
    pub(super) fn subject(&self) -> Option<Subject<'_>> {
        let name = self.name.as_ref()?;
        let own = match &self.kind {
            Kind::Member(Some(member)) => {
                Own::Member(member.membership, member.follows.as_ref().map(|event| event.as_str()))
            }
            Kind::Levels(Some(levels)) => Own::Levels(levels),
            Kind::Create(_) | Kind::JoinRules(_) | Kind::Other => Own::Nothing,
            Kind::Member(None) | Kind::Levels(None) => Own::Odd,
        };
        Some(Subject { event_type: &name.0, state_key: &name.1, sender: &self.sender, own })
    }

    /// Whether the event has no place in the mainline ordering, since what it is based on is not known.
    pub(super) fn is_unordered(&self) -> bool {
        self.unknown == Unknown::Levels
    }

    pub(super) fn sender(&self) -> &str {
        &self.sender
    }

    /// What it takes to keep this in memory, roughly.
    pub(in super::super) fn weight(&self) -> usize {
        let own = match &self.kind {
            Kind::Levels(Some(levels)) => 256 + levels.entries() * 64,
            _ => 0,
        };
        // The map's own share, the ID, and what a name weighs that nobody shares.
        size_of::<Self>() + 64 + self.event_id.as_str().len() + self.sender.len() + 128 + own
    }
}

/// Reads facts about events of a room.
pub(super) struct Facts<'a> {
    pub(super) view: &'a dyn Read,
    pub(super) pdus: &'a Pdus,
    pub(super) room: &'a RoomInfo,
    creation: OnceCell<Option<Arc<Creation>>>,
}

impl<'a> Facts<'a> {
    pub(super) fn new(view: &'a dyn Read, pdus: &'a Pdus, room: &'a RoomInfo) -> Self {
        Self { view, pdus, room, creation: OnceCell::new() }
    }

    pub(super) fn states(&self) -> Remembering<'a> {
        Remembering::new(self.view, &self.pdus.states)
    }

    /// The event at a place, or at one that was its place before.
    pub(super) fn at(&self, offset: Offset) -> Result<Arc<Fact>, ViewError> {
        if let Some(known) = self.pdus.facts.borrow_mut().get(&offset) {
            return Ok(known);
        }
        let event = self.pdus.at(self.view, self.room.number, offset)?;
        let fact = Arc::new(self.read(offset, &event)?);
        if fact.unknown == Unknown::Nothing {
            self.pdus.facts.borrow_mut().put(offset, Arc::clone(&fact));
        }
        Ok(fact)
    }

    /// The event itself.
    pub(super) fn event(&self, fact: &Fact) -> Result<Arc<Pdu>, ViewError> {
        self.pdus.at(self.view, self.room.number, fact.place)
    }

    /// The room's create event, parsed.
    pub(super) fn creation(&self) -> Result<Option<Arc<Creation>>, ViewError> {
        if let Some(known) = self.creation.get() {
            return Ok(known.clone());
        }
        let create = self.pdus.at(self.view, self.room.number, self.room.create)?;
        Ok(self.creation.get_or_init(|| Creation::parse(&create).ok().map(Arc::new)).clone())
    }

    fn read(&self, offset: Offset, event: &Pdu) -> Result<Fact, ViewError> {
        let located = self.located(event.event_id.as_str())?;
        let (pair, name) = match &event.state_key {
            Some(state_key) => {
                let pair = self.states().pair(&event.event_type, state_key)?;
                (pair, pair.map(|pair| self.states().pair_name(pair)).transpose()?)
            }
            None => (None, None),
        };
        let sender_pair = self.states().pair("m.room.member", event.sender.as_str())?;
        let mut fact = Fact {
            place: located.unwrap_or(offset),
            event_id: event.event_id.clone(),
            sender: event.sender.as_str().into(),
            // A larger number is none of canonical JSON.
            ts: event.origin_server_ts.min(limits::INTEGER_MAX.unsigned_abs()),
            pair,
            name,
            sender_pair,
            kind: self.kind(event)?,
            is_power: false,
            is_rejected: event.rejected,
            auth: SmallVec::new(),
            levels: None,
            unknown: if sender_pair.is_none() || (event.is_state() && pair.is_none()) {
                Unknown::Something
            } else {
                Unknown::Nothing
            },
        };
        fact.is_power = is_power(event, &fact.kind);
        self.read_auth_events(event, &mut fact)?;
        Ok(fact)
    }

    fn read_auth_events(&self, event: &Pdu, fact: &mut Fact) -> Result<(), ViewError> {
        for id in &event.auth_events {
            let Some(offset) = self.located(id.as_str())? else {
                let unknown = if fact.levels.is_none() { Unknown::Levels } else { Unknown::Something };
                fact.unknown = fact.unknown.max(unknown);
                continue;
            };
            fact.auth.push(offset);
            if fact.levels.is_none()
                && self.pdus.at(self.view, self.room.number, offset)?.is_state_of("m.room.power_levels", "")
            {
                fact.levels = Some(offset);
            }
        }
        Ok(())
    }

    /// Where an event of the room is.
    pub(super) fn located(&self, event_id: &str) -> Result<Option<Offset>, ViewError> {
        let located = self.pdus.locate(self.view, event_id)?;
        Ok(located.filter(|(room, _)| *room == self.room.number).map(|(_, offset)| offset))
    }

    fn kind(&self, event: &Pdu) -> Result<Kind, ViewError> {
        let is_alone = event.state_key.as_deref() == Some("");
        Ok(match event.event_type.as_str() {
            "m.room.create" if is_alone => Kind::Create(Creation::parse(event).ok().map(Arc::new)),
            "m.room.power_levels" => {
                let creation = self.creation()?;
                let levels =
                    creation.and_then(|creation| PowerLevels::parse(self.room.version, Some(event), &creation).ok());
                Kind::Levels(levels.map(Arc::new))
            }
            "m.room.join_rules" if is_alone => Kind::JoinRules(entrance(event)),
            "m.room.member" => Kind::Member(member(event)),
            _ => Kind::Other,
        })
    }
}

fn is_power(event: &Pdu, kind: &Kind) -> bool {
    let is_alone = event.state_key.as_deref() == Some("");
    match kind {
        Kind::Member(_) => {
            let removes = matches!(Membership::of(event), Some(Membership::Leave | Membership::Ban));
            removes && event.state_key.as_deref() != Some(event.sender.as_str())
        }
        Kind::Create(_) | Kind::Levels(_) | Kind::JoinRules(_) => is_alone,
        Kind::Other => false,
    }
}

fn entrance(event: &Pdu) -> Option<Entrance> {
    #[derive(Deserialize)]
    struct Content {
        join_rule: String,
    }
    event.content::<Content>().ok().map(|content| Entrance::parse(&content.join_rule))
}

/// None for what has to be read by the full rules: third-party invitations, and what is malformed.
fn member(event: &Pdu) -> Option<Member> {
    #[derive(Deserialize)]
    struct Content<'a> {
        membership: Membership,
        #[serde(default)]
        third_party_invite: Option<IgnoredAny>,
        #[serde(borrow, default)]
        join_authorised_via_users_server: Option<std::borrow::Cow<'a, str>>,
    }
    let content: Content<'_> = event.content().ok()?;
    let permitted_by = content.join_authorised_via_users_server.as_deref();
    if content.third_party_invite.is_some()
        || permitted_by.is_some_and(|user| <&UserId>::try_from(user).is_err())
        || <&UserId>::try_from(event.state_key.as_deref()?).is_err()
    {
        return None;
    }
    let follows = match &event.prev_events[..] {
        [only] if content.membership == Membership::Join => Some(only.clone()),
        _ => None,
    };
    Some(Member { membership: content.membership, follows })
}
