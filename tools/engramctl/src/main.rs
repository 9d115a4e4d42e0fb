//! `engramctl`: looks at the log of a stopped server, rebuilds and compares its views, explains its rooms, administers
//! it.
//!
//! Exit codes: 0 good, 1 a difference or damage was found, 2 could not run. What was asked for goes to standard
//! output, progress and complaints to standard error. Where to begin: [`args`] for what can be asked, then the
//! file of the command: `log/stat.rs` is `log stat`.

mod args;
mod data;
mod error;
mod log;
mod output;
mod progress;
mod room;
mod time;
mod user;
mod view;

use std::process::ExitCode;

use clap::Parser;
use engram_server::logging;

use args::{Args, Command};
use error::{Outcome, Result};
use output::Output;

fn main() -> ExitCode {
    // clap itself ends with 2 for arguments that make no sense.
    let args = Args::parse();
    logging::start(false, Some("warn"), true);
    let mut output = Output::new(args.json);
    let result = run(args, &mut output).and_then(|outcome| {
        output.flush()?;
        Ok(outcome)
    });
    match result {
        Ok(outcome) => outcome.into(),
        // Whoever read the output has seen enough: `engramctl log cat | head`.
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&error);
            error.exit_code()
        }
    }
}

fn run(args: Args, output: &mut Output) -> Result<Outcome> {
    let data = args.place.open()?;
    match args.command {
        Command::Log(command) => log::run(&data, command, output),
        Command::View(command) => view::run(&data, command, output),
        Command::Room(command) => room::run(&data, &command, output),
        Command::User(command) => user::run(&data, command, output),
    }
}
