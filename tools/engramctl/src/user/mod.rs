//! `engramctl user`: accounts.

mod create;
mod password;

use crate::args::UserCommand;
use crate::data::Data;
use crate::error::{Outcome, Result};
use crate::output::Output;

/// Runs one of its commands.
pub(crate) fn run(data: &Data, command: UserCommand, output: &mut Output) -> Result<Outcome> {
    match command {
        UserCommand::Create(args) => create::run(data, args, output),
    }
}
