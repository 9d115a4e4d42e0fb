//! `engramctl log cat`: records, one line each.

use std::time::Duration;

use engram_log::{Kind, Lanes, Log, Offset, Record};
use engram_log_format::input;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::fields::{Field, Fields};
use super::stat::lane_name;
use crate::args::CatArgs;
use crate::data::Data;
use crate::error::{Outcome, Result};
use crate::output::{self, Output, printable, shorten};
use crate::time;

pub(super) const BATCH_RECORDS: usize = 1024;
/// Most characters of a field, and of an event's content, on a line for people.
const FIELD_CHARS_MAX: usize = 60;
const CONTENT_CHARS_MAX: usize = 100;

/// Runs the command. Records that cannot be decoded are printed as far as they can be, and are found damage.
pub(crate) fn run(data: &Data, args: &CatArgs, output: &mut Output) -> Result<Outcome> {
    assert!(!args.follow, "that is another command");
    let log = data.log()?;
    let end = args.to.unwrap_or(Offset(u64::MAX)).min(log.durable_end());
    let after = Offset(args.from.unwrap_or(Offset::FIRST).0.saturating_sub(1));
    let mut follower = log.follow(after, Lanes::Both)?;
    let mut outcome = Outcome::Good;
    let mut records = Vec::new();
    while follower.position() < end && follower.next(&mut records, BATCH_RECORDS, Duration::ZERO)? > 0 {
        for record in records.drain(..).take_while(|record| record.offset <= end) {
            let shown = show(&record, args, output)?;
            outcome = if shown == Outcome::Found { shown } else { outcome };
        }
    }
    Ok(outcome)
}

/// Prints a record if it is one of those that are wanted.
pub(super) fn show(record: &Record, args: &CatArgs, output: &mut Output) -> Result<Outcome> {
    if !args.kind.is_empty() && !args.kind.contains(&record.kind) {
        return Ok(Outcome::Good);
    }
    let payload = payload(record);
    if !args.room.is_empty() && !payload.is_of(&args.room) {
        return Ok(Outcome::Good);
    }
    let payload = if args.secrets { payload.revealed() } else { payload };
    if output.is_json() {
        output.json(&Line::new(record, &payload))?;
    } else {
        let (offset, time, kind) = (record.offset, time::format(record.timestamp), kind_name(record.kind));
        output.line(format_args!("{offset:>8}  {time}  {kind}  {}", essence(&payload)).to_string().trim_end())?;
    }
    Ok(if matches!(payload, Payload::Undecodable(_)) { Outcome::Found } else { Outcome::Good })
}

/// What a record holds.
enum Payload {
    Whole(Fields),
    Erased,
    Undecodable(String),
}

fn payload(record: &Record) -> Payload {
    match record.input() {
        Ok(input) => Payload::Whole(input.to_owned().into()),
        // No type is without fields: what has no bytes has lost them.
        Err(_) if record.payload().is_empty() => Payload::Erased,
        Err(error) => Payload::Undecodable(error.to_string()),
    }
}

impl Payload {
    fn is_of(&self, rooms: &[String]) -> bool {
        let Self::Whole(fields) = self else { return false };
        fields.text("room_id").is_some_and(|room_id| rooms.iter().any(|room| room == room_id))
    }

    fn revealed(mut self) -> Self {
        if let Self::Whole(fields) = &mut self {
            fields.reveal();
        }
        self
    }
}

/// A record for machines.
#[derive(Serialize)]
struct Line<'a> {
    offset: u64,
    time: String,
    timestamp_ms: u64,
    lane: &'static str,
    kind: String,
    schema: u16,
    payload: Option<&'a Fields>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    erased: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

impl<'a> Line<'a> {
    fn new(record: &Record, payload: &'a Payload) -> Self {
        let (fields, erased, error) = match payload {
            Payload::Whole(fields) => (Some(fields), false, None),
            Payload::Erased => (None, true, None),
            Payload::Undecodable(error) => (None, false, Some(error.as_str())),
        };
        Self {
            offset: record.offset.0,
            time: time::format(record.timestamp),
            timestamp_ms: record.timestamp.0,
            lane: lane_name(record.lane),
            kind: kind_name(record.kind),
            schema: record.schema,
            payload: fields,
            erased,
            error,
        }
    }
}

fn kind_name(kind: Kind) -> String {
    input::kind_name(kind).map_or_else(|| kind.0.to_string(), str::to_owned)
}

/// What matters about a record to somebody who reads along.
fn essence(payload: &Payload) -> String {
    match payload {
        Payload::Whole(fields) => event(fields).unwrap_or_else(|| fields.summary(FIELD_CHARS_MAX)),
        Payload::Erased => "(erased)".to_owned(),
        Payload::Undecodable(error) => format!("(cannot be decoded: {error})"),
    }
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: String,
    sender: String,
    state_key: Option<String>,
    #[serde(borrow)]
    content: &'a RawValue,
}

/// A PDU: room, type, sender, event ID, beginning of the content.
fn event(fields: &Fields) -> Option<String> {
    let (Some(room_id), Some(event_id)) = (fields.text("room_id"), fields.text("event_id")) else { return None };
    let Some(Field::Json(json)) = fields.get("json") else { return None };
    let event: Event<'_> = serde_json::from_slice(json).ok()?;
    let state_key = event.state_key.map(|key| format!("[{key}]")).unwrap_or_default();
    let source = fields.text("source").filter(|source| *source != "local");
    let source = source.map(|source| format!(" ({source})")).unwrap_or_default();
    let head = format!("{room_id} {}{state_key} {} {event_id}{source}", event.kind, event.sender);
    let content = shorten(&printable(event.content.get()), CONTENT_CHARS_MAX);
    Some(format!("{} {content}", output::printable(&head)))
}

#[cfg(test)]
mod tests {
    use engram_log_format::{Input, v1};

    use super::*;

    #[test]
    fn an_event_is_shown_by_what_matters() {
        let json = br#"{"content":{"membership":"join"},"sender":"@a:b","state_key":"@a:b","type":"m.room.member"}"#;
        let pdu = v1::Pdu {
            room_id: "!r:b".to_owned(),
            event_id: "$e".to_owned(),
            room_version: "11".to_owned(),
            source: v1::PduSource::Outlier,
            json: json.to_vec(),
            transaction: None,
            verified_keys: Vec::new(),
        };
        let line = essence(&Payload::Whole(Input::from(pdu).into()));
        assert_eq!(line, r#"!r:b m.room.member[@a:b] @a:b $e (outlier) {"membership":"join"}"#);
    }
}
