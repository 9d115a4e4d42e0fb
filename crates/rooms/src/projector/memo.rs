//! What the projector remembers of its tables, so that the next message of a room is judged without reading them.
//!
//! Every field can be dropped at any time without changing a result. Everything is bounded; what is full is emptied.

use std::collections::HashMap;
use std::sync::Arc;

use engram_log::Offset;
use engram_matrix::auth::{Creation, PowerLevels};
use engram_views::{Read, ViewError};

use super::lookup::Pdus;
use crate::query::{self, EventMeta, Head, RoomInfo, Verdict};
use crate::state::Root;
use crate::types::Membership;

/// Rooms that are remembered.
const ROOMS_MAX: usize = 4096;
/// Members of a room that are remembered.
const MEMBERS_MAX: usize = 256;
/// Combinations of sender and auth events of a room that are remembered to be in order.
const APPROVED_MAX: usize = 256;

/// All memos.
#[derive(Default)]
pub(super) struct Memo {
    rooms: HashMap<Box<str>, RoomMemo>,
    /// Parsed events.
    pub(super) pdus: Pdus,
    /// Whether any redaction waits for its target; none if not looked up yet.
    pub(super) pending_redactions: Option<bool>,
}

impl Memo {
    /// Takes a room out, loading it if need be; none if there is no such room. To be given back with [`Memo::keep`].
    pub(super) fn take_room(&mut self, view: &dyn Read, room_id: &str) -> Result<Option<RoomMemo>, ViewError> {
        if let Some(room) = self.rooms.remove(room_id) {
            return Ok(Some(room));
        }
        let Some(info) = query::room(view, room_id)? else { return Ok(None) };
        RoomMemo::load(view, info).map(Some)
    }

    /// Gives a room back.
    pub(super) fn keep(&mut self, room: RoomMemo) {
        if self.rooms.len() >= ROOMS_MAX {
            self.rooms.clear();
        }
        self.rooms.insert(room.room_id.as_ref().into(), room);
    }
}

/// A room as its head stands.
pub(super) struct RoomMemo {
    pub(super) info: RoomInfo,
    pub(super) room_id: Arc<str>,
    pub(super) head: Head,
    /// For each forward extremity of the head, the state after it.
    pub(super) tips: Vec<Tip>,
    auth: AuthMemo,
    members: HashMap<Box<str>, Option<(Membership, Offset)>>,
    approved: HashMap<[u8; 16], ApprovedAuth>,
    /// The last resolution: of which states, and its result.
    pub(super) resolved: Option<(Vec<Root>, Root)>,
}

/// What the current state says about power.
enum AuthMemo {
    Unread,
    /// Its events cannot be read by the short way.
    Unreadable,
    Read(Arc<AuthValues>),
}

/// A state and the position in the table of roots where it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tip {
    pub(super) position: Offset,
    pub(super) root: Root,
}

/// What the current state says about power, parsed.
pub(super) struct AuthValues {
    pub(super) create: Offset,
    pub(super) power: Option<Offset>,
    pub(super) creation: Creation,
    pub(super) levels: PowerLevels,
}

/// What a list of auth events that passed the state-independent rules names.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ApprovedAuth {
    pub(super) create: Option<Offset>,
    pub(super) power: Option<Offset>,
    pub(super) member: Option<Offset>,
}

impl RoomMemo {
    /// A room that comes into being.
    pub(super) fn new(info: RoomInfo) -> Self {
        let head = Head {
            state: Root::EMPTY,
            latest: Offset::ZERO,
            latest_state: Offset::ZERO,
            extremities: Vec::new(),
            joined: 0,
            invited: 0,
        };
        Self {
            room_id: Arc::from(info.room_id.as_str()),
            info,
            head,
            tips: Vec::new(),
            auth: AuthMemo::Unread,
            members: HashMap::new(),
            approved: HashMap::new(),
            resolved: None,
        }
    }

