//! A room's history: `/messages`, `/context` and `/timestamp_to_event`.
//!
//! The order is that of arrival, as in /sync, so tokens fit both ways. History visibility and ignored users apply to
//! every event.

use std::ops::ControlFlow;

use engram_log::Offset;
use engram_matrix::history::HistoryVisibility;
use engram_rooms::query::{self, Position, StoredEvent, Viewer};
use engram_rooms::{Membership, RoomNumber};
use engram_views::{Read, ViewError};

use crate::content::account::read_ignored;
use crate::content::timeline::{self, Eyes, Stretch, Timeline};
use crate::event::Format;
use crate::filter::RoomEventFilter;
use crate::hub::Ignored;
use crate::limits;
use crate::token::Token;

/// Why history is not shown.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The user has never been in the room or has forgotten it, and it is not open to the world: `M_FORBIDDEN`.
    #[error("you are not a member of this room")]
    Forbidden,
    /// There is no such event, or the user may not see it: `M_NOT_FOUND`.
    #[error("no such event")]
    NotFound,
    /// The views cannot be read.
    #[error(transparent)]
    View(#[from] ViewError),
}

/// A request for a page of history.
#[derive(Clone, Copy, Debug)]
pub struct PageRequest<'a> {
    /// Who asks, and when.
    pub viewer: Viewer<'a>,
    /// The room.
    pub room: RoomNumber,
    /// Where to begin; none for the end that the direction leads away from.
    pub from: Option<Token>,
    /// Where to stop.
    pub to: Option<Token>,
    /// Whether to go back in time.
    pub backwards: bool,
    /// At most so many events.
    pub limit: Option<u64>,
    /// Which events.
    pub filter: &'a RoomEventFilter,
}

/// A page of history.
#[derive(Clone, Debug)]
pub struct Page {
    /// The events in the direction of reading, as JSON.
    pub chunk: Vec<String>,
    /// Where it begins.
    pub start: Token,
    /// Where to go on; none if there is nothing more.
    pub end: Option<Token>,
    /// With lazy loading, the member events of the senders, as JSON.
    pub state: Vec<String>,
}

/// An event with what was said before and after it.
#[derive(Clone, Debug)]
pub struct EventContext {
    /// The event, as JSON.
    pub event: String,
    /// The events before it, newest first, as JSON.
    pub before: Vec<String>,
    /// The events after it, oldest first, as JSON.
    pub after: Vec<String>,
    /// Where to go on backwards.
    pub start: Token,
    /// Where to go on forwards.
    pub end: Token,
    /// The state at the last of the events, as JSON; with lazy loading, only the senders' member events of its members.
    pub state: Vec<String>,
}

/// A page of a room's history.
pub fn messages(reader: &dyn Read, request: PageRequest<'_>) -> Result<Page, HistoryError> {
    page(reader, request, &Format::of_history(request.viewer))
}

/// [`messages`] in any format.
pub(crate) fn page(reader: &dyn Read, request: PageRequest<'_>, format: &Format<'_>) -> Result<Page, HistoryError> {
    let PageRequest { viewer, room, backwards, filter, .. } = request;
    let sight = Sight::of(reader, room, viewer.user_id)?;
    let all = sight.all(room, backwards);
    let cut = |token: Option<Token>| token.map(|token| token.cut().min(all.to));
    let (start, stop) = (cut(request.from), cut(request.to));
    let (from, to) = if backwards { (stop, start) } else { (start, stop) };
    let limit = limit(request.limit, limits::PAGE_DEFAULT);
    let stretch = Stretch { from: from.unwrap_or(all.from), to: to.unwrap_or(all.to), ..all };
    let found = timeline::read(reader, stretch, limit, filter, &sight.eyes(viewer.user_id))?;
    let mut chunk = Vec::with_capacity(found.events.len());
    for event in &found.events {
        chunk.push(format.render(reader, event)?);
    }
    let start = Token::at(if backwards { stretch.to } else { stretch.from });
    let state = if filter.lazy_load_members { senders(reader, room, format, &found.events)? } else { Vec::new() };
    Ok(Page { chunk, start, end: end(&found, &stretch), state })
}

