//! One PDU from the log into the tables.

use std::sync::Arc;

use crate::delta::{Apply, RoomDelta};
use engram_log::Offset;
use engram_log_format::v1::{self, ArchivedPduSource};
use engram_matrix::pdu::Pdu;
use engram_views::{Read, ViewError};

use super::advance::{self, Step};
use super::credit::{self, Account, Terms, Unresolved};
use super::judge::{self, Judgement};
use super::memo::{Memo, RoomMemo, Tip};
use super::{erasures, past, redactions, resolution};
use crate::codec::{put_bytes, put_varint, room_offset_key};
use crate::counters;
use crate::extremities::DUMMY_EVENT;
use crate::limits::NAMES_BYTES_MAX;
use crate::query::{self, EventMeta, Place, RoomInfo, Verdict};
use crate::rows;
use crate::state::{self, Root};
use crate::tables::{
    AUTH_CHILDREN, EVENT_IDS, EVENTS, HEADS, IDS, INFO, REASONS, ROOTS, TIMES, TRANSACTIONS, UNRESOLVED, VERDICTS,
};
use crate::types::RoomNumber;

type Archived = v1::ArchivedInput<v1::Pdu>;

/// Takes the state before an event in, as another server gave it.
pub(super) fn given_state(
    memo: &mut Memo,
    view: &mut Apply<'_>,
    offset: Offset,
    given: &v1::ArchivedInput<v1::StateGiven>,
) -> Result<(), ViewError> {
    match query::room(view, &given.room_id)? {
        Some(room) if given.event_id.len() <= engram_matrix::limits::ID_BYTES_MAX => {
            past::take_state(view, &memo.pdus, room.number, given)
        }
        _ => pass_over(view, offset, &"a state is of an unknown room"),
    }
}

/// Applies one PDU record.
pub(super) fn pdu(memo: &mut Memo, view: &mut Apply<'_>, offset: Offset, archived: &Archived) -> Result<(), ViewError> {
    let former = former(view, archived)?;
    if let Some(former) = former.as_ref().filter(|former| former.is_settled) {
        // Whatever the record says of the event, nobody looks here; but what is redacted goes from here too.
        return query::parse(archived)
            .map_or(Ok(()), |copy| erasures::note_copy(view, offset, &copy, former.redacted_by));
    }
    let event = match query::parse(archived) {
        Ok(event) => Arc::new(event),
        Err(error) => return pass_over(view, offset, &error),
    };
    let room = match memo.take_room(view, event.room_id.as_str())? {
        Some(room) => room,
        None if event.is_state_of("m.room.create", "") => create_room(view, offset, &event)?,
        None => return pass_over(view, offset, &"the event is of an unknown room"),
    };
    if room.info.version != event.version() {
        memo.keep(room);
        return pass_over(view, offset, &"the record names another version than the room's");
    }
    let owed = room.head.owed;
    let mut arrival = Arrival { memo, room, offset, event, former };
    let stored = arrival.place(view, archived);
    if arrival.room.head.owed != owed {
        // Also an event that changes nothing else may have cost the room something.
        advance::put_head(view, &arrival.room);
    }
    arrival.memo.keep(arrival.room);
    stored
}

/// What is known of an event before its record is applied.
struct Former {
    offset: Offset,
    /// It has its place, or the record gives it none either.
    is_settled: bool,
    /// The redaction that took effect while the event was apart.
    redacted_by: Option<Offset>,
}

fn former(view: &dyn Read, archived: &Archived) -> Result<Option<Former>, ViewError> {
    let Some((room, offset)) = query::locate(view, &archived.event_id)? else { return Ok(None) };
    let Some(meta) = query::meta(view, room, offset)? else { return Ok(None) };
    let gets_place = meta.place == Place::Apart && !matches!(archived.source, ArchivedPduSource::Outlier);
    let is_settled = !gets_place || archived.room_id.as_str() != query::room_by_number(view, room)?.room_id;
    Ok(Some(Former { offset, is_settled, redacted_by: meta.redacted_by }))
}

/// Counts what cannot be an event of a room here.
fn pass_over(view: &mut Apply<'_>, offset: Offset, why: &dyn std::fmt::Display) -> Result<(), ViewError> {
    tracing::debug!(%offset, %why, "a PDU in the log is passed over");
    counters::next(view, "malformed").map(drop)
}

