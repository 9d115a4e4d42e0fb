//! `engramctl room verdicts`: what was decided about every event, for `view what-if` of another version to compare.

use engram_log::Offset;
use engram_rooms::query::{self, RoomInfo};
use engram_views::Snapshot;
use serde::{Deserialize, Serialize};

use super::{room, verdict_name};
use crate::error::Result;
use crate::output::Output;

/// One line of the output.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) offset: u64,
    pub(crate) event_id: String,
    pub(crate) room_id: String,
    pub(crate) verdict: String,
    pub(crate) reason: Option<String>,
}

/// Runs the command, for one room or all.
pub(super) fn run(snapshot: &Snapshot, room_id: Option<&str>, output: &mut Output) -> Result<()> {
    let rooms = match room_id {
        Some(room_id) => vec![room(snapshot, room_id)?],
        None => query::rooms(snapshot)?,
    };
    for room in rooms {
        each_verdict(snapshot, &room, |offset, verdict, reason| {
            let event_id = query::event_id(snapshot, offset)?.into();
            let (room_id, verdict) = (room.room_id.clone(), verdict.to_owned());
            Ok(output.json(&Line { offset: offset.0, event_id, room_id, verdict, reason })?)
        })?;
    }
    Ok(())
}

/// Visits every event of a room, in the order of arrival, with its verdict and why.
pub(crate) fn each_verdict(
    snapshot: &Snapshot,
    room: &RoomInfo,
    mut each: impl FnMut(Offset, &'static str, Option<String>) -> Result<()>,
) -> Result<()> {
    for (offset, meta) in query::arrivals(snapshot, room.number, usize::MAX)? {
        each(offset, verdict_name(&meta), query::reason(snapshot, room.number, offset)?)?;
    }
    Ok(())
}
