//! `engramctl log`: the log itself.

mod cat;
mod fields;
mod follow;
mod stat;
mod verify;

use crate::args::LogCommand;
use crate::data::Data;
use crate::error::{Outcome, Result};
use crate::output::Output;

/// Runs one of its commands.
pub(crate) fn run(data: &Data, command: LogCommand, output: &mut Output) -> Result<Outcome> {
    match command {
        LogCommand::Stat => stat::run(data, output),
        LogCommand::Cat(args) if args.follow => follow::run(data, &args, output),
        LogCommand::Cat(args) => cat::run(data, &args, output),
        LogCommand::Verify { deep } => verify::run(data, deep, output),
    }
}