fn create_room(view: &mut Apply<'_>, offset: Offset, create: &Pdu) -> Result<RoomMemo, ViewError> {
    let number = RoomNumber(counters::next(view, "room")?);
    let room_id = create.room_id.as_str();
    view.put(&IDS, room_id.as_bytes(), &number.0.to_be_bytes());
    let info = RoomInfo { number, room_id: room_id.to_owned(), version: create.version(), create: offset };
    put_info(view, &info);
    let room = RoomMemo::new(info);
    view.put(&HEADS, &number.0.to_be_bytes(), &rows::encode_head(&room.head));
    Ok(room)
}

fn put_info(view: &mut Apply<'_>, info: &RoomInfo) {
    let mut row = Vec::with_capacity(info.room_id.len() + 16);
    put_varint(&mut row, info.create.0);
    put_bytes(&mut row, info.version.id().as_bytes());
    put_bytes(&mut row, info.room_id.as_bytes());
    view.put(&INFO, &info.number.0.to_be_bytes(), &row);
}

/// An event on its way into its room.
struct Arrival<'a> {
    memo: &'a mut Memo,
    room: RoomMemo,
    offset: Offset,
    event: Arc<Pdu>,
    /// The event as it was kept apart until now.
    former: Option<Former>,
}

/// The state before an event.
struct Before {
    tip: Tip,
    /// The event joins branches, or its state was given; the state is stored under its own position.
    is_joined: bool,
    /// The state was given, since not every event before is there; and whether the room begins anew here.
    given: Option<bool>,
    /// Why the current state stands for the one before the event, if it does.
    unresolved: Option<Unresolved>,
}