/// Where to go on: what comes after the last event may still come, forwards with time, backwards from other servers.
/// Only a page with nothing in it is the end.
fn end(found: &Timeline, stretch: &Stretch) -> Option<Token> {
    if found.limited {
        return Some(Token::at(found.reached));
    }
    found.events.last().map(|last| token_past(stretch, last))
}

/// An event and what is round it: `limit` events in all, half of them before.
pub fn context(
    reader: &dyn Read,
    viewer: Viewer<'_>,
    room: RoomNumber,
    event_id: &str,
    wanted: Option<u64>,
    filter: &RoomEventFilter,
) -> Result<EventContext, HistoryError> {
    let sight = Sight::of(reader, room, viewer.user_id)?;
    let located = query::locate(reader, event_id)?.filter(|(at, _)| *at == room);
    let (_, offset) = located.ok_or(HistoryError::NotFound)?;
    let event = query::event(reader, room, offset)?.ok_or(HistoryError::NotFound)?;
    let shown = event.meta.verdict == query::Verdict::Accepted;
    if !shown || !query::may_see(reader, &event, viewer.user_id)? {
        return Err(HistoryError::NotFound);
    }
    let limit = limit(wanted, limits::PAGE_DEFAULT);
    let eyes = sight.eyes(viewer.user_id);
    let position = Position::of(offset, &event.meta).ok_or(HistoryError::NotFound)?;
    let earlier = Stretch { to: position, ..sight.all(room, true) };
    let before = timeline::read(reader, earlier, limit / 2, filter, &eyes)?;
    let later = Stretch { from: position.next(), ..sight.all(room, false) };
    let after = timeline::read(reader, later, limit - limit / 2, filter, &eyes)?;

    let format = Format::of_history(viewer);
    let render = |events: &[StoredEvent]| -> Result<Vec<String>, ViewError> {
        events.iter().map(|event| format.render(reader, event)).collect()
    };
    let last = after.events.last().unwrap_or(&event);
    let first = before.events.last().unwrap_or(&event);
    let all: Vec<&StoredEvent> = before.events.iter().chain([&event]).chain(&after.events).collect();
    Ok(EventContext {
        start: if before.limited { Token::at(before.reached) } else { token_past(&earlier, first) },
        end: token_past(&later, last),
        state: state_at(reader, room, &format, last, filter, &all)?,
        event: format.render(reader, &event)?,
        before: render(&before.events)?,
        after: render(&after.events)?,
    })
}

