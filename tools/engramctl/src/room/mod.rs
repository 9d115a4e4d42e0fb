//! `engramctl room`: rooms as the views have them.

mod explain;
mod export;
mod file;
mod graph;
mod import;
mod state;
pub(crate) mod verdicts;

use std::sync::Arc;

use engram_log::Offset;
use engram_matrix::pdu::Pdu;
use engram_rooms::query::{self, EventMeta, Place, RoomInfo, StoredEvent, Verdict};
use engram_views::{Read as _, Snapshot};
use serde_json::{Value, json};

use crate::args::RoomCommand;
use crate::data::{self, Data};
use crate::error::{Error, Outcome, Result};
use crate::output::{Output, printable};
use crate::time;

/// Runs one of its commands, over the views at the end of the log.
pub(crate) fn run(data: &Data, command: &RoomCommand, output: &mut Output) -> Result<Outcome> {
    if let RoomCommand::Import { file } = command {
        return import::run(data, file, output);
    }
    let log = data.log()?;
    let snapshot = &*data.views(log.clone())?;
    match command {
        RoomCommand::Import { .. } => {}
        RoomCommand::Verdicts { room_id, .. } => verdicts::run(snapshot, room_id.as_deref(), output)?,
        RoomCommand::Export { room_id, .. } => {
            let server_name = data::server_name(&log).unwrap_or_default();
            export::run(snapshot, &*log, &server_name, &room(snapshot, room_id)?, output)?;
        }
        RoomCommand::Explain { event_id } => explain::run(snapshot, event_id, output)?,
        RoomCommand::State { room_id, at } => state::run(snapshot, &room(snapshot, room_id)?, at.as_ref(), output)?,
        RoomCommand::Graph { room_id, format, last } => {
            graph::run(snapshot, &room(snapshot, room_id)?, *format, *last, output)?;
        }
    }
    Ok(Outcome::Good)
}

fn room(snapshot: &Snapshot, room_id: &str) -> Result<RoomInfo> {
    query::room(snapshot, room_id)?.ok_or_else(|| Error::NoRoom(room_id.to_owned()))
}

fn event(snapshot: &Snapshot, event_id: &str) -> Result<StoredEvent> {
    let Some((room, offset)) = query::locate(snapshot, event_id)? else {
        return Err(Error::NoEvent(event_id.to_owned()));
    };
    query::event(snapshot, room, offset)?.ok_or_else(|| Error::NoEvent(event_id.to_owned()))
}

/// When the record of an event was appended.
fn arrived(snapshot: &Snapshot, offset: Offset) -> Result<String> {
    Ok(time::format(snapshot.record(offset)?.timestamp))
}

fn verdict_name(meta: &EventMeta) -> &'static str {
    match meta.verdict {
        Verdict::Accepted if meta.is_withheld => "accepted, but a redaction that is withheld",
        Verdict::Accepted => "accepted",
        Verdict::SoftFailed => "soft-failed",
        Verdict::Rejected => "rejected",
        Verdict::Outlier => "kept apart",
    }
}

fn place_name(meta: &EventMeta) -> &'static str {
    match meta.place {
        Place::Live => "live",
        Place::Past(Some(_)) => "past",
        Place::Past(None) => "past, followed by nothing that is known",
        Place::Apart => "none",
    }
}

/// An event on a line: `$id  m.room.member @alice:x by @bob:x {"membership":"join"}`.
fn line(offset: Offset, event: &Pdu) -> String {
    let state_key = event.state_key.as_deref().map(|key| format!(" {key:?}")).unwrap_or_default();
    let (id, kind, sender, content) = (&event.event_id, &event.event_type, &event.sender, event.content_str());
    printable(&format!("{offset:>8}  {id}  {kind}{state_key} by {sender} {}", crate::output::shorten(content, 100)))
}

/// An event for machines.
fn document(offset: Offset, event: &Pdu) -> Value {
    let content: Value = event.content().unwrap_or_default();
    json!({
        "offset": offset.0,
        "event_id": event.event_id,
        "type": event.event_type,
        "state_key": event.state_key,
        "sender": event.sender,
        "content": content,
    })
}

/// The event at an offset that a state or a list names.
fn at(snapshot: &Snapshot, offset: Offset) -> Result<Arc<Pdu>> {
    Ok(query::pdu(snapshot, offset)?)
}