impl Arrival<'_> {
    /// Finds the state before the event, judges the event and stores both.
    fn place(&mut self, view: &mut Apply<'_>, archived: &Archived) -> Result<(), ViewError> {
        let place = match archived.source {
            ArchivedPduSource::Local | ArchivedPduSource::Federation => Place::Live,
            ArchivedPduSource::Backfill => Place::Past(None),
            ArchivedPduSource::Outlier => Place::Apart,
        };
        let before = if place == Place::Apart { None } else { self.state_before(view, place)? };
        let Some(before) = before else { return self.keep_apart(view) };
        if let Some(why) = before.unresolved {
            self.note_unresolved(view, why)?;
        }
        self.leave_former_place(view)?;
        // What is past is not judged by the present, nor is that by which the present begins.
        let is_judged_by_current = place == Place::Live && before.given != Some(true) && !self.room.tips.is_empty();
        let current = is_judged_by_current.then_some(self.room.head.state);
        let judgement = judge::judge(view, self.memo, &mut self.room, &self.event, before.tip.root, current)?;
        let after = self.state_after(view, &before, judgement.0)?;
        let meta = self.store(view, Some(&before), place, &judgement)?;
        self.room.decided.judged(self.offset, meta.verdict);
        if meta.verdict == Verdict::Accepted {
            view.put(&TIMES, &rows::time_key(self.room.info.number, self.event.origin_server_ts, self.offset), &[]);
        }
        if self.former.is_some() && meta.verdict == Verdict::Rejected {
            self.forget_rejected();
        }
        if let Some(transaction) = archived.transaction.as_ref() {
            self.note_transaction(view, transaction);
        }
        if self.event.is_state_of("m.room.create", "") && meta.verdict == Verdict::Accepted {
            self.correct_create(view)?;
        }
        if place != Place::Live || before.given.is_some() || self.room.has_missing(view)? {
            past::settle(view, &self.memo.pdus, &mut self.room, self.offset, &self.event, place)?;
        }
        let begins_anew = before.given == Some(true);
        let step = Step {
            offset: self.offset,
            event: &self.event,
            meta: &meta,
            before: before.tip.root,
            after,
            begins_anew,
            is_unresolved: before.unresolved.is_some(),
        };
        if place == Place::Live {
            advance::advance(self.memo, view, &mut self.room, &step)?;
        } else {
            advance::pass_by(view, &self.room, &step);
        }
        view.put(&VERDICTS, self.room.info.room_id.as_bytes(), &self.room.decided.encode());
        Ok(())
    }

    /// The event has no place: it was sent as such, or what comes before it is not known.
    fn keep_apart(&mut self, view: &mut Apply<'_>) -> Result<(), ViewError> {
        if let Some(former) = &self.former {
            return erasures::note_copy(view, self.offset, &self.event, former.redacted_by);
        }
        let judgement = judge::judge_outlier(view, self.memo, &self.room, &self.event)?;
        let why = judgement.1.unwrap_or_else(|| "an event before it is not known".to_owned());
        self.store(view, None, Place::Apart, &(judgement.0, Some(why))).map(drop)
    }

    /// States from before name the event where it was.
    fn leave_former_place(&self, view: &mut Apply<'_>) -> Result<(), ViewError> {
        if let Some(former) = &self.former {
            let key = room_offset_key(self.room.info.number, former.offset);
            view.put(&EVENTS, &key, &rows::encode_moved(self.offset));
            view.remove(&REASONS, &key);
            self.memo.pdus.forget(former.offset);
            erasures::note_copy(view, former.offset, &*query::pdu(view, former.offset)?, former.redacted_by)?;
        }
        Ok(())
    }

    /// A state that was given may name the event: what is remembered of it says that it was not rejected.
    fn forget_rejected(&mut self) {
        self.room.forget_auth();
        if let Some(state_key) = &self.event.state_key {
            self.memo.forget_member(self.room.info.number, state_key);
        }
    }

    /// What clients name is theirs to choose; what is no key belongs to no client that could ask for it.
    fn note_transaction(&self, view: &mut Apply<'_>, transaction: &v1::ArchivedInput<v1::Transaction>) {
        let scope = query::TransactionScope {
            user_id: &transaction.user_id,
            device_id: &transaction.device_id,
            transaction_id: &transaction.transaction_id,
            room_id: &self.room.info.room_id,
            event_type: &self.event.event_type,
            redacts: self.event.redacts.as_ref().map(|target| target.as_str()),
        };
        let key = scope.key();
        if key.len() <= NAMES_BYTES_MAX {
            view.put(&TRANSACTIONS, &key, &rows::encode_offset(self.offset));
        }
    }

    /// The room may have become known by a create event that its own rules reject.
    fn correct_create(&mut self, view: &mut Apply<'_>) -> Result<(), ViewError> {
        let known = self.memo.pdus.at(view, self.room.info.number, self.room.info.create)?;
        if known.event_id != self.event.event_id {
            self.room.info.create = self.offset;
            self.room.forget_auth();
            put_info(view, &self.room.info);
        }
        Ok(())
    }

    /// The state before the event; none if an event before it has no known state, and none was given.
    fn state_before(&mut self, view: &mut Apply<'_>, place: Place) -> Result<Option<Before>, ViewError> {
        self.room.head.owed.pay(&self.memo.allowance);
        let parents = &self.event.prev_events;
        if parents.is_empty() {
            // A create event. Anything else will be denied for want of one.
            let tip = Tip { position: Offset::ZERO, root: Root::EMPTY };
            return Ok(Some(Before { tip, is_joined: false, given: None, unresolved: None }));
        }
        let mut tips = Vec::with_capacity(parents.len());
        for parent in parents {
            tips.extend(self.memo.tip(view, &self.room, parent.as_str())?);
        }
        let mut roots: Vec<Root> = tips.iter().map(|tip| tip.root).collect();
        let mut given = None;
        if tips.len() < parents.len() {
            let state = past::given_state(view, self.room.info.number, self.event.event_id.as_str())?;
            let Some((root, anew)) = state else { return Ok(None) };
            if anew {
                roots.clear();
            }
            roots.push(root);
            given = Some(anew);
        } else if let [tip] = tips[..] {
            return Ok(Some(Before { tip, is_joined: false, given: None, unresolved: None }));
        }
        roots.sort_unstable();
        roots.dedup();
        let info = self.memo.rules.applied_to(&self.room.info).into_owned();
        let terms = Terms { pdus: &self.memo.pdus, info: &info, allowance: &self.memo.allowance };
        let resolved = credit::resolve(view, terms, &mut self.room, Account::Joins, &roots)?;
        let (root, unresolved) = match resolved {
            Ok(root) => (root, None),
            Err(_) if place != Place::Live => return Ok(None),
            Err(why) => (self.room.head.state, Some(why)),
        };
        Ok(Some(Before { tip: Tip { position: self.offset, root }, is_joined: true, given, unresolved }))
    }

    /// The state before the event is not what the specification says: that is kept, counted and told of.
    fn note_unresolved(&self, view: &mut Apply<'_>, why: Unresolved) -> Result<(), ViewError> {
        counters::next(view, "unresolved")?;
        let owed = self.room.head.owed.joins;
        view.put(
            &UNRESOLVED,
            &room_offset_key(self.room.info.number, self.offset),
            &rows::encode_unresolved(why, owed),
        );
        if view.is_live() {
            let (room_id, event_id) = (Arc::clone(&self.room.room_id), self.event.event_id.as_str().into());
            view.emit(RoomDelta::StoodFor { room_id, event_id, owed });
        }
        Ok(())
    }

    /// Writes the state after the event, where it differs from the one before or has no other place.
    fn state_after(&mut self, view: &mut Apply<'_>, before: &Before, verdict: Verdict) -> Result<Tip, ViewError> {
        let takes_effect = matches!(verdict, Verdict::Accepted | Verdict::SoftFailed);
        let mut after = before.tip;
        if let Some(state_key) = self.event.state_key.as_ref().filter(|_| takes_effect) {
            let states = &self.memo.pdus.states;
            let pair = state::intern(view, states, &self.event.event_type, state_key)?;
            let change = [(pair, Some(self.offset))];
            let root = state::update(view, states, before.tip.root, &change, Some(self.offset))?;
            after = Tip { position: self.offset, root };
        }
        let key = room_offset_key(self.room.info.number, self.offset);
        if after.position == self.offset {
            view.put(&ROOTS, &key, &after.root.0);
        }
        if before.is_joined {
            view.put(&ROOTS, &query::resolved_root_key(self.room.info.number, self.offset), &before.tip.root.0);
        }
        self.memo.keep_tip(self.event.event_id.as_str(), self.room.info.number, after);
        Ok(after)
    }

    /// Writes the rows of the event itself.
    fn store(
        &mut self,
        view: &mut Apply<'_>,
        before: Option<&Before>,
        place: Place,
        judgement: &Judgement,
    ) -> Result<EventMeta, ViewError> {
        let (verdict, why) = judgement;
        let number = self.room.info.number;
        let mut meta = EventMeta {
            verdict: *verdict,
            is_state: self.event.is_state(),
            depth: self.event.depth,
            state_before: before.map_or(Offset::ZERO, |before| before.tip.position),
            state_is_resolved: before.is_some_and(|before| before.is_joined),
            redacted_by: self.former.as_ref().and_then(|former| former.redacted_by),
            is_withheld: self.event.event_type == DUMMY_EVENT,
            place,
        };
        view.put(
            &EVENT_IDS,
            &rows::event_id_key(self.event.event_id.as_str()),
            &rows::encode_place(number, self.offset),
        );
        self.memo.pdus.place(self.event.event_id.as_str(), number, self.offset);
        if let Some(state_key) = &self.event.state_key {
            // Resolutions know every state event that they may meet by its pair.
            state::intern(view, &self.memo.pdus.states, &self.event.event_type, state_key)?;
        }
        if *verdict != Verdict::Rejected {
            // Rules ask for state events only; messages would just push those out.
            if meta.is_state {
                self.memo.pdus.keep(self.offset, &self.event);
                for parent in &self.event.auth_events {
                    view.put(&AUTH_CHILDREN, &resolution::child_key(number, parent.as_str(), self.offset), &[]);
                }
            }
            let settled = redactions::settle(self.memo, view, &self.room.info, &self.event)?;
            meta.redacted_by = meta.redacted_by.or(settled);
        }
        if meta.redacted_by.is_some() {
            erasures::list(view, self.offset, &self.event)?;
        }
        if let Some(why) = why {
            view.put(&REASONS, &room_offset_key(number, self.offset), why.as_bytes());
        }
        if redactions::is_effective(&self.event, &meta) {
            let root = before.map_or(Root::EMPTY, |before| before.tip.root);
            meta.is_withheld = redactions::apply(self.memo, view, &self.room, self.offset, &self.event, root)?;
        }
        view.put(&EVENTS, &room_offset_key(number, self.offset), &rows::encode_meta(self.offset, &meta));
        Ok(meta)
    }
}
