//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use engram_log::{Kind, Offset};
use engram_log_format::input;

/// Looks at the log of a stopped Engram server, rebuilds and compares its views, administers it.
///
/// Exit codes: 0 good, 1 a difference or damage was found, 2 could not run.
#[derive(Debug, Parser)]
#[command(name = "engramctl", version)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Print for machines: one JSON document, or one line per record.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Where the server's data is.
#[derive(Debug, clap::Args)]
pub(crate) struct Place {
    /// The data directory [default: ./engram-data].
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Look at the log.
    #[command(subcommand)]
    Log(LogCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// The log in figures: records, bytes, times, segments.
    Stat,
    /// Print records, one line each.
    Cat(CatArgs),
    /// Read every byte and check every digest and chain; say what is damaged, and where.
    Verify,
}

#[derive(Debug, Default, clap::Args)]
pub(crate) struct CatArgs {
    /// The first offset to print.
    #[arg(long, value_name = "OFFSET", value_parser = offset)]
    pub(crate) from: Option<Offset>,
    /// The last offset to print.
    #[arg(long, value_name = "OFFSET", value_parser = offset)]
    pub(crate) to: Option<Offset>,
    /// Print only records of these kinds, like `pdu` or `device-logged-in`.
    #[arg(long, value_delimiter = ',', value_parser = kind)]
    pub(crate) kind: Vec<Kind>,
    /// Print only records of these rooms.
    #[arg(long, value_name = "ROOM_ID")]
    pub(crate) room: Vec<String>,
    /// Do not hide password hashes, digests of access tokens, and registration tokens.
    #[arg(long)]
    pub(crate) secrets: bool,
}

fn offset(text: &str) -> Result<Offset, String> {
    text.parse().map(Offset).map_err(|_| "an offset is a whole number".to_owned())
}

fn kind(text: &str) -> Result<Kind, String> {
    input::kind_by_name(text).ok_or_else(|| {
        let names: Vec<_> = input::KINDS.iter().filter_map(|kind| input::kind_name(*kind)).collect();
        format!("the kinds are {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(std::iter::once("engramctl").chain(line.split_whitespace()))
    }

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn flags_of_the_whole_program_go_before_or_behind_the_command() {
        for line in ["--data-dir /d --json log stat", "log stat --data-dir /d --json"] {
            let args = parse(line).expect(line);
            assert!(args.json);
            assert_eq!(args.place.data_dir, Some(PathBuf::from("/d")));
        }
    }

    #[test]
    fn cat_takes_offsets_kinds_and_rooms() {
        let args = parse("log cat --from 3 --to 9 --kind pdu,typing-set --kind genesis --room !a:b").expect("good");
        let Command::Log(LogCommand::Cat(cat)) = args.command else { panic!("another command") };
        assert_eq!((cat.from, cat.to), (Some(Offset(3)), Some(Offset(9))));
        assert_eq!(cat.kind, [Kind(16), Kind(81), Kind(1)]);
        assert_eq!(cat.room, ["!a:b"]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in ["", "log", "log cat --kind nothing", "log cat --from -1", "log stat --room x"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
