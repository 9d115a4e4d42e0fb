//! `engramctl room import`: a room from a file, taken into the log of a server that does not run, through the records
//! that a running one would write. Whatever the file says was decided, the room's rules decide again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;
use std::sync::Arc;

use engram_log::{AppendError, EmbeddedLog, Input, Lane, Log, Options};
use engram_log_format::v1;
use engram_matrix::RoomVersion;
use engram_matrix::received::VerifiedPdu;
use engram_rooms::query;
use engram_server::{node, root};
use engram_views::{Snapshot, Views};
use serde_json::json;

use super::file::{EventLine, FORMAT, Header, Line, Source, VERSION};
use super::verdict_name;
use crate::data::{self, Data};
use crate::error::{Error, Outcome, Result};
use crate::output::{Output, count, hex, printable};

/// Records that are appended at once.
const BATCH: usize = 4096;

/// What became of a file.
struct Report {
    header: Header,
    events: usize,
    appended: usize,
    /// Event, verdict in the file, verdict here.
    differing: Vec<(String, String, String)>,
    same_state: bool,
}

/// Runs the command.
pub(crate) fn run(data: &Data, file: &Path, output: &mut Output) -> Result<Outcome> {
    let server_name = data::server_name(&*data.log()?).ok_or_else(|| Error::NoLog(data.dir().to_owned()))?;
    let mut source = Reader::open(file)?;
    // Nothing is taken of a file that is not right to its end.
    while source.next()?.is_some() {}
    let report = import(data, file, &server_name)?;
    show(&report, output)?;
    Ok(if report.differing.is_empty() && report.same_state { Outcome::Good } else { Outcome::Found })
}

/// Reads and checks one line after the other.
struct Reader<'a> {
    file: &'a Path,
    lines: Lines<BufReader<File>>,
    number: u64,
    header: Header,
    version: &'static RoomVersion,
}

impl<'a> Reader<'a> {
    fn open(file: &'a Path) -> Result<Self> {
        let files = |source| Error::Files { what: "the file", source };
        let mut lines = BufReader::new(File::open(file).map_err(files)?).lines();
        let bad = |what: String| Error::Line { file: file.to_owned(), number: 1, what };
        let first = lines.next().ok_or_else(|| bad("the file is empty".to_owned()))?.map_err(files)?;
        let header: Header = serde_json::from_str(&first).map_err(|error| bad(error.to_string()))?;
        if (header.format.as_str(), header.version) != (FORMAT, VERSION) {
            return Err(bad(format!("not a room: {} version {}", header.format, header.version)));
        }
        let version = RoomVersion::parse(&header.room_version)
            .ok_or_else(|| bad(format!("room version {:?} is not known here", header.room_version)))?;
        Ok(Self { file, lines, number: 1, header, version })
    }

    /// The next line, with the event in it checked.
    fn next(&mut self) -> Result<Option<Line>> {
        let Some(line) = self.lines.next() else { return Ok(None) };
        self.number += 1;
        let line = line.map_err(|source| Error::Files { what: "the file", source })?;
        let bad = |what: String| Error::Line { file: self.file.to_owned(), number: self.number, what };
        let line = Line::parse(&line).map_err(|error| bad(error.to_string()))?;
        if let Line::Event(event) = &line {
            let json = event.event.get().as_bytes();
            let verified = VerifiedPdu::from_copy(self.version, &self.header.room_id, json, Vec::new())
                .map_err(|error| bad(format!("{}: {error}", event.event_id)))?;
            if verified.event.event_id != event.event_id || verified.event.json() != json {
                return Err(bad(format!("{} is {}", event.event_id, verified.event.event_id)));
            }
        }
        Ok(Some(line))
    }
}

fn import(data: &Data, file: &Path, server_name: &str) -> Result<Report> {
    let options = Options {
        server_name: server_name.to_owned(),
        software: node::SOFTWARE.to_owned(),
        now: root::clock()(),
        ..Options::default()
    };
    let log = EmbeddedLog::open(data.storage()?, options).map_err(|error| data.not_opened(error))?;
    let shared: Arc<dyn Log> = log.clone();
    let views = node::open_views(data.dir(), &shared)?;
    views.start(Vec::new());
    let report = take(&shared, &views, Reader::open(file)?, server_name);
    views.close();
    let closed = log.close();
    let report = report?;
    closed?;
    Ok(report)
}

