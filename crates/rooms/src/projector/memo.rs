//! What the projector remembers of its tables, so that the next message of a room is judged without reading them.
//!
//! Every field can be dropped at any time without changing a result. Everything is bounded; what is full is emptied.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use engram_log::Offset;
use engram_matrix::OwnedEventId;
use engram_matrix::auth::{Creation, PowerLevels};
use engram_matrix::pdu::Pdu;
use engram_views::{Read, ReadExt as _, ViewError};

use super::credit::Allowance;
use super::lookup::Pdus;
use super::rules::Rules;
use crate::codec::room_name_key;
use crate::limits::ROOM_MEMOS_MAX;
use crate::query::{self, EventMeta, Extremity, Head, Owed, Place, RoomInfo, Verdict};
use crate::recent::Recent;
use crate::state::{Remembering, Root};
use crate::tables::{MISSING, VERDICTS};
use crate::types::{Membership, RoomNumber};
use crate::verdicts::Decided;

/// All memos.
pub(super) struct Memo {
    rooms: HashMap<Box<str>, RoomMemo>,
    rooms_max: usize,
    /// Parsed events, and states.
    pub(super) pdus: Pdus,
    /// By the key of the row.
    members: Recent<Vec<u8>, Option<Arc<Member>>>,
    /// The states after events.
    tips: Recent<Box<str>, (RoomNumber, Tip)>,
    /// By which rules events are judged.
    pub(super) rules: Rules,
    pub(super) allowance: Allowance,
    /// Whether any redaction waits for its target; none if not looked up yet.
    pub(super) pending_redactions: Option<bool>,
}

/// A member of the current state of a room.
pub(super) struct Member {
    pub(super) membership: Membership,
    pub(super) event_id: Box<str>,
    /// A state that was given names it, and what came before it has shown since that it should not.
    pub(super) is_rejected: bool,
}

impl Memo {
    /// Remembers so many bytes, and rooms in proportion.
    pub(super) fn new(bytes: usize) -> Self {
        Self {
            rooms: HashMap::new(),
            rooms_max: ROOM_MEMOS_MAX.min(bytes / 1024),
            pdus: Pdus::new(bytes / 2),
            members: Recent::new(bytes / 4, |key, member| {
                128 + key.len() + member.as_ref().map_or(0, |member| 48 + member.event_id.len())
            }),
            tips: Recent::new(bytes / 4, |id, _| 128 + id.len()),
            rules: Rules::default(),
            allowance: Allowance::default(),
            pending_redactions: None,
        }
    }

    /// A user's membership in the current state.
    pub(super) fn member(
        &mut self,
        view: &dyn Read,
        room: RoomNumber,
        user_id: &str,
    ) -> Result<Option<Arc<Member>>, ViewError> {
        let key = room_name_key(room, user_id);
        if let Some(known) = self.members.get(key.as_slice()) {
            return Ok(known);
        }
        let mut member = None;
        if let Some((membership, event)) = query::membership(view, room, user_id)? {
            let meta = query::meta(view, room, event)?;
            let is_rejected = meta.is_some_and(|meta| meta.verdict == Verdict::Rejected);
            member = Some(Arc::new(Member { membership, event_id: query::event_id(view, event)?, is_rejected }));
        }
        self.members.put(key, member.clone());
        Ok(member)
    }

    /// Forgets a member of the current state.
    pub(super) fn forget_member(&mut self, room: RoomNumber, user_id: &str) {
        self.members.forget(room_name_key(room, user_id).as_slice());
    }

    /// Remembers a member of the current state.
    pub(super) fn set_member(&mut self, room: RoomNumber, user_id: &str, member: Option<Member>) {
        self.members.put(room_name_key(room, user_id), member.map(Arc::new));
    }

    /// The state after an event of a room; none if it has no place in the graph, or is not known.
    pub(super) fn tip(&mut self, view: &dyn Read, room: &RoomMemo, event_id: &str) -> Result<Option<Tip>, ViewError> {
        let number = room.info.number;
        let known = room.head.extremities.iter().zip(&room.tips);
        if let Some((_, tip)) = known.into_iter().find(|(extremity, _)| extremity.event_id == event_id) {
            return Ok(Some(*tip));
        }
        if let Some((known, tip)) = self.tips.get(event_id) {
            return Ok((known == number).then_some(tip));
        }
        let tip = match self.pdus.locate(view, event_id)? {
            Some((room, offset)) if room == number => stored_tip(view, number, offset)?,
            _ => None,
        };
        if let Some(tip) = tip {
            self.keep_tip(event_id, number, tip);
        }
        Ok(tip)
    }

