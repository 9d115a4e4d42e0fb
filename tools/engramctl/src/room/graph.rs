//! `engramctl room graph`: the events of a room and those that they follow.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use engram_log::Offset;
use engram_matrix::pdu::Pdu;
use engram_rooms::query::{self, EventMeta, RoomInfo, Verdict};
use engram_views::Snapshot;
use serde_json::{Value, json};

use super::{at, place_name, verdict_name};
use crate::args::GraphFormat;
use crate::error::Result;
use crate::output::{Output, printable, shorten};

/// Events with what was decided about them.
struct Graph {
    events: Vec<(Offset, EventMeta, Arc<Pdu>)>,
    extremities: BTreeSet<String>,
    /// Events that others follow, and that are not here.
    missing: Vec<String>,
    /// Events that more than one accepted event follows.
    forks: BTreeSet<String>,
}

/// Runs the command.
pub(super) fn run(
    snapshot: &Snapshot,
    room: &RoomInfo,
    format: GraphFormat,
    last: usize,
    output: &mut Output,
) -> Result<()> {
    let graph = Graph::load(snapshot, room, last)?;
    if format == GraphFormat::Json || output.is_json() {
        return Ok(output.json(&graph.document(room))?);
    }
    graph.write_dot(room, output)
}

impl Graph {
    fn load(snapshot: &Snapshot, room: &RoomInfo, last: usize) -> Result<Self> {
        let mut events = Vec::new();
        let mut followers: BTreeMap<String, usize> = BTreeMap::new();
        for (offset, meta) in query::arrivals(snapshot, room.number, last)? {
            let event = at(snapshot, offset)?;
            if meta.verdict == Verdict::Accepted {
                for parent in &event.prev_events {
                    *followers.entry(parent.to_string()).or_default() += 1;
                }
            }
            events.push((offset, meta, event));
        }
        let head = query::head(snapshot, room.number)?;
        let missing = query::backward_extremities(snapshot, room.number)?;
        Ok(Self {
            events,
            missing: missing.into_iter().map(|missing| missing.event_id).collect(),
            extremities: head.extremities.into_iter().map(|extremity| extremity.event_id).collect(),
            forks: followers.into_iter().filter(|(_, count)| *count > 1).map(|(id, _)| id).collect(),
        })
    }

    fn document(&self, room: &RoomInfo) -> Value {
        let event = |(offset, meta, event): &(Offset, EventMeta, Arc<Pdu>)| {
            json!({
                "offset": offset.0,
                "event_id": event.event_id,
                "type": event.event_type,
                "state_key": event.state_key,
                "sender": event.sender,
                "depth": event.depth,
                "verdict": verdict_name(meta),
                "place": place_name(meta),
                "state_is_resolved": meta.state_is_resolved,
                "prev_events": event.prev_events.as_slice(),
                "auth_events": event.auth_events.as_slice(),
            })
        };
        json!({
            "room_id": room.room_id,
            "room_version": room.version.id(),
            "extremities": self.extremities,
            "backward_extremities": self.missing,
            "forks": self.forks,
            "events": self.events.iter().map(event).collect::<Vec<_>>(),
        })
    }

    /// Time goes up, as edges go from an event to those before it. Forks are diamonds, forward extremities have two
    /// borders, what is missing is dashed.
    fn write_dot(&self, room: &RoomInfo, output: &mut Output) -> Result<()> {
        output.line(format_args!("digraph {} {{", quoted(&room.room_id)))?;
        output.line("  rankdir=BT; node [shape=box, style=filled, fontname=\"sans-serif\"];")?;
        for (offset, meta, event) in &self.events {
            let id = event.event_id.as_str();
            let state_key = event.state_key.as_deref().map(|key| format!(" {key}")).unwrap_or_default();
            let label = format!("{offset} {}\n{}{state_key}\n{}", shorten(id, 10), event.event_type, event.sender);
            let shape = if self.forks.contains(id) { "diamond" } else { "box" };
            let borders = if self.extremities.contains(id) { 2 } else { 1 };
            let (id, label, fill) = (quoted(id), quoted(&label), fill(meta));
            output.line(format_args!(
                "  {id} [label={label}, shape={shape}, peripheries={borders}, fillcolor={fill}];"
            ))?;
        }
        for id in &self.missing {
            output.line(format_args!("  {} [style=dashed, label=\"not known\"];", quoted(id)))?;
        }
        for (_, _, event) in &self.events {
            for parent in &event.prev_events {
                output.line(format_args!("  {} -> {};", quoted(event.event_id.as_str()), quoted(parent.as_str())))?;
            }
        }
        Ok(output.line("}")?)
    }
}

fn fill(meta: &EventMeta) -> &'static str {
    match meta.verdict {
        Verdict::Accepted if meta.is_state => "lightblue",
        Verdict::Accepted => "white",
        Verdict::SoftFailed => "orange",
        Verdict::Rejected => "tomato",
        Verdict::Outlier => "lightgray",
    }
}

/// A string of the dot language; others chose the text.
fn quoted(text: &str) -> String {
    let lines: Vec<_> =
        text.split('\n').map(|line| printable(line).replace('\\', "\\\\").replace('"', "\\\"")).collect();
    format!("\"{}\"", lines.join("\\n"))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn nothing_that_others_wrote_ends_the_string() {
        assert_eq!(quoted("a\"b\\\nc\u{1b}"), r#""a\"b\\\nc\\u{1b}""#);
    }
}
