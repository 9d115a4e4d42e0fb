//! The short way: nothing new, or only plain messages in rooms where nothing else has happened.
//!
//! It reads no view but for the transaction ID of one's own messages. Whatever is not certain is left to the general
//! way.

use engram_log::Offset;
use engram_rooms::{Membership, query};
use engram_views::Snapshot;

use super::Answer;
use crate::content::room::UNREAD;
use crate::content::timeline::same_server;
use crate::event::{self, Format};
use crate::hub::{Entry, Ignored, Recent, UserHub};
use crate::json::{push_number, push_separator, push_string};
use crate::limits;
use crate::server::SyncRequest;
use crate::token::Token;

/// The answer, if it can be told from memory.
pub(crate) fn answer(
    request: &SyncRequest,
    user: &UserHub,
    snapshot: &Snapshot,
    since: Offset,
    format: &Format<'_>,
    now_ms: u64,
) -> Option<Answer> {
    let position = snapshot.offset();
    if request.full_state || since > position || !request.filter.plain_events() {
        return None;
    }
    let known = user.device(&request.device_id, |memory| memory.counts.clone());
    let keys_changed = user.keys.get(&request.device_id);
    let (_, counts) = known.filter(|(at, _)| *at >= keys_changed)?;
    let mut rooms = String::new();
    if user.latest.get() > since {
        let others = [&user.account_data, &user.to_device, &user.device_lists, &user.presence];
        if others.iter().any(|mark| mark.get() > since) {
            return None;
        }
        let ignored = user.ignored()?;
        let changed = |entry: &Entry| {
            let room = &entry.room;
            let room_changed = room.latest.get() > since || room.ephemeral.get() > since;
            entry.event > since || (entry.membership == Membership::Join && room_changed)
        };
        let quick = Quick { request, user, snapshot, since, format, now_ms, ignored: &ignored };
        for entry in user.entries(position, changed).ok()? {
            quick.push_room(&mut rooms, &entry)?;
        }
    }
    let is_quiet = rooms.is_empty();
    let is_empty = is_quiet && (keys_changed <= since || keys_changed > position);
    let mut body = String::with_capacity(rooms.len() + counts.len() + 64);
    body.push_str("{\"next_batch\":");
    push_string(&mut body, &Token::sync(position).to_string());
    if !is_quiet {
        body.push_str(",\"rooms\":{\"join\":{");
        body.push_str(&rooms);
        body.push_str("}}");
    }
    body.push(',');
    body.push_str(&counts);
    body.push('}');
    Some(Answer { body, is_empty, position })
}

struct Quick<'a> {
    request: &'a SyncRequest,
    user: &'a UserHub,
    snapshot: &'a Snapshot,
    since: Offset,
    format: &'a Format<'a>,
    now_ms: u64,
    ignored: &'a Ignored,
}

impl Quick<'_> {
    /// Appends a changed room, if it is wanted and anything of it is to be shown; nothing if that cannot be told from
    /// here.
    fn push_room(&self, out: &mut String, entry: &Entry) -> Option<()> {
        let room = &*entry.room;
        let filter = &self.request.filter.room;
        let plain = entry.membership == Membership::Join
            && entry.event <= self.since
            && room.ephemeral.get() <= self.since
            && room.state_changed.get() <= self.since;
        if !filter.room(&room.id) {
            return Some(());
        }
        if !plain || !filter.timeline.room(&room.id) {
            return None;
        }
        let limit = filter.timeline.event.limit(limits::TIMELINE_INCREMENTAL, limits::TIMELINE_MAX);
        let mut events = room.recent(self.since, self.snapshot.offset(), limit)?;
        let certain = |event: &Recent| event.is_plain() && same_server(&self.user.id, event.pdu.sender.as_str());
        if !events.iter().all(|event| certain(event)) || !self.knows_senders(room.number, &events) {
            return None;
        }
        events.retain(|event| !self.ignored.contains(event.pdu.sender.as_str()) && filter.timeline.event(&event.pdu));
        let Some(first) = events.first() else { return Some(()) };
        if !out.is_empty() {
            out.push(',');
        }
        push_string(out, &room.id);
        out.push_str(":{\"timeline\":{\"events\":[");
        for event in &events {
            push_separator(out);
            self.push_event(out, room.number, event)?;
        }
        out.push_str("],\"limited\":false,\"prev_batch\":");
        push_string(out, &Token::before(first.offset).to_string());
        out.push_str(if self.request.use_state_after { "},\"state_after\"" } else { "},\"state\"" });
        out.push_str(":{\"events\":[]},\"ephemeral\":{\"events\":[]},");
        out.push_str(UNREAD);
        out.push('}');
        Some(())
    }

    /// One's own messages carry the transaction ID; those of others differ in their age only.
    fn push_event(&self, out: &mut String, room: engram_rooms::RoomNumber, event: &Recent) -> Option<()> {
        if event.pdu.sender.as_str() == &*self.user.id {
            let stored = query::event(self.snapshot, room, event.offset).ok()??;
            out.push_str(&self.format.render(self.snapshot, &stored).ok()?);
        } else {
            out.push_str(event.head());
            push_number(out, event::age(&event.pdu, self.now_ms));
            out.push_str(",\"membership\":\"join\"}}");
        }
        Some(())
    }

    /// With lazy loading: whether the client has been sent the member events of all senders.
    fn knows_senders(&self, room: engram_rooms::RoomNumber, events: &[std::sync::Arc<Recent>]) -> bool {
        let filter = &self.request.filter.room.state;
        if !filter.lazy_load_members {
            return true;
        }
        !filter.include_redundant_members
            && self.user.device(&self.request.device_id, |memory| {
                events.iter().all(|event| {
                    let sent = memory.sent_members.get(&(room, event.pdu.sender.as_str().to_owned()));
                    sent.is_some_and(|(_, at)| *at <= self.since)
                })
            })
    }
}