    fn load(view: &dyn Read, info: RoomInfo) -> Result<Self, ViewError> {
        let head = query::head(view, info.number)?;
        let mut room = Self::new(info);
        for extremity in &head.extremities {
            room.tips.push(room.tip(view, extremity.offset)?.expect("an extremity is an event of the room"));
        }
        room.head = head;
        Ok(room)
    }

    /// The state after an event of this room; none if it has no place in the graph.
    pub(super) fn tip(&self, view: &dyn Read, offset: Offset) -> Result<Option<Tip>, ViewError> {
        let Some(meta) = query::meta(view, self.info.number, offset)? else { return Ok(None) };
        if meta.verdict == Verdict::Outlier {
            return Ok(None);
        }
        let position = position_after(offset, &meta);
        Ok(Some(Tip { position, root: query::root_at(view, self.info.number, position)? }))
    }

    /// What the current state says about power; none if its events cannot be read, and the full rules have to judge.
    pub(super) fn auth(&mut self, view: &dyn Read, pdus: &Pdus) -> Result<Option<Arc<AuthValues>>, ViewError> {
        if matches!(self.auth, AuthMemo::Unread) {
            let values = AuthValues::load(view, pdus, &self.info, self.head.state)?;
            self.auth = values.map_or(AuthMemo::Unreadable, |values| AuthMemo::Read(Arc::new(values)));
        }
        Ok(match &self.auth {
            AuthMemo::Read(values) => Some(Arc::clone(values)),
            AuthMemo::Unread | AuthMemo::Unreadable => None,
        })
    }

    /// The current state's create or power levels event is another.
    pub(super) fn forget_auth(&mut self) {
        self.auth = AuthMemo::Unread;
    }

    /// A user's membership in the current state.
    pub(super) fn member(&mut self, view: &dyn Read, user_id: &str) -> Result<Option<(Membership, Offset)>, ViewError> {
        if let Some(known) = self.members.get(user_id) {
            return Ok(*known);
        }
        let member = query::membership(view, self.info.number, user_id)?;
        self.set_member(user_id, member);
        Ok(member)
    }

    /// Remembers a member of the current state.
    pub(super) fn set_member(&mut self, user_id: &str, member: Option<(Membership, Offset)>) {
        if self.members.len() >= MEMBERS_MAX {
            self.members.clear();
        }
        self.members.insert(user_id.into(), member);
    }

    pub(super) fn approved(&self, key: &[u8; 16]) -> Option<ApprovedAuth> {
        self.approved.get(key).copied()
    }

    pub(super) fn approve(&mut self, key: [u8; 16], auth: ApprovedAuth) {
        if self.approved.len() >= APPROVED_MAX {
            self.approved.clear();
        }
        self.approved.insert(key, auth);
    }
}

impl AuthValues {
    /// The values in any state.
    pub(super) fn load(view: &dyn Read, pdus: &Pdus, room: &RoomInfo, root: Root) -> Result<Option<Self>, ViewError> {
        let Some(create) = query::state_entry(view, root, "m.room.create", "")? else { return Ok(None) };
        let power = query::state_entry(view, root, "m.room.power_levels", "")?;
        let Ok(creation) = Creation::parse(&*pdus.at(view, room.number, create)?) else { return Ok(None) };
        let power_event = power.map(|offset| pdus.at(view, room.number, offset)).transpose()?;
        let levels = PowerLevels::parse(room.version, power_event.as_deref(), &creation);
        Ok(levels.ok().map(|levels| Self { create, power, creation, levels }))
    }
}

/// Where the table of roots has the state after an event.
pub(super) fn position_after(offset: Offset, meta: &EventMeta) -> Offset {
    let takes_effect = matches!(meta.verdict, Verdict::Accepted | Verdict::SoftFailed);
    if meta.state_is_resolved || (meta.is_state && takes_effect) { offset } else { meta.state_before }
}
