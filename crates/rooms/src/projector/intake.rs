//! One PDU from the log into the tables.

use std::sync::Arc;

use engram_log::Offset;
use engram_log_format::v1::{self, ArchivedPduSource};
use engram_matrix::pdu::Pdu;
use engram_views::{Apply, ViewError};

use super::advance::{self, Step};
use super::judge::{self, Judgement};
use super::memo::{Memo, RoomMemo, Tip};
use super::{auth_difference, merge, redactions};
use crate::codec::{names_key, put_bytes, put_varint, room_offset_key};
use crate::counters;
use crate::query::{self, EventMeta, RoomInfo, Verdict};
use crate::rows;
use crate::state::{self, Root};
use crate::tables::{AUTH_CHILDREN, EVENT_IDS, EVENTS, HEADS, IDS, INFO, REASONS, ROOTS, TRANSACTIONS};
use crate::types::RoomNumber;

type Archived = v1::ArchivedInput<v1::Pdu>;

/// Applies one PDU record.
pub(super) fn pdu(memo: &mut Memo, view: &mut Apply<'_>, offset: Offset, archived: &Archived) -> Result<(), ViewError> {
    let redacted_by = match take_former(view, archived)? {
        Former::Placed => return Ok(()),
        Former::Outlier { redacted_by } => redacted_by,
        Former::None => None,
    };
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
    let mut arrival = Arrival { memo, room, offset, event, redacted_by };
    let stored = arrival.place(view, archived);
    arrival.memo.keep(arrival.room);
    stored
}

/// What is known of an event before its record is applied.
enum Former {
    None,
    /// It was kept apart. That row is gone now: the event may get its place.
    Outlier {
        redacted_by: Option<Offset>,
    },
    /// It was applied before; once is enough.
    Placed,
}

fn take_former(view: &mut Apply<'_>, archived: &Archived) -> Result<Former, ViewError> {
    let Some((room, offset)) = query::locate(view, &archived.event_id)? else { return Ok(Former::None) };
    let apart = matches!(archived.source, ArchivedPduSource::Backfill | ArchivedPduSource::Outlier);
    match query::meta(view, room, offset)? {
        Some(meta) if meta.verdict == Verdict::Outlier && !apart => {
            view.remove(&EVENTS, &room_offset_key(room, offset));
            view.remove(&REASONS, &room_offset_key(room, offset));
            Ok(Former::Outlier { redacted_by: meta.redacted_by })
        }
        _ => Ok(Former::Placed),
    }
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
    let mut row = Vec::with_capacity(room_id.len() + 16);
    put_varint(&mut row, offset.0);
    put_bytes(&mut row, create.version().id().as_bytes());
    put_bytes(&mut row, room_id.as_bytes());
    view.put(&INFO, &number.0.to_be_bytes(), &row);
    let info = RoomInfo { number, room_id: room_id.to_owned(), version: create.version(), create: offset };
    let room = RoomMemo::new(info);
    view.put(&HEADS, &number.0.to_be_bytes(), &rows::encode_head(&room.head));
    Ok(room)
}

/// An event on its way into its room.
struct Arrival<'a> {
    memo: &'a mut Memo,
    room: RoomMemo,
    offset: Offset,
    event: Arc<Pdu>,
    /// The redaction that took effect while the event was an outlier.
    redacted_by: Option<Offset>,
}

/// The state before an event.
struct Before {
    tip: Tip,
    /// The event joins branches; the state is stored under its own position.
    is_joined: bool,
}

impl Arrival<'_> {
    /// Finds the state before the event, judges the event and stores both.
    fn place(&mut self, view: &mut Apply<'_>, archived: &Archived) -> Result<(), ViewError> {
        let before = match archived.source {
            ArchivedPduSource::Backfill | ArchivedPduSource::Outlier => None,
            ArchivedPduSource::Local | ArchivedPduSource::Federation => self.state_before(view)?,
        };
        let Some(before) = before else {
            let (verdict, why) = judge::judge_outlier(view, &self.memo.pdus, &self.room, &self.event)?;
            let why = why.unwrap_or_else(|| "an event before it is not known".to_owned());
            self.store(view, None, &(verdict, Some(why)))?;
            return Ok(());
        };
        let judgement = judge::judge(view, self.memo, &mut self.room, &self.event, before.tip.root)?;
        let after = self.state_after(view, &before, judgement.0)?;
        let meta = self.store(view, Some(&before), &judgement)?;
        if let Some(transaction) = archived.transaction.as_ref() {
            let key = names_key(&[&transaction.user_id, &transaction.device_id, &transaction.transaction_id]);
            view.put(&TRANSACTIONS, &key, &rows::encode_place(self.room.info.number, self.offset));
        }
        let step = Step { offset: self.offset, event: &self.event, meta: &meta, before: before.tip.root, after };
        advance::advance(self.memo, view, &mut self.room, &step)
    }

    /// The state before the event; none if an event before it has no known state.
    fn state_before(&mut self, view: &mut Apply<'_>) -> Result<Option<Before>, ViewError> {
        let parents = &self.event.prev_events;
        if parents.is_empty() {
            // A create event. Anything else will be denied for want of one.
            let tip = Tip { position: Offset::ZERO, root: Root::EMPTY };
            return Ok(Some(Before { tip, is_joined: false }));
        }
        let mut tips = Vec::with_capacity(parents.len());
        for parent in parents {
            match self.memo.tip(view, &self.room, parent.as_str())? {
                Some(tip) => tips.push(tip),
                None => return Ok(None),
            }
        }
        if let [tip] = tips[..] {
            return Ok(Some(Before { tip, is_joined: false }));
        }
        let roots = tips.iter().map(|tip| tip.root).collect();
        let root = merge::resolve(view, &self.memo.pdus, &self.room.info, roots)?;
        Ok(Some(Before { tip: Tip { position: self.offset, root }, is_joined: true }))
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
            redacted_by: self.redacted_by,
            is_withheld: false,
        };
        view.put(
            &EVENT_IDS,
            &rows::event_id_key(self.event.event_id.as_str()),
            &rows::encode_place(number, self.offset),
        );
        self.memo.pdus.place(self.event.event_id.as_str(), number, self.offset);
        if *verdict != Verdict::Rejected {
            // Rules ask for state events only; messages would just push those out.
            if meta.is_state {
                self.memo.pdus.keep(self.offset, &self.event);
                for parent in &self.event.auth_events {
                    view.put(&AUTH_CHILDREN, &auth_difference::child_key(parent.as_str(), self.offset), &[]);
                }
            }
            let settled = redactions::settle(self.memo, view, &self.room.info, &self.event)?;
            meta.redacted_by = meta.redacted_by.or(settled);
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
