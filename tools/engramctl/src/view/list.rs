//! `engramctl view list`: which views there are, and where they were left.

use engram_views::{TableInfo, ViewInfo};
use serde_json::{Value, json};

use crate::data::Data;
use crate::error::{Outcome, Result};
use crate::output::{self, Output, Table};

/// Runs the command. Nothing is healed or caught up.
pub(crate) fn run(data: &Data, output: &mut Output) -> Result<Outcome> {
    let storage = data.storage()?;
    let _lock = data.lock(&storage)?;
    let views = engram_views::list(&data.views_dir())?;
    if output.is_json() {
        output.json(&json!({ "views": views.iter().map(document).collect::<Vec<_>>() }))?;
    } else if views.is_empty() {
        output.line("there are no views: the next start of the server builds them")?;
    } else {
        print(&views, output)?;
    }
    Ok(Outcome::Good)
}

fn document(view: &ViewInfo) -> Value {
    let table =
        |table: &TableInfo| json!({ "name": table.name, "rows_approx": table.rows_approx, "bytes": table.bytes });
    json!({
        "name": view.name,
        "version": view.version,
        "generation": view.generation,
        "offset": view.cursor.0,
        "tables": view.tables.iter().map(table).collect::<Vec<_>>(),
    })
}

fn print(views: &[ViewInfo], output: &mut Output) -> Result<()> {
    let headings = ["view", "version", "generation", "offset", "tables", "rows (about)", "on disk"];
    let mut table = Table::new(&headings, &[false, true, true, true, true, true, true]);
    for view in views {
        table.row(vec![
            output::printable(&view.name),
            view.version.to_string(),
            view.generation.to_string(),
            view.cursor.to_string(),
            view.tables.len().to_string(),
            output::count(view.tables.iter().map(|table| table.rows_approx).sum()),
            output::bytes(view.tables.iter().map(|table| table.bytes).sum()),
        ]);
    }
    Ok(table.write(output)?)
}
