//! `engramctl room explain`: why an event is what it is to its room.

use engram_log::Offset;
use engram_matrix::auth::auth_types;
use engram_rooms::limits::UNITS_OWED_MAX;
use engram_rooms::projector::{Contest, Resolution, Step, Unresolved, resolution_before};
use engram_rooms::query::{self, Owed, Place, StoredEvent, Verdict};
use engram_rooms::state::{self, Root};
use engram_views::Snapshot;
use serde_json::{Value, json};

use super::{arrived, at, document, event, line, place_name, verdict_name};
use crate::error::Result;
use crate::output::{Output, printable};

/// What is said of an event.
struct Explanation {
    event: StoredEvent,
    room_id: String,
    version: &'static str,
    arrived: String,
    reason: Option<String>,
    /// The events that it names as permitting it; offset and verdict of those that are known.
    auth_events: Vec<(String, Option<(Offset, &'static str)>)>,
    parents: Vec<(String, Option<&'static str>)>,
    /// The number of entries of the state before it, and those by which it was judged.
    before: Option<(usize, Vec<Offset>)>,
    /// The same of the room's current state at its arrival, by which an event is soft-failed.
    current: Vec<Offset>,
    /// What the branches differed in that it joins.
    merge: Option<Resolution>,
    /// Why the current state stands for what was not resolved, and what the room owed.
    unresolved: Option<(Unresolved, u64)>,
    /// What the room owes now, and how many events its current state is behind.
    owed: (Owed, u64),
}

/// Entries that are told of, of those in which branches differed.
const CONTESTS_MAX: usize = 20;

/// Runs the command.
pub(super) fn run(snapshot: &Snapshot, event_id: &str, output: &mut Output) -> Result<()> {
    let explanation = explain(snapshot, event(snapshot, event_id)?)?;
    if output.is_json() {
        Ok(output.json(&for_machines(snapshot, &explanation)?)?)
    } else {
        show(snapshot, &explanation, output)
    }
}

fn explain(snapshot: &Snapshot, event: StoredEvent) -> Result<Explanation> {
    let room = query::room_by_number(snapshot, event.room)?;
    let known = |id: &str| -> Result<Option<(Offset, &'static str)>> {
        let Some((room, offset)) = query::locate(snapshot, id)? else { return Ok(None) };
        Ok(query::meta(snapshot, room, offset)?.map(|meta| (offset, verdict_name(&meta))))
    };
    let auth_events = event.pdu.auth_events.iter().map(|id| Ok((id.to_string(), known(id.as_str())?)));
    let parents = event.pdu.prev_events.iter().map(|id| Ok((id.to_string(), known(id.as_str())?.map(|known| known.1))));
    // Whatever was judged by its auth events alone has no state before it.
    let before = if event.meta.place == Place::Apart {
        None
    } else {
        let root = query::state_before(snapshot, event.room, &event.meta)?;
        Some((state::entries(snapshot, root)?.len(), judged_by(snapshot, &event, root)?))
    };
    let current = if event.meta.verdict == Verdict::SoftFailed {
        let root = query::state_at(snapshot, event.room, Offset(event.offset.0 - 1))?;
        judged_by(snapshot, &event, root)?
    } else {
        Vec::new()
    };
    let head = query::head(snapshot, event.room)?;
    Ok(Explanation {
        merge: resolution_before(snapshot, event.room, event.offset, &event.meta, CONTESTS_MAX)?,
        unresolved: query::unresolved(snapshot, event.room, event.offset)?,
        owed: (head.owed, head.put_off),
        room_id: room.room_id,
        version: room.version.id(),
        arrived: arrived(snapshot, event.offset)?,
        reason: query::reason(snapshot, event.room, event.offset)?,
        auth_events: auth_events.collect::<Result<_>>()?,
        parents: parents.collect::<Result<_>>()?,
        before,
        current,
        event,
    })
}

/// The entries of a state that the rules look at for an event.
fn judged_by(snapshot: &Snapshot, event: &StoredEvent, root: Root) -> Result<Vec<Offset>> {
    let pdu = &event.pdu;
    let (sender, state_key) = (pdu.sender.as_str(), pdu.state_key.as_deref());
    let types = auth_types(pdu.version(), &pdu.event_type, sender, state_key, pdu.content_str());
    let mut entries = Vec::new();
    for (event_type, state_key) in types {
        entries.extend(query::state_entry(snapshot, root, &event_type, &state_key)?);
    }
    Ok(entries)
}

fn show(snapshot: &Snapshot, explanation: &Explanation, output: &mut Output) -> Result<()> {
    let Explanation { event, room_id, version, arrived, .. } = explanation;
    output.line(line(event.offset, &event.pdu))?;
    output
        .line(printable(&format!("in {room_id}, version {version}, arrived {arrived}, depth {}", event.pdu.depth)))?;
    let reason = explanation.reason.as_ref().map(|reason| format!(", {reason}")).unwrap_or_default();
    output.line(printable(&format!("verdict: {}{reason}", verdict_name(&event.meta))))?;
    if let Place::Past(_) = event.meta.place {
        output.line("it came after what follows it, and has its place in the past")?;
    }
    if let Some(redaction) = event.meta.redacted_by {
        output.line(format_args!("redacted by {}", at(snapshot, redaction)?.event_id))?;
    }
    for (id, verdict) in &explanation.parents {
        output.line(printable(&format!("follows {id}, {}", verdict.unwrap_or("not known"))))?;
    }
    output.line("auth events:")?;
    for (id, known) in &explanation.auth_events {
        match known {
            Some((offset, verdict)) => {
                output.line(format_args!("{}, {verdict}", line(*offset, &*at(snapshot, *offset)?)))?;
            }
            None => output.line(printable(&format!("          {id}, not known")))?,
        }
    }
    let Some((entries, judged_by)) = &explanation.before else {
        return Ok(output.line("it has no place in the room's order, and no state before it")?);
    };
    let how = if event.meta.state_is_resolved { "resolved from several branches" } else { "as its parent left it" };
    output.line(format_args!("the state before it, {how}, has {entries} entries; it was judged by"))?;
    for offset in judged_by {
        output.line(line(*offset, &*at(snapshot, *offset)?))?;
    }
    show_merge(snapshot, explanation, output)?;
    if event.meta.verdict == Verdict::SoftFailed {
        output.line("and by these of the room's current state when it arrived")?;
        for offset in &explanation.current {
            output.line(line(*offset, &*at(snapshot, *offset)?))?;
        }
    }
    Ok(())
}

/// What the branches differed in, and who won.
fn show_merge(snapshot: &Snapshot, explanation: &Explanation, output: &mut Output) -> Result<()> {
    if let Some((why, owed)) = explanation.unresolved {
        output.line(format_args!(
            "the branches were not resolved, {}: the room's current state stands for the state before it (the room owed {owed} units)",
            unresolved_name(why),
        ))?;
    }
    let (owed, put_off) = explanation.owed;
    if put_off > 0 {
        output.line(format_args!(
            "the room's current state is put off since {put_off} events, until it owes less than {UNITS_OWED_MAX} units: it owes {}",
            owed.current,
        ))?;
    }
    let Some(merge) = &explanation.merge else { return Ok(()) };
    output.line(format_args!(
        "{} states differed in {} entries, by {} events; with their auth events {} were judged, {} of them by power, for {} units",
        merge.states, merge.entries, merge.events, merge.full, merge.by_power, merge.units,
    ))?;
    for contest in &merge.contests {
        let name = format!("({}, {:?})", contest.event_type, contest.state_key);
        output.line(printable(&format!("{name}: {}", step_name(contest))))?;
        for candidate in &contest.candidates {
            let mark = if *candidate == contest.winner { "holds:  " } else { "instead of" };
            match candidate {
                Some(offset) => output.line(format_args!("  {mark} {}", line(*offset, &*at(snapshot, *offset)?)))?,
                None => output.line(format_args!("  {mark} no event"))?,
            }
        }
    }
    let untold = merge.entries - merge.contests.len();
    if untold > 0 {
        output.line(format_args!("and {untold} entries more"))?;
    }
    Ok(())
}

/// By which of the algorithm's steps an entry was decided.
fn step_name(contest: &Contest) -> &'static str {
    match (contest.winner, contest.step) {
        (None, _) => "no event was allowed",
        (_, Some(Step::Power)) => "decided among the power events",
        (_, Some(Step::Mainline)) => "decided in mainline order",
        (_, None) => "decided by depth",
    }
}

fn unresolved_name(why: Unresolved) -> &'static str {
    match why {
        Unresolved::Owing => "since the room owed too much for earlier ones",
        Unresolved::TooMuch => "since they take more than any resolution may",
    }
}

fn merge_for_machines(explanation: &Explanation) -> Value {
    let contest = |contest: &Contest| {
        json!({
            "type": contest.event_type,
            "state_key": contest.state_key,
            "candidates": contest.candidates.iter().map(|offset| offset.map(|offset| offset.0)).collect::<Vec<_>>(),
            "winner": contest.winner.map(|offset| offset.0),
            "step": step_name(contest),
        })
    };
    match &explanation.merge {
        Some(merge) => json!({
            "states": merge.states,
            "entries": merge.entries,
            "events": merge.events,
            "judged": merge.full,
            "judged_by_power": merge.by_power,
            "units": merge.units,
            "contests": merge.contests.iter().map(contest).collect::<Vec<_>>(),
        }),
        None => Value::Null,
    }
}

fn for_machines(snapshot: &Snapshot, explanation: &Explanation) -> Result<Value> {
    let Explanation { event, .. } = explanation;
    let documents = |offsets: &[Offset]| -> Result<Vec<Value>> {
        offsets.iter().map(|offset| Ok(document(*offset, &*at(snapshot, *offset)?))).collect()
    };
    let named = |(id, known): &(String, Option<(Offset, &'static str)>)| json!({ "event_id": id, "offset": known.map(|known| known.0.0), "verdict": known.map(|known| known.1) });
    let redaction = event.meta.redacted_by.map(|redaction| at(snapshot, redaction)).transpose()?;
    let before = match &explanation.before {
        Some((entries, judged_by)) => json!({
            "entries": entries,
            "resolved": event.meta.state_is_resolved,
            "judged_by": documents(judged_by)?,
        }),
        None => Value::Null,
    };
    Ok(json!({
        "event": document(event.offset, &event.pdu),
        "room_id": explanation.room_id,
        "room_version": explanation.version,
        "arrived": explanation.arrived,
        "place": place_name(&event.meta),
        "verdict": verdict_name(&event.meta),
        "reason": explanation.reason,
        "redacted_by": redaction.map(|event| event.event_id.to_string()),
        "prev_events": explanation.parents.iter().map(|(id, verdict)| json!({ "event_id": id, "verdict": verdict })).collect::<Vec<_>>(),
        "auth_events": explanation.auth_events.iter().map(named).collect::<Vec<_>>(),
        "state_before": before,
        "merge": merge_for_machines(explanation),
        "unresolved": explanation.unresolved.map(|(why, owed)| json!({ "why": unresolved_name(why), "owed": owed })),
        "room_owes": { "current": explanation.owed.0.current, "joins": explanation.owed.0.joins, "put_off": explanation.owed.1 },
        "current_state_judged_by": documents(&explanation.current)?,
    }))
}
