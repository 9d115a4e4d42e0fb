//! `engramctl room state`: a room's state, now or at any point of its history.

use engram_log::{Offset, TimestampMs};
use engram_rooms::query::{self, RoomInfo};
use engram_rooms::state::{self, Root};
use engram_views::{Read as _, Snapshot};
use serde_json::json;

use super::{at, document, event, line};
use crate::args::Moment;
use crate::error::{Error, Result};
use crate::output::{Output, hex};

/// Runs the command.
pub(super) fn run(snapshot: &Snapshot, room: &RoomInfo, moment: Option<&Moment>, output: &mut Output) -> Result<()> {
    let root = match moment {
        None => query::head(snapshot, room.number)?.state,
        Some(Moment::Event(event_id)) => after_event(snapshot, room, event_id)?,
        Some(Moment::Offset(offset)) => query::state_at(snapshot, room.number, *offset)?,
        Some(Moment::Time(time)) => query::state_at(snapshot, room.number, last_at(snapshot, room, *time)?)?,
    };
    let mut entries = Vec::new();
    for (_, offset) in state::entries(snapshot, root)? {
        entries.push((offset, at(snapshot, offset)?));
    }
    entries.sort_by(|(_, a), (_, b)| (&a.event_type, &a.state_key).cmp(&(&b.event_type, &b.state_key)));
    if output.is_json() {
        let events: Vec<_> = entries.iter().map(|(offset, event)| document(*offset, event)).collect();
        return Ok(output.json(&json!({ "room_id": room.room_id, "root": hex(&root.0), "state": events }))?);
    }
    for (offset, event) in entries {
        output.line(line(offset, &event))?;
    }
    Ok(())
}

fn after_event(snapshot: &Snapshot, room: &RoomInfo, event_id: &str) -> Result<Root> {
    let event = event(snapshot, event_id)?;
    if event.room != room.number {
        let room_id = query::room_by_number(snapshot, event.room)?.room_id;
        return Err(Error::OtherRoom { event_id: event_id.to_owned(), room_id });
    }
    Ok(query::state_after(snapshot, room.number, event.offset, &event.meta)?)
}

/// The room's last event of a time or before. Times of records never decrease.
fn last_at(snapshot: &Snapshot, room: &RoomInfo, time: TimestampMs) -> Result<Offset> {
    let events = query::arrivals(snapshot, room.number, usize::MAX)?;
    let (mut low, mut high) = (0, events.len());
    while low < high {
        let middle = low.midpoint(high);
        if snapshot.record(events[middle].0)?.timestamp <= time { low = middle + 1 } else { high = middle }
    }
    Ok(low.checked_sub(1).map_or(Offset::ZERO, |last| events[last].0))
}
