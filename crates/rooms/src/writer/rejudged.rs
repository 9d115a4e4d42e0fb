//! Tells of rooms about which another version of the view has decided otherwise.
//!
//! Verdicts are a view: better rules and a rebuild judge history anew. An event that is accepted now may lie before
//! what a client has seen, and one that was shown may be none any more; nothing in the log happened, so nothing would
//! ever tell the client. So it is made to happen: a record names the rooms, and /sync shows each of them anew to
//! whoever has it from before that record.

use std::collections::BTreeMap;

use engram_log::{Input, Lane};
use engram_log_format::v1;
use engram_views::Projector as _;

use super::{Parts, RoomError};
use crate::projector::RoomsProjector;
use crate::verdicts::{self, Decided};

/// Rooms that one record names.
const ROOMS_MAX: usize = 10_000;

impl Parts {
    /// Compares what the views have decided with what a former version of them had, and records where they differ. To
    /// be called before the views are started, and thus before there are writers. Returns how many rooms differ.
    pub fn tell_of_rejudged(&self) -> Result<usize, RoomError> {
        let views = &self.views;
        let projector = RoomsProjector::default();
        let Some(rows) = views.former(projector.name())? else { return Ok(0) };
        let before: BTreeMap<String, Decided> =
            rows.iter().filter_map(|(key, row)| verdicts::decode_row(key, row)).collect();
        let differing = verdicts::differences(&before, &verdicts::all(&*self.views.snapshot())?);
        for rooms in differing.chunks(ROOMS_MAX) {
            let record = v1::RoomsRejudged { room_ids: rooms.to_vec(), view_version: projector.version() };
            let appended = self.log.append(Lane::Journal, &[Input::from(record)], (self.clock)())?;
            self.log.wait_durable(appended.last)?;
        }
        // After a crash before this it is compared, and told, once more: which costs clients a sync, and nothing else.
        views.forget_former(projector.name())?;
        Ok(differing.len())
    }
}
