//! `engramctl view verify`: the stored views against the same views built anew from the log.

use std::path::Path;

use engram_server::node::projectors;
use engram_views::{Until, ViewDigest};
use serde_json::{Value, json};

use super::{build_into, digest};
use crate::data::Data;
use crate::error::{Error, Outcome, Result};
use crate::output::{self, Output, Table};
use crate::progress;

/// Runs the command.
pub(crate) fn run(data: &Data, scratch: Option<&Path>, output: &mut Output) -> Result<Outcome> {
    let log = data.log()?;
    let stored = data.views(log.clone())?;
    let until = Until::Offset(stored.offset());
    let stored = stored.digests()?;
    let files = |source| Error::Files { what: "the scratch directory", source };
    let scratch =
        tempfile::Builder::new().prefix("scratch-").tempdir_in(scratch.unwrap_or(data.dir())).map_err(files)?;
    let rebuilt = {
        let bar = progress::offsets("rebuilding");
        build_into(scratch.path(), log, projectors(), until, &bar)?.digests()?
    };
    let pairs: Vec<_> = stored.iter().zip(&rebuilt).collect();
    let good = pairs.iter().all(|(stored, rebuilt)| stored == rebuilt);
    if output.is_json() {
        output.json(&json!({ "good": good, "views": pairs.iter().map(document).collect::<Vec<_>>() }))?;
    } else {
        print(&pairs, output)?;
    }
    Ok(if good { Outcome::Good } else { Outcome::Found })
}

/// A view as it is stored and as it was built anew.
type Pair<'a> = (&'a ViewDigest, &'a ViewDigest);

fn document((stored, rebuilt): &Pair<'_>) -> Value {
    json!({
        "name": stored.name,
        "good": stored == rebuilt,
        "different_tables": different_tables(stored, rebuilt),
        "stored": digest::document(stored),
        "rebuilt": digest::document(rebuilt),
    })
}

fn different_tables(stored: &ViewDigest, rebuilt: &ViewDigest) -> Vec<&'static str> {
    let pairs = stored.tables.iter().zip(&rebuilt.tables);
    pairs.filter(|(stored, rebuilt)| stored != rebuilt).map(|(stored, _)| stored.name).collect()
}

fn print(pairs: &[Pair<'_>], output: &mut Output) -> Result<()> {
    let mut table = Table::new(&["view", "offset", "rows", "result", "digest"], &[false, true, true, false, false]);
    for (stored, rebuilt) in pairs {
        table.row(vec![
            stored.name.to_owned(),
            stored.offset.to_string(),
            output::count(stored.tables.iter().map(|table| table.rows).sum()),
            if stored == rebuilt { "good" } else { "DIFFERENT" }.to_owned(),
            stored.digest.to_string(),
        ]);
    }
    table.write(output)?;
    for (stored, rebuilt) in pairs.iter().filter(|(stored, rebuilt)| stored != rebuilt) {
        let (tables, digest) = (different_tables(stored, rebuilt).join(", "), rebuilt.digest);
        output.line(format_args!("{}: rebuilt, its digest is {digest}; different tables: {tables}", stored.name))?;
    }
    Ok(())
}
