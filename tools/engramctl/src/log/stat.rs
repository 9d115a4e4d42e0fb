//! `engramctl log stat`: the log in figures.

use engram_log::embedded::{SegmentStat, Stat};
use engram_log::{Lane, TimestampMs};
use serde_json::{Value, json};

use crate::data::{self, Data};
use crate::error::{Outcome, Result};
use crate::output::{self, Output, Table};
use crate::time;

/// Runs the command.
pub(crate) fn run(data: &Data, output: &mut Output) -> Result<Outcome> {
    let log = data.log()?;
    let stat = log.stat()?;
    let server_name = data::server_name(&log);
    if output.is_json() {
        output.json(&document(server_name, &stat))?;
    } else {
        print(server_name, &stat, output)?;
    }
    Ok(Outcome::Good)
}

fn document(server_name: Option<String>, stat: &Stat) -> Value {
    let segment = |segment: &SegmentStat| {
        json!({
            "lane": lane_name(segment.lane),
            "path": segment.path,
            "base": segment.base.0,
            "last": (segment.sealed && segment.records > 0).then_some(segment.last.0),
            "records": segment.records,
            "bytes": segment.bytes,
            "sealed": segment.sealed,
            "first_time": time::format(segment.first_timestamp),
            "last_time": time::format(segment.last_timestamp),
        })
    };
    json!({
        "server_name": server_name,
        "log_id": output::hex(&stat.log_id),
        "last": stat.durable_end.0,
        "records": stat.records(),
        "bytes": stat.bytes(),
        "segments": stat.segments.iter().map(segment).collect::<Vec<_>>(),
    })
}

fn print(server_name: Option<String>, stat: &Stat, output: &mut Output) -> Result<()> {
    output.line(format_args!("server       {}", server_name.unwrap_or_else(|| "unknown".to_owned())))?;
    output.line(format_args!("log          {}", output::hex(&stat.log_id)))?;
    output.line(format_args!("last offset  {}", stat.durable_end))?;
    for lane in [Lane::Journal, Lane::Ephemeral] {
        print_lane(lane, stat, output)?;
    }
    if stat.segments.is_empty() {
        return Ok(());
    }
    output.line("")?;
    let headings = ["segment", "last", "records", "bytes", "from", "to", "state"];
    let mut table = Table::new(&headings, &[false, true, true, true, false, false, false]);
    for segment in &stat.segments {
        let sealed = segment.sealed;
        table.row(vec![
            segment.path.clone(),
            if sealed { segment.last.to_string() } else { String::new() },
            output::count(segment.records),
            output::bytes(segment.bytes),
            time::format(segment.first_timestamp),
            if sealed { time::format(segment.last_timestamp) } else { String::new() },
            if sealed { "sealed" } else { "open" }.to_owned(),
        ]);
    }
    Ok(table.write(output)?)
}

fn print_lane(lane: Lane, stat: &Stat, output: &mut Output) -> Result<()> {
    let segments: Vec<_> = stat.segments.iter().filter(|segment| segment.lane == lane).collect();
    let records = segments.iter().map(|segment| segment.records).sum();
    let bytes = segments.iter().map(|segment| segment.bytes).sum();
    let since = segments.first().map_or(TimestampMs(0), |segment| segment.first_timestamp);
    let since = if segments.is_empty() { String::new() } else { format!(", since {}", time::format(since)) };
    output.line(format_args!(
        "{:<11}  {} records, {} in {} segments{since}",
        lane_name(lane),
        output::count(records),
        output::bytes(bytes),
        segments.len(),
    ))?;
    Ok(())
}

/// For people and machines.
pub(super) fn lane_name(lane: Lane) -> &'static str {
    match lane {
        Lane::Journal => "journal",
        Lane::Ephemeral => "ephemeral",
    }
}
