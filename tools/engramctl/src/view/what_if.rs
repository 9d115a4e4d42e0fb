//! `engramctl view what-if`: what would be decided by other rules, or by another version of this program.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use engram_log::Offset;
use engram_rooms::RoomsProjector;
use engram_rooms::projector::Rules;
use engram_rooms::query;
use engram_views::{AnyProjector, Read as _, Snapshot, Until};
use serde_json::json;

use super::build_into;
use crate::args::WhatIfArgs;
use crate::data::Data;
use crate::error::{Error, Outcome, Result};
use crate::output::{Output, count, printable};
use crate::progress;
use crate::room::verdicts::{Line, each_verdict};

/// The verdict on an event and, unless it was accepted, why.
type Verdict = (String, Option<String>);

/// The verdicts on all events.
type Verdicts = BTreeMap<Offset, Verdict>;

/// A verdict that differs.
struct Difference {
    offset: Offset,
    event_id: String,
    room_id: String,
    before: Verdict,
    after: Verdict,
}

/// Runs the command.
pub(crate) fn run(data: &Data, args: &WhatIfArgs, output: &mut Output) -> Result<Outcome> {
    let rules = rules(args)?;
    let log = data.log()?;
    let (before, until) = if let Some(file) = &args.against {
        (read(file)?, Until::End)
    } else {
        let stored = data.views(log.clone())?;
        (collect(&stored)?, Until::Offset(stored.offset()))
    };
    let files = |source| Error::Files { what: "the scratch directory", source };
    let scratch = args.scratch.as_deref().unwrap_or(data.dir());
    let scratch = tempfile::Builder::new().prefix("scratch-").tempdir_in(scratch).map_err(files)?;
    let projectors: Vec<Box<dyn AnyProjector>> = vec![Box::new(RoomsProjector::by_rules(rules))];
    let bar = progress::offsets("judging");
    let snapshot = build_into(scratch.path(), log, projectors, until, &bar)?;
    drop(bar);
    let after = collect(&snapshot)?;
    let differences = differences(&snapshot, &before, &after)?;
    show(&differences, after.len(), output)?;
    Ok(if differences.is_empty() { Outcome::Good } else { Outcome::Found })
}

fn rules(args: &WhatIfArgs) -> Result<Rules> {
    let mut rules = Rules::default();
    for assumption in &args.assume_room_version {
        if !rules.assume_version(assumption.of, assumption.rules) {
            return Err(Error::RulesDoNotFit { of: assumption.of.id(), rules: assumption.rules.id() });
        }
    }
    for check in &args.without_check {
        rules.leave_out(*check);
    }
    Ok(rules)
}

fn collect(snapshot: &Snapshot) -> Result<Verdicts> {
    let mut verdicts = Verdicts::new();
    for room in query::rooms(snapshot)? {
        each_verdict(snapshot, &room, |offset, verdict, reason| {
            verdicts.insert(offset, (verdict.to_owned(), reason));
            Ok(())
        })?;
    }
    Ok(verdicts)
}

fn read(file: &Path) -> Result<Verdicts> {
    let files = |source| Error::Files { what: "the verdicts", source };
    let mut verdicts = Verdicts::new();
    for (number, line) in (1..).zip(BufReader::new(File::open(file).map_err(files)?).lines()) {
        let line: Line = serde_json::from_str(&line.map_err(files)?).map_err(|error| Error::Line {
            file: file.to_owned(),
            number,
            what: error.to_string(),
        })?;
        verdicts.insert(Offset(line.offset), (line.verdict, line.reason));
    }
    Ok(verdicts)
}

/// Reasons are words, which may change without anything that they stand for; so only verdicts are compared.
fn differences(snapshot: &Snapshot, before: &Verdicts, after: &Verdicts) -> Result<Vec<Difference>> {
    let unknown = || ("not known".to_owned(), None);
    let mut differences = Vec::new();
    for offset in before.keys().chain(after.keys().filter(|offset| !before.contains_key(*offset))) {
        let of = |verdicts: &Verdicts| verdicts.get(offset).cloned().unwrap_or_else(unknown);
        let (before, after) = (of(before), of(after));
        if before.0 != after.0 {
            let (event_id, room_id) = names(snapshot, *offset)?;
            differences.push(Difference { offset: *offset, event_id, room_id, before, after });
        }
    }
    differences.sort_by_key(|difference| difference.offset);
    Ok(differences)
}

/// The event and its room, as the record has them.
fn names(snapshot: &Snapshot, offset: Offset) -> Result<(String, String)> {
    let record = snapshot.record(offset)?;
    Ok(match record.input() {
        Ok(engram_log::InputRef::Pdu(pdu)) => (pdu.event_id.as_str().to_owned(), pdu.room_id.as_str().to_owned()),
        _ => Default::default(),
    })
}

fn show(differences: &[Difference], events: usize, output: &mut Output) -> Result<()> {
    for difference in differences {
        let Difference { offset, event_id, room_id, before, after } = difference;
        if output.is_json() {
            output.json(&json!({
                "offset": offset.0, "event_id": event_id, "room_id": room_id,
                "before": before.0, "reason_before": before.1, "after": after.0, "reason_after": after.1,
            }))?;
            continue;
        }
        let why = |verdict: &Verdict| match &verdict.1 {
            Some(reason) => format!("{}, {reason}", verdict.0),
            None => verdict.0.clone(),
        };
        let line = format!("{offset:>8}  {event_id}  {room_id}\n          before: {}", why(before));
        line.split('\n').try_for_each(|line| output.line(printable(line)))?;
        output.line(printable(&format!("          after:  {}", why(after))))?;
    }
    if !output.is_json() {
        let (differing, events) = (count(differences.len() as u64), count(events as u64));
        output.line(format_args!("{differing} of {events} verdicts differ"))?;
    }
    Ok(())
}