fn take(log: &Arc<dyn Log>, views: &Views, mut source: Reader<'_>, server_name: &str) -> Result<Report> {
    let snapshot = views.snapshot();
    let mut verdicts = BTreeMap::new();
    let mut pending = Vec::new();
    let mut appended = 0;
    while let Some(line) = source.next()? {
        if let Line::Event(event) = &line {
            verdicts.insert(event.event_id.clone(), event.verdict.clone());
        }
        pending.extend(record(&snapshot, &source, line, server_name)?);
        if pending.len() >= BATCH {
            appended += append(log, &mut pending)?;
        }
    }
    appended += append(log, &mut pending)?;
    let stopped = |stopped: engram_views::Stopped| AppendError::Stopped(stopped.0.to_string());
    views.wait_applied_blocking(log.durable_end()).map_err(stopped)?;
    let snapshot = views.snapshot();
    let room = super::room(&snapshot, &source.header.room_id)?;
    let mut differing = Vec::new();
    for (event_id, theirs) in &verdicts {
        let located = query::locate(&*snapshot, event_id)?;
        let meta = located.map(|(room, offset)| query::meta(&*snapshot, room, offset)).transpose()?.flatten();
        let ours = meta.as_ref().map_or("not known", verdict_name);
        if ours != theirs {
            differing.push((event_id.clone(), theirs.clone(), ours.to_owned()));
        }
    }
    let state = query::head(&*snapshot, room.number)?.state;
    let same_state = hex(&query::state_digest(&*snapshot, state)?) == source.header.state;
    Ok(Report { header: source.header, events: verdicts.len(), appended, differing, same_state })
}

fn append(log: &Arc<dyn Log>, pending: &mut Vec<Input>) -> Result<usize> {
    if pending.is_empty() {
        return Ok(0);
    }
    let appended = log.append(Lane::Journal, pending, root::clock()())?;
    log.wait_durable(appended.last)?;
    Ok(std::mem::take(pending).len())
}

/// The record of a line; none if what it says is known here.
fn record(snapshot: &Snapshot, source: &Reader<'_>, line: Line, server_name: &str) -> Result<Option<Input>> {
    let header = &source.header;
    let room = query::room(snapshot, &header.room_id)?;
    let is_placed = |event_id: &str| match &room {
        Some(room) => query::is_placed(snapshot, room.number, event_id),
        None => Ok(false),
    };
    Ok(match line {
        Line::Event(event) => {
            let is_known = is_placed(&event.event_id)?
                || (event.source == Source::Outlier && query::locate(snapshot, &event.event_id)?.is_some());
            (!is_known).then(|| pdu(header, event, server_name).into())
        }
        Line::State(state) if is_placed(&state.event_id)? => None,
        Line::State(state) => Some(
            v1::StateGiven {
                room_id: header.room_id.clone(),
                event_id: state.event_id,
                state: state.state,
                server: state.server,
                anew: state.anew,
            }
            .into(),
        ),
    })
}

fn pdu(header: &Header, event: EventLine, server_name: &str) -> v1::Pdu {
    // What another server made itself is another server's here.
    let is_foreign = event.source == Source::Local && header.server_name != server_name;
    v1::Pdu {
        room_id: header.room_id.clone(),
        event_id: event.event_id,
        room_version: header.room_version.clone(),
        source: if is_foreign { v1::PduSource::Federation } else { event.source.into() },
        json: event.event.get().as_bytes().to_vec(),
        transaction: None,
        verified_keys: event.verified_keys,
    }
}

fn show(report: &Report, output: &mut Output) -> Result<()> {
    if output.is_json() {
        let differing: Vec<_> = report
            .differing
            .iter()
            .map(|(event_id, file, here)| json!({ "event_id": event_id, "in_file": file, "here": here }))
            .collect();
        return Ok(output.json(&json!({
            "room_id": report.header.room_id,
            "events": report.events,
            "appended": report.appended,
            "same_state": report.same_state,
            "differing": differing,
        }))?);
    }
    let (events, appended) = (count(report.events as u64), count(report.appended as u64));
    output.line(printable(&format!("{}: {events} events, {appended} records appended", report.header.room_id)))?;
    for (event_id, file, here) in &report.differing {
        output.line(printable(&format!("{event_id} was {file}, and is {here} here")))?;
    }
    output.line(if report.same_state {
        "the room's state is the one that the file has"
    } else {
        "DIFFERENT: the room's state is not the one that the file has"
    })?;
    Ok(())
}
