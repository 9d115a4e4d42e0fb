//! `engramctl view digest`: what the views contain, in 32 bytes each.

use engram_views::{Snapshot, TableDigest, ViewDigest};
use serde_json::{Value, json};

use super::known;
use crate::data::Data;
use crate::error::{Outcome, Result};
use crate::output::{self, Output, Table};

/// Runs the command, over the views at the end of the log.
pub(crate) fn run(data: &Data, name: Option<&str>, output: &mut Output) -> Result<Outcome> {
    let name = name.map(known).transpose()?;
    let snapshot = data.views(data.log()?)?;
    show(&snapshot, name, output)?;
    Ok(Outcome::Good)
}

/// Prints the digests of one view or all.
pub(super) fn show(snapshot: &Snapshot, name: Option<&str>, output: &mut Output) -> Result<()> {
    let digests = match name {
        Some(name) => snapshot.digest(name)?.into_iter().collect(),
        None => snapshot.digests()?,
    };
    if output.is_json() {
        let views: Vec<_> = digests.iter().map(document).collect();
        return Ok(output.json(&json!({ "offset": snapshot.offset().0, "views": views }))?);
    }
    output.line(format_args!("views at offset {}", snapshot.offset()))?;
    let mut table = Table::new(&["view", "version", "rows", "bytes", "digest"], &[false, true, true, true, false]);
    for view in &digests {
        table.row(vec![
            view.name.to_owned(),
            view.version.to_string(),
            output::count(view.tables.iter().map(|table| table.rows).sum()),
            output::bytes(view.tables.iter().map(|table| table.bytes).sum()),
            view.digest.to_string(),
        ]);
    }
    Ok(table.write(output)?)
}

/// For machines.
pub(super) fn document(view: &ViewDigest) -> Value {
    let table = |table: &TableDigest| {
        json!({
            "name": table.name,
            "rows": table.rows,
            "bytes": table.bytes,
            "digest": table.digest.to_string(),
        })
    };
    json!({
        "name": view.name,
        "version": view.version,
        "offset": view.offset.0,
        "digest": view.digest.to_string(),
        "tables": view.tables.iter().map(table).collect::<Vec<_>>(),
    })
}
