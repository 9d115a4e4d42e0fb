//! `engramctl log verify`: reads every byte, checks every digest and chain, and says where what is wrong.

use engram_log::verify::{Damage, Report, verify, verify_deep};
use serde_json::{Value, json};

use crate::data::Data;
use crate::error::{Error, Outcome, Result};
use crate::output::{self, Output};
use crate::progress;

/// Runs the command. Damage is found; an unfinished write at the end, as a crash leaves it, is none.
pub(crate) fn run(data: &Data, deep: bool, output: &mut Output) -> Result<Outcome> {
    let storage = data.storage()?;
    let _lock = data.lock(&storage)?;
    let report = {
        let bar = progress::bytes("verifying");
        let verify = if deep { verify_deep } else { verify };
        verify(&storage, &mut |progress| bar.set(progress.bytes, progress.bytes_total))
    };
    let report = report.map_err(|source| Error::Files { what: "the log", source })?;
    if report.segments == 0 {
        return Err(Error::NoLog(data.dir().to_owned()));
    }
    if output.is_json() {
        output.json(&document(&report))?;
    } else {
        print(&report, output)?;
    }
    Ok(if report.is_good() { Outcome::Good } else { Outcome::Found })
}

fn document(report: &Report) -> Value {
    let damage = |damage: &Damage| {
        json!({
            "segment": damage.segment,
            "position": damage.position,
            "after": damage.after.0,
            "reason": damage.reason,
        })
    };
    json!({
        "good": report.is_good(),
        "segments": report.segments,
        "frames": report.frames,
        "records": report.records,
        "erased": report.erased,
        "replaced": report.replaced,
        "erasures_pending": report.erasures_pending,
        "bytes": report.bytes,
        "last": report.last.0,
        "damage": report.damage.iter().map(damage).collect::<Vec<_>>(),
        "torn_tails": report.torn_tails.iter().map(damage).collect::<Vec<_>>(),
    })
}

fn print(report: &Report, output: &mut Output) -> Result<()> {
    let Report { segments, frames, records, erased, bytes, .. } = report;
    output.line(format_args!(
        "{} records in {} frames of {segments} segments, {}, up to offset {}",
        output::count(*records),
        output::count(*frames),
        output::bytes(*bytes),
        report.last,
    ))?;
    if *erased > 0 {
        output.line(format_args!("{} of the records have lost their payload to an erasure", output::count(*erased)))?;
    }
    if report.replaced > 0 {
        let replaced = output::count(report.replaced);
        output.line(format_args!("{replaced} of the records have another payload in the place of what was erased"))?;
    }
    if report.erasures_pending > 0 {
        let pending = output::count(report.erasures_pending);
        output.line(format_args!(
            "{pending} payloads were given up and are still there: the server erases them when it runs"
        ))?;
    }
    for Damage { segment, position, after, reason } in &report.torn_tails {
        let what = "unfinished write at the end, which the next start cuts off: nothing of it was ever acknowledged";
        output.line(format_args!("{segment}, byte {position}, after offset {after}: {what} ({reason})"))?;
    }
    for Damage { segment, position, after, reason } in &report.damage {
        output.line(format_args!("DAMAGED {segment}, byte {position}, after offset {after}: {reason}"))?;
    }
    if report.is_good() {
        output.line("good: everything that was committed verifies")?;
    } else {
        let what = "place(s) do not verify: restore these files from a backup; nothing was changed";
        output.line(format_args!("{} {what}", report.damage.len()))?;
    }
    Ok(())
}
