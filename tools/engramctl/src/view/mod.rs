//! `engramctl view`: the views, which are functions of the log.

mod digest;
mod list;
mod rebuild;
mod verify;
mod what_if;

use std::path::Path;
use std::sync::Arc;

use engram_log::Log;
use engram_server::node::projectors;
use engram_views::{AnyProjector, Progress, Snapshot, Until, rebuild as build};

use crate::args::ViewCommand;
use crate::data::Data;
use crate::error::{Error, Outcome, Result};
use crate::output::Output;
use crate::progress::Bar;

/// Runs one of its commands.
pub(crate) fn run(data: &Data, command: ViewCommand, output: &mut Output) -> Result<Outcome> {
    match command {
        ViewCommand::List => list::run(data, output),
        ViewCommand::Digest { name } => digest::run(data, name.as_deref(), output),
        ViewCommand::Rebuild(args) => rebuild::run(data, &args, output),
        ViewCommand::WhatIf(args) => what_if::run(data, &args, output),
        ViewCommand::Verify { scratch } => verify::run(data, scratch.as_deref(), output),
    }
}

/// Builds views in a directory of their own.
fn build_into(
    dir: &Path,
    log: Arc<dyn Log>,
    projectors: Vec<Box<dyn AnyProjector>>,
    until: Until,
    bar: &Bar,
) -> Result<Arc<Snapshot>> {
    Ok(build::into(dir, log, projectors, until, &mut |progress| advance(bar, progress, until))?)
}

fn advance(bar: &Bar, progress: Progress, until: Until) {
    let end = match until {
        Until::Offset(last) => last.min(progress.end),
        Until::End | Until::Time(_) => progress.end,
    };
    bar.set(progress.offset.0, end.0);
}

/// The name itself, if there is a view of that name.
fn known(name: &str) -> Result<&str> {
    let known: Vec<_> = projectors().iter().map(|projector| projector.name()).collect();
    if known.contains(&name) { Ok(name) } else { Err(Error::NoView { name: name.to_owned(), known }) }
}
