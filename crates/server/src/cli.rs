//! The command line of `engram`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, Overrides, keys};
use crate::serve::{self, ServeError};
use crate::{logging, node};

/// The exit code of a server that stopped because its log did.
const EXIT_STOPPED: u8 = 1;

/// The exit code of a server that could not start.
const EXIT_CANNOT_START: u8 = 2;

/// A Matrix homeserver whose only source of truth is an append-only log.
#[derive(Parser)]
#[command(name = "engram", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Subcommand)]
enum Command {
    /// Serve until SIGINT or SIGTERM; also what happens without any command.
    Serve(Serve),
    /// Print every key of the configuration with its default and its effect.
    Config,
}

#[derive(Args)]
struct Serve {
    /// TOML file with the configuration; without one, everything has its default.
    #[arg(long, value_name = "FILE", env = "ENGRAM_CONFIG")]
    config: Option<PathBuf>,
    /// Where the data is, instead of what the configuration says.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Serve plain HTTP at this address and port, instead of the configured listeners.
    #[arg(long, value_name = "ADDR", env = "ENGRAM_LISTEN")]
    listen: Option<String>,
    /// The server's name, instead of what the configuration says.
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        Some(Command::Config) => {
            // A closed pipe is the reader's decision.
            let _ = io::stdout().write_all(keys::documentation().as_bytes());
            ExitCode::SUCCESS
        }
        Some(Command::Serve(serve)) => run(serve),
        None => run(cli.serve),
    }
}

fn run(arguments: Serve) -> ExitCode {
    if let Err(error) = arm_failpoints() {
        eprintln!("engram: {error}");
        return ExitCode::from(EXIT_CANNOT_START);
    }
    let overrides =
        Overrides { data_dir: arguments.data_dir, listen: arguments.listen, server_name: arguments.server_name };
    let config = match Config::load(arguments.config.as_deref(), std::env::vars(), overrides) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("engram: {error}\n`engram config` lists every key.");
            return ExitCode::from(EXIT_CANNOT_START);
        }
    };
    start_logging(&config);
    tracing::info!(software = node::SOFTWARE, "starting");
    match serve::serve(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ (ServeError::Stopped(_) | ServeError::Close(_))) => {
            tracing::error!(code = "E-LOG-STOPPED", "{error}");
            ExitCode::from(EXIT_STOPPED)
        }
        Err(error) => {
            tracing::error!(code = "E-START", "{error}");
            ExitCode::from(EXIT_CANNOT_START)
        }
    }
}

/// A release has no fail points, and refuses to pretend that it had.
fn arm_failpoints() -> Result<(), engram_failpoints::PlanError> {
    #[expect(clippy::disallowed_methods, reason = "this is where the environment enters the server")]
    let plan = std::env::var(engram_failpoints::VARIABLE).unwrap_or_default();
    engram_failpoints::arm(&plan)
}

fn start_logging(config: &Config) {
    #[expect(clippy::disallowed_methods, reason = "this is where the environment enters the server")]
    let (filter, no_colour) = (std::env::var("RUST_LOG").ok(), std::env::var_os("NO_COLOR").is_some());
    logging::start(config.log_json, filter.as_deref(), no_colour);
}
