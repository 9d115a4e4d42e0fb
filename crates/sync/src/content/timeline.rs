//! The newest events of a stretch of a room's timeline, as one viewer may see them.

use std::collections::BTreeSet;

use engram_log::Offset;
use engram_rooms::query::{self, StoredEvent};
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
    /// The last position that was looked at: everything up to it, in the direction of reading, was returned or does not pass.
    pub(crate) reached: Offset,
}

/// A stretch of a timeline: what is after `after`, up to and including `through`.
#[derive(Clone, Copy)]
pub(crate) struct Stretch {
    pub(crate) room: RoomNumber,
    pub(crate) after: Offset,
    pub(crate) through: Offset,
    pub(crate) backwards: bool,
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
        // Events of this server are made on the room's head, so who is joined since before was joined at the event. Events
        // of others may hang on an older branch.
        let present = self.joined_since.is_some_and(|joined| joined <= event.offset);
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
    let Stretch { room, mut after, mut through, backwards } = stretch;
    let mut found = Timeline { events: Vec::new(), limited: false, reached: if backwards { after } else { through } };
    for _ in 0..limits::TIMELINE_SCAN_MAX / ROWS {
        let rows = query::timeline(reader, room, after, through, backwards, ROWS)?;
        for (offset, _) in &rows {
            let Some(event) = query::event(reader, room, *offset)? else { continue };
            if !filter.event(&*query::presented(&event)?) || !eyes.see(reader, &event)? {
                continue;
            }
            if found.events.len() == limit {
                let last = found.events.last().map(|event| event.offset);
                found.reached = match last {
                    Some(last) if backwards => Offset(last.0.saturating_sub(1)),
                    Some(last) => last,
                    None if backwards => through,
                    None => after,
                };
                found.limited = true;
                return Ok(found);
            }
            found.events.push(event);
        }
        let Some((last, _)) = rows.last().filter(|_| rows.len() == ROWS) else { return Ok(found) };
        if backwards {
            through = Offset(last.0.saturating_sub(1));
        } else {
            after = *last;
        }
    }
    found.limited = true;
    found.reached = if backwards { through } else { after };
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
