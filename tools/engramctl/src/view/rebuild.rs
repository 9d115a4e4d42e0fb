//! `engramctl view rebuild`: views anew from the log, in place or, up to any point of it, somewhere else.

use std::path::Path;
use std::{fs, io};

use engram_server::node::projectors;
use engram_views::rebuild::{Which, in_place};
use engram_views::{AnyProjector, Until};

use super::{advance, build_into, digest, known};
use crate::args::RebuildArgs;
use crate::data::Data;
use crate::error::{Error, Outcome, Result};
use crate::output::Output;
use crate::progress;

/// Runs the command, and prints the digests of what was built.
pub(crate) fn run(data: &Data, args: &RebuildArgs, output: &mut Output) -> Result<Outcome> {
    let name = args.name.as_deref().map(known).transpose()?;
    let log = data.log()?;
    let bar = progress::offsets("rebuilding");
    let snapshot = if let Some(dir) = &args.into {
        check_new(dir)?;
        build_into(dir, log, chosen(name), until(args), &bar)?
    } else {
        let which = name.map_or(Which::All, Which::Named);
        in_place(&data.views_dir(), log, projectors(), which, &mut |progress| advance(&bar, progress, Until::End))?
    };
    drop(bar);
    digest::show(&snapshot, name, output)?;
    Ok(Outcome::Good)
}

fn check_new(dir: &Path) -> Result<()> {
    let mut entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|source| Error::Files { what: "the directory to build into", source })?,
    };
    if entries.next().is_some() { Err(Error::NotEmpty(dir.to_owned())) } else { Ok(()) }
}

fn until(args: &RebuildArgs) -> Until {
    match (args.to, args.until) {
        (Some(offset), _) => Until::Offset(offset),
        (None, Some(time)) => Until::Time(time),
        (None, None) => Until::End,
    }
}

/// A projector reads no other's tables, so one alone can be built.
fn chosen(name: Option<&str>) -> Vec<Box<dyn AnyProjector>> {
    let mut projectors = projectors();
    projectors.retain(|projector| name.is_none_or(|name| projector.name() == name));
    projectors
}
