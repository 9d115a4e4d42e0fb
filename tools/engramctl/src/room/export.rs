//! `engramctl room export`: a room with everything that the log holds of it.

use std::time::Duration;

use engram_log::{Input, InputRef, Lanes, Log, Offset, Record};
use engram_log_format::v1;
use engram_matrix::received::VerifiedPdu;
use engram_rooms::query::{self, RoomInfo};
use engram_views::Snapshot;
use serde_json::value::RawValue;

use super::file::{EventLine, FORMAT, Header, Line, StateLine, VERSION};
use super::verdict_name;
use crate::error::{Error, Result};
use crate::output::{Output, hex};
use crate::progress;

/// Records that are read at once.
const BATCH: usize = 1024;

/// Runs the command: reads the log from its beginning, for states that were given are nowhere else.
pub(super) fn run(
    snapshot: &Snapshot,
    log: &dyn Log,
    server_name: &str,
    room: &RoomInfo,
    output: &mut Output,
) -> Result<()> {
    output.json(&header(snapshot, server_name, room)?)?;
    let mut follower = log.follow(Offset::ZERO, Lanes::Journal)?;
    let bar = progress::offsets("reading");
    let end = snapshot.offset();
    loop {
        let mut records = Vec::with_capacity(BATCH);
        // A log that was opened to be read ends by saying that nothing more will come.
        if !matches!(follower.next(&mut records, BATCH, Duration::ZERO), Ok(1..)) {
            return Ok(());
        }
        for record in records.iter().filter(|record| record.offset <= end) {
            if let Some(line) = line(snapshot, room, record)? {
                output.json(&line)?;
            }
        }
        if follower.position() >= end {
            return Ok(());
        }
        bar.set(follower.position().0, end.0);
    }
}

fn header(snapshot: &Snapshot, server_name: &str, room: &RoomInfo) -> Result<Header> {
    let head = query::head(snapshot, room.number)?;
    Ok(Header {
        format: FORMAT.to_owned(),
        version: VERSION,
        room_id: room.room_id.clone(),
        room_version: room.version.id().to_owned(),
        server_name: server_name.to_owned(),
        offset: snapshot.offset().0,
        extremities: head.extremities.into_iter().map(|extremity| extremity.event_id).collect(),
        state: hex(&query::state_digest(snapshot, head.state)?),
    })
}

fn line(snapshot: &Snapshot, room: &RoomInfo, record: &Record) -> Result<Option<Line>> {
    let of_room = match record.input() {
        Ok(InputRef::Pdu(pdu)) => pdu.room_id.as_str() == room.room_id,
        Ok(InputRef::StateGiven(state)) => state.room_id.as_str() == room.room_id,
        _ => false,
    };
    if !of_room {
        return Ok(None);
    }
    Ok(match record.input().map(InputRef::to_owned) {
        Ok(Input::Pdu(pdu)) => event(snapshot, room, record.offset, pdu)?.map(Line::Event),
        Ok(Input::StateGiven(state)) => Some(Line::State(StateLine {
            offset: record.offset.0,
            event_id: state.event_id,
            state: state.state,
            server: state.server,
            anew: state.anew,
        })),
        _ => None,
    })
}

/// The event at an offset; none if the record was passed over, or is of an event that was there already.
fn event(snapshot: &Snapshot, room: &RoomInfo, offset: Offset, pdu: v1::Pdu) -> Result<Option<EventLine>> {
    let Some((placed, meta)) = query::placed(snapshot, room.number, offset)? else { return Ok(None) };
    let bad = |what: String| Error::BadEvent { event_id: pdu.event_id.clone(), what };
    let verified = VerifiedPdu::from_copy(room.version, &room.room_id, &pdu.json, Vec::new())
        .map_err(|error| bad(error.to_string()))?;
    if verified.event.event_id != pdu.event_id {
        return Err(bad(format!("its reference hash makes it {}", verified.event.event_id)));
    }
    let text = String::from_utf8(pdu.json).map_err(|error| bad(error.to_string()))?;
    Ok(Some(EventLine {
        offset: offset.0,
        source: pdu.source.into(),
        verdict: verdict_name(&meta).to_owned(),
        reason: query::reason(snapshot, room.number, placed)?,
        verified_keys: pdu.verified_keys,
        event: RawValue::from_string(text).map_err(|error| bad(error.to_string()))?,
        event_id: pdu.event_id,
    }))
}