/// The event closest to a time in a direction, of those that the viewer gets to see: its ID, and the time that it names
/// (HIST-10).
pub fn closest(
    reader: &dyn Read,
    viewer: Viewer<'_>,
    room: RoomNumber,
    ts: u64,
    backwards: bool,
) -> Result<(String, u64), HistoryError> {
    let sight = Sight::of(reader, room, viewer.user_id)?;
    let eyes = sight.eyes(viewer.user_id);
    let (mut looked_at, mut found) = (0, None);
    query::by_time(reader, room, ts, backwards, &mut |offset| {
        looked_at += 1;
        if let Some(event) = query::event(reader, room, offset)? {
            let position = Position::of(offset, &event.meta).filter(|position| position.live_before() < sight.end);
            if position.is_some() && event.meta.is_shown() && eyes.see(reader, &event)? {
                found = Some((event.pdu.event_id.as_str().to_owned(), event.pdu.origin_server_ts));
            }
        }
        let is_done = found.is_some() || looked_at == limits::TIME_SCAN_MAX;
        Ok(if is_done { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    found.ok_or(HistoryError::NotFound)
}

/// The token beyond an event of a stretch, in the direction of reading.
fn token_past(stretch: &Stretch, event: &StoredEvent) -> Token {
    let position = Position::of(event.offset, &event.meta).expect("what was found in a stretch has its place there");
    Token::at(stretch.cut_past(position))
}

/// The state after an event; with lazy loading, of the members only the senders.
fn state_at(
    reader: &dyn Read,
    room: RoomNumber,
    format: &Format<'_>,
    last: &StoredEvent,
    filter: &RoomEventFilter,
    events: &[&StoredEvent],
) -> Result<Vec<String>, ViewError> {
    let root = query::state_after(reader, room, last.offset, &last.meta)?;
    let mut state = Vec::new();
    for (_, offset) in engram_rooms::state::entries(reader, root)? {
        let pdu = query::pdu(reader, offset)?;
        let member = pdu.state_key.as_deref().filter(|_| pdu.event_type == "m.room.member");
        let sent = |user_id: &str| events.iter().any(|event| event.pdu.sender.as_str() == user_id);
        if filter.lazy_load_members && member.is_some_and(|user_id| !sent(user_id)) {
            continue;
        }
        state.push(format.render_at(reader, room, offset)?);
    }
    Ok(state)
}

/// The member events of the senders of some events, each as of the sender's first event among them.
fn senders(
    reader: &dyn Read,
    room: RoomNumber,
    format: &Format<'_>,
    events: &[StoredEvent],
) -> Result<Vec<String>, ViewError> {
    let mut seen = std::collections::BTreeSet::new();
    let mut state = Vec::new();
    for event in events {
        let sender = event.pdu.sender.as_str();
        if !seen.insert(sender) {
            continue;
        }
        let root = query::state_after(reader, room, event.offset, &event.meta)?;
        if let Some(offset) = query::state_entry(reader, root, "m.room.member", sender)? {
            state.push(format.render_at(reader, room, offset)?);
        }
    }
    Ok(state)
}

fn limit(wanted: Option<u64>, default: usize) -> usize {
    wanted.map_or(default, |wanted| usize::try_from(wanted).unwrap_or(limits::PAGE_MAX)).min(limits::PAGE_MAX)
}

/// How far a user can look into a room.
struct Sight {
    /// Where history ends for them: now, or when they left.
    end: Offset,
    joined_since: Option<Offset>,
    ignored: Ignored,
}

impl Sight {
    fn of(reader: &dyn Read, room: RoomNumber, user_id: &str) -> Result<Self, HistoryError> {
        let head = query::head(reader, room)?;
        let ignored = read_ignored(reader, user_id)?;
        let membership = query::membership(reader, room, user_id)?;
        if let Some((Membership::Join, event)) = membership {
            return Ok(Self { end: head.latest, joined_since: Some(event), ignored });
        }
        if is_world_readable(reader, &head)? {
            return Ok(Self { end: head.latest, joined_since: None, ignored });
        }
        match membership {
            Some(_) if query::has_forgotten(reader, room, user_id)? => Err(HistoryError::Forbidden),
            Some((Membership::Leave | Membership::Ban, end)) => Ok(Self { end, joined_since: None, ignored }),
            _ => Err(HistoryError::Forbidden),
        }
    }

    /// All of the timeline that there may be something to see of.
    fn all(&self, room: RoomNumber, backwards: bool) -> Stretch {
        let to = Position::live(Offset(self.end.0.saturating_add(1)));
        Stretch { room, from: Position::live(Offset::ZERO), to, backwards, with_past: true }
    }

    fn eyes<'a>(&'a self, user_id: &'a str) -> Eyes<'a> {
        Eyes { user_id, ignored: &self.ignored, joined_since: self.joined_since, current: None }
    }
}

fn is_world_readable(reader: &dyn Read, head: &query::Head) -> Result<bool, ViewError> {
    let event = query::state_entry(reader, head.state, "m.room.history_visibility", "")?;
    let Some(offset) = event else { return Ok(false) };
    let pdu = query::pdu(reader, offset)?;
    Ok(HistoryVisibility::in_state(Some(&pdu)) == HistoryVisibility::WorldReadable)
}