    /// Remembers the state after an event.
    pub(super) fn keep_tip(&mut self, event_id: &str, room: RoomNumber, tip: Tip) {
        self.tips.put(event_id.into(), (room, tip));
    }

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
        if self.rooms.len() >= self.rooms_max {
            self.rooms.clear();
        }
        if self.rooms_max == 0 {
            return;
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
    /// What was decided so far, as a digest.
    pub(super) decided: Decided,
    /// Whether events are missing from the graph; none if not looked up yet.
    has_missing: Option<bool>,
    /// For each event that the next one follows, the state after it.
    pub(super) next_tips: Vec<Tip>,
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
    pub(super) create: OwnedEventId,
    pub(super) power: Option<OwnedEventId>,
    pub(super) creation: Creation,
    pub(super) levels: PowerLevels,
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
            next: Vec::new(),
            owed: Owed::default(),
            put_off: 0,
        };
        Self {
            room_id: Arc::from(info.room_id.as_str()),
            info,
            head,
            tips: Vec::new(),
            auth: AuthMemo::Unread,
            decided: Decided::default(),
            has_missing: None,
            next_tips: Vec::new(),
        }
    }

    fn load(view: &dyn Read, info: RoomInfo) -> Result<Self, ViewError> {
        let head = query::head(view, info.number)?;
        let mut room = Self::new(info);
        for extremity in &head.extremities {
            room.tips.push(tip_of(view, room.info.number, extremity)?);
        }
        for followed in &head.next {
            room.next_tips.push(tip_of(view, room.info.number, followed)?);
        }
        room.head = head;
        let decided = view.get(&VERDICTS, room.info.room_id.as_bytes())?;
        room.decided = decided.and_then(|row| Decided::decode(&row)).unwrap_or_default();
        Ok(room)
    }

    /// Whether the current state is the resolution of these states, each once and in order.
    pub(super) fn is_current(&self, roots: &[Root]) -> bool {
        sorted_roots(&self.next_tips) == roots
    }

    /// Whether an event follows everything that the current state comes from.
    pub(super) fn goes_on_with(&self, event: &Pdu) -> bool {
        let is_parent = |followed: &Extremity| event.prev_events.iter().any(|id| id.as_str() == followed.event_id);
        self.head.next.iter().all(is_parent)
    }

    /// Whether events are missing from the room's graph.
    pub(super) fn has_missing(&mut self, view: &dyn Read) -> Result<bool, ViewError> {
        if let Some(has_missing) = self.has_missing {
            return Ok(has_missing);
        }
        let mut has_missing = false;
        let mut visit = |_: &[u8], _: &[u8]| {
            has_missing = true;
            ControlFlow::Break(())
        };
        view.scan_prefix(&MISSING, &self.info.number.0.to_be_bytes(), &mut visit)?;
        self.has_missing = Some(has_missing);
        Ok(has_missing)
    }

    /// Events that were missing have come, or others are missing.
    pub(super) fn forget_missing(&mut self) {
        self.has_missing = None;
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
}

impl AuthValues {
    /// The values in any state.
    pub(super) fn load(view: &dyn Read, pdus: &Pdus, room: &RoomInfo, root: Root) -> Result<Option<Self>, ViewError> {
        let states = Remembering::new(view, &pdus.states);
        let Some(create) = states.entry(root, "m.room.create", "")? else { return Ok(None) };
        let create = pdus.at(view, room.number, create)?;
        let power = states.entry(root, "m.room.power_levels", "")?;
        let power = power.map(|offset| pdus.at(view, room.number, offset)).transpose()?;
        if create.rejected || power.as_ref().is_some_and(|power| power.rejected) {
            return Ok(None);
        }
        let Ok(creation) = Creation::parse(&create) else { return Ok(None) };
        let Ok(levels) = PowerLevels::parse(room.version, power.as_deref(), &creation) else { return Ok(None) };
        let (create, power) = (create.event_id.clone(), power.map(|power| power.event_id.clone()));
        Ok(Some(Self { create, power, creation, levels }))
    }
}

/// The different states of some tips, in order.
pub(super) fn sorted_roots(tips: &[Tip]) -> Vec<Root> {
    let mut roots: Vec<Root> = tips.iter().map(|tip| tip.root).collect();
    roots.sort_unstable();
    roots.dedup();
    roots
}

fn tip_of(view: &dyn Read, room: RoomNumber, extremity: &Extremity) -> Result<Tip, ViewError> {
    Ok(stored_tip(view, room, extremity.offset)?.expect("an extremity is an event of the room"))
}

/// The state after an event of a room; none if it has no place in the graph.
fn stored_tip(view: &dyn Read, room: RoomNumber, offset: Offset) -> Result<Option<Tip>, ViewError> {
    let Some(meta) = query::meta(view, room, offset)? else { return Ok(None) };
    if meta.place == Place::Apart {
        return Ok(None);
    }
    let position = position_after(offset, &meta);
    Ok(Some(Tip { position, root: query::root_at(view, room, position)? }))
}

/// Where the table of roots has the state after an event.
pub(super) fn position_after(offset: Offset, meta: &EventMeta) -> Offset {
    let takes_effect = matches!(meta.verdict, Verdict::Accepted | Verdict::SoftFailed);
    if meta.state_is_resolved || (meta.is_state && takes_effect) { offset } else { meta.state_before }
}
