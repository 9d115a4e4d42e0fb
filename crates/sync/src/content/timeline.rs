//! The newest events of a stretch of a room's timeline, as one viewer may see them.

use std::collections::BTreeSet;

use engram_log::Offset;
use engram_rooms::query::{self, Place, Position, StoredEvent};
use engram_rooms::state::Root;
use engram_rooms::{Membership, RoomNumber};
use engram_views::{Read, ViewError};

use crate::filter::RoomEventFilter;
use crate::hub::{Entry, Ignored};
use crate::limits;

/// Rows that are fetched from the view in one go.
const ROWS: usize = 50;

/// Who looks at a timeline.
pub(crate) struct Eyes<'a> {
    pub(crate) user_id: &'a str,
    pub(crate) ignored: &'a Ignored,
    /// If the user is joined: since when, without a break.
    pub(crate) joined_since: Option<Offset>,
    /// The state that the user may read anyhow: its events are shown, also those from a time when they were not there.
    pub(crate) current: Option<Root>,
}

/// What was found.
pub(crate) struct Timeline {
    /// The events, in the order asked for.
    pub(crate) events: Vec<StoredEvent>,
    /// Whether there are more that would pass, or might.
    pub(crate) limited: bool,
    /// The cut up to which everything, in the direction of reading, was returned or does not pass.
    pub(crate) reached: Position,
}

/// A stretch of a timeline, between two cuts.
#[derive(Clone, Copy)]
pub(crate) struct Stretch {
    pub(crate) room: RoomNumber,
    pub(crate) from: Position,
    pub(crate) to: Position,
    pub(crate) backwards: bool,
    /// Whether the past that was fetched from other servers belongs to it: for whoever pages, and never for /sync.
    pub(crate) with_past: bool,
}

impl Stretch {
    /// What arrived live after `after`, up to and including `through`.
    pub(crate) fn live(room: RoomNumber, after: Offset, through: Offset, backwards: bool) -> Self {
        let cut = |after: Offset| Position::live(Offset(after.0.saturating_add(1)));
        Self { room, from: cut(after), to: cut(through), backwards, with_past: false }
    }

    /// The cut beyond an event, in the direction of reading.
    pub(crate) fn cut_past(&self, event: Position) -> Position {
        match event {
            event if self.backwards => event,
            event if event.is_live() => Position::live(event.anchor.next()),
            event => event.next(),
        }
    }

    /// The next rows, each with its position.
    fn rows(&self, reader: &dyn Read) -> Result<Vec<(Position, Offset)>, ViewError> {
        let Self { room, from, to, backwards, with_past } = *self;
        if with_past {
            let rows = query::history(reader, room, from, to, backwards, ROWS)?;
            return Ok(rows.into_iter().map(|(position, offset, _)| (position, offset)).collect());
        }
        let rows = query::timeline(reader, room, from.live_before(), to.live_before(), backwards, ROWS)?;
        Ok(rows.into_iter().map(|(offset, _)| (Position::live(offset), offset)).collect())
    }
}

impl<'a> Eyes<'a> {
    pub(crate) fn of(user_id: &'a str, ignored: &'a Ignored, entry: &Entry) -> Self {
        let joined_since = (entry.membership == Membership::Join).then_some(entry.event);
        Self { user_id, ignored, joined_since, current: None }
    }

    /// Whether the user gets to see an event.
    pub(crate) fn see(&self, reader: &dyn Read, event: &StoredEvent) -> Result<bool, ViewError> {
        let sender = event.pdu.sender.as_str();
        if event.pdu.state_key.is_none() && self.ignored.contains(sender) {
            return Ok(false);
        }
        // Events of this server are made on the room's head, so who is joined since before was joined at the event.
        // Events of others may hang on an older branch.
        let is_live = event.meta.place == Place::Live;
        let present = is_live && self.joined_since.is_some_and(|joined| joined <= event.offset);
        if present && same_server(self.user_id, sender) {
            return Ok(true);
        }
        if query::may_see(reader, event, self.user_id)? {
            return Ok(true);
        }
        match (self.current, &event.pdu.state_key) {
            (Some(root), Some(state_key)) => {
                Ok(query::state_entry(reader, root, &event.pdu.event_type, state_key)? == Some(event.offset))
            }
            _ => Ok(false),
        }
    }
}

/// Whether two users are of one server.
pub(crate) fn same_server(one: &str, other: &str) -> bool {
    let server = |user_id: &str| user_id.find(':').map(|at| at + 1);
    match (server(one), server(other)) {
        (Some(a), Some(b)) => one[a..] == other[b..],
        _ => false,
    }
}

/// Reads a stretch from its end, or its beginning, until `limit` events have passed.
pub(crate) fn read(
    reader: &dyn Read,
    stretch: Stretch,
    limit: usize,
    filter: &RoomEventFilter,
    eyes: &Eyes<'_>,
) -> Result<Timeline, ViewError> {
    let mut rest = stretch;
    let end = if stretch.backwards { stretch.from } else { stretch.to };
    let mut found = Timeline { events: Vec::new(), limited: false, reached: end };
    let mut last = None;
    for _ in 0..limits::TIMELINE_SCAN_MAX / ROWS {
        let rows = rest.rows(reader)?;
        for (position, offset) in &rows {
            let Some(event) = query::event(reader, stretch.room, *offset)? else { continue };
            if !filter.event(&*query::presented(&event)?) || !eyes.see(reader, &event)? {
                continue;
            }
            if found.events.len() == limit {
                found.reached = match last {
                    Some(last) => rest.cut_past(last),
                    None if stretch.backwards => rest.to,
                    None => rest.from,
                };
                found.limited = true;
                return Ok(found);
            }
            last = Some(*position);
            found.events.push(event);
        }
        let Some((last, _)) = rows.last().filter(|_| rows.len() == ROWS) else { return Ok(found) };
        if stretch.backwards {
            rest.to = *last;
        } else {
            rest.from = last.next();
        }
    }
    found.limited = true;
    found.reached = if stretch.backwards { rest.to } else { rest.from };
    Ok(found)
}

impl Timeline {
    /// The senders of the events, by who comes first with something else than their own membership.
    pub(crate) fn senders(&self) -> BTreeSet<&str> {
        let mut senders = BTreeSet::new();
        let mut introduced = BTreeSet::new();
        for event in &self.events {
            let sender = event.pdu.sender.as_str();
            if event.pdu.is_state_of("m.room.member", sender) {
                introduced.insert(sender);
            } else if !introduced.contains(sender) {
                senders.insert(sender);
            }
        }
        senders
    }
}
