//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use engram_log::{Kind, Offset, TimestampMs};
use engram_log_format::input;
use engram_matrix::RoomVersion;
use engram_rooms::projector::Check;

use crate::time;

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
    /// The server's configuration file, which says where the data is.
    #[arg(long, global = true, value_name = "FILE", env = "ENGRAM_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// The data directory, instead of what the configuration says; without either, ./engram-data.
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Look at the log.
    #[command(subcommand)]
    Log(LogCommand),
    /// Look at the views, rebuild and compare them.
    #[command(subcommand)]
    View(ViewCommand),
    /// Look into rooms: why an event was taken or not, what the state was, how events follow each other.
    #[command(subcommand)]
    Room(RoomCommand),
    /// Administer accounts.
    #[command(subcommand)]
    User(UserCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// The log in figures: records, bytes, times, segments.
    Stat,
    /// Print records, one line each.
    Cat(CatArgs),
    /// Read every byte and check every digest and chain; say what is damaged, and where.
    Verify {
        /// Read from the disk and not from memory, and check also that every payload is a valid value of its type.
        #[arg(long)]
        deep: bool,
    },
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
    /// Wait for more when the end is reached, until interrupted or past `--to`. The one command that reads the log of
    /// a running server: its journal, the newest records of which may not be on stable storage yet.
    #[arg(long)]
    pub(crate) follow: bool,
    /// Do not hide password hashes, digests of access tokens, and registration tokens.
    #[arg(long)]
    pub(crate) secrets: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ViewCommand {
    /// The views as they were left: version, generation, offset, size.
    List,
    /// One digest a view, over all of its rows: equal logs give equal digests.
    Digest {
        /// The view; all of them without a name.
        name: Option<String>,
    },
    /// Build views anew from the log, in place or in a directory of their own.
    Rebuild(RebuildArgs),
    /// Build all views anew in a scratch directory, and compare their digests with those of the stored ones.
    Verify {
        /// Where the scratch directory is made [default: the data directory].
        #[arg(long, value_name = "DIR")]
        scratch: Option<PathBuf>,
    },
    /// Judge all events anew, by other rules or to compare with another version of this program, and list every verdict
    /// that differs. The views of the server stay as they are.
    WhatIf(WhatIfArgs),
}

#[derive(Debug, Default, clap::Args)]
#[command(group(
    clap::ArgGroup::new("otherwise")
        .args(["assume_room_version", "without_check", "against"])
        .required(true)
        .multiple(true)
))]
pub(crate) struct WhatIfArgs {
    /// Judge rooms of one version by the rules of another, like `10=11`.
    #[arg(long, value_name = "VERSION=RULES", value_parser = assumption)]
    pub(crate) assume_room_version: Vec<Assumption>,
    /// Leave a check out: `auth-events`, `state-before` or `current-state` (the one that soft-fails events).
    #[arg(long, value_name = "CHECK", value_parser = check)]
    pub(crate) without_check: Vec<Check>,
    /// Compare with the verdicts in this file, which another version of this program wrote by `room verdicts`, instead
    /// of those of the stored views.
    #[arg(long, value_name = "FILE")]
    pub(crate) against: Option<PathBuf>,
    /// Where the scratch directory is made [default: the data directory].
    #[arg(long, value_name = "DIR")]
    pub(crate) scratch: Option<PathBuf>,
}

/// Rooms of the first version are judged by the rules of the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Assumption {
    pub(crate) of: &'static RoomVersion,
    pub(crate) rules: &'static RoomVersion,
}

#[derive(Debug, Default, clap::Args)]
pub(crate) struct RebuildArgs {
    /// The view.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub(crate) name: Option<String>,
    /// All views.
    #[arg(long)]
    pub(crate) all: bool,
    /// Build into this directory, which is new or empty, and leave the server's views alone.
    #[arg(long, value_name = "DIR")]
    pub(crate) into: Option<PathBuf>,
    /// Stop after this offset.
    #[arg(long, value_name = "OFFSET", value_parser = offset, requires = "into", conflicts_with = "until")]
    pub(crate) to: Option<Offset>,
    /// Stop after the last record of this time or before, like 2026-11-21T10:26:12Z.
    #[arg(long, value_name = "TIME", value_parser = time::parse, requires = "into")]
    pub(crate) until: Option<TimestampMs>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RoomCommand {
    /// One event: its verdict and by which rule, the events that permit it, what it was judged by.
    Explain {
        /// The event's ID.
        event_id: String,
    },
    /// A room's state, now or as it was.
    State {
        /// The room's ID.
        room_id: String,
        /// After an event (`$…`), or the room's current state at an offset or a time, like 2026-11-21T10:26:12Z.
        #[arg(long, value_name = "EVENT|OFFSET|TIME", value_parser = moment)]
        at: Option<Moment>,
    },
    /// The events of a room with those that they follow, forks and forward extremities.
    Graph {
        /// The room's ID.
        room_id: String,
        /// For Graphviz, or for other programs.
        #[arg(long, value_enum, default_value_t = GraphFormat::Dot)]
        format: GraphFormat,
        /// Only so many of the last events.
        #[arg(long, value_name = "COUNT", default_value_t = 1000)]
        last: usize,
    },
    /// The verdict on every event, one JSON document a line: to be compared by `view what-if --against`.
    Verdicts {
        /// Only of this room.
        room_id: Option<String>,
        /// The only form there is.
        #[arg(long, value_enum, default_value_t = LinesFormat::Jsonl)]
        format: LinesFormat,
    },
    /// Write a room with all of its events to standard output, after checking their IDs and hashes.
    Export {
        /// The room's ID.
        room_id: String,
        /// The only form there is.
        #[arg(long, value_enum, default_value_t = LinesFormat::Jsonl)]
        format: LinesFormat,
    },
    /// Take a room in that `room export` wrote. It is judged by the same rules as any other; to import it again changes
    /// nothing.
    Import {
        /// The file.
        file: PathBuf,
    },
}

/// One JSON document a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LinesFormat {
    Jsonl,
}

/// A point in a room's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    Event(String),
    Offset(Offset),
    Time(TimestampMs),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum GraphFormat {
    Dot,
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Create an account. The password is asked for, or read from standard input if that is no terminal.
    Create(CreateArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct CreateArgs {
    /// Its name: `alice`, or `@alice:example.org`.
    pub(crate) name: String,
    /// Its password. Other users of this machine can see it in the list of processes: better not to give it here.
    #[arg(long)]
    pub(crate) password: Option<String>,
    /// Make it an administrator of the server.
    #[arg(long)]
    pub(crate) admin: bool,
}

fn offset(text: &str) -> Result<Offset, String> {
    text.parse().map(Offset).map_err(|_| "an offset is a whole number".to_owned())
}

fn moment(text: &str) -> Result<Moment, String> {
    if text.starts_with('$') {
        return Ok(Moment::Event(text.to_owned()));
    }
    offset(text).map(Moment::Offset).or_else(|_| time::parse(text).map(Moment::Time))
}

fn assumption(text: &str) -> Result<Assumption, String> {
    let version = |id: &str| RoomVersion::parse(id).ok_or_else(|| format!("{id:?} is no room version of this server"));
    let (of, rules) = text.split_once('=').ok_or_else(|| "write VERSION=RULES, like 10=11".to_owned())?;
    Ok(Assumption { of: version(of)?, rules: version(rules)? })
}

fn check(text: &str) -> Result<Check, String> {
    Check::ALL.into_iter().find(|check| check.name() == text).ok_or_else(|| {
        let names: Vec<_> = Check::ALL.into_iter().map(Check::name).collect();
        format!("the checks are {}", names.join(", "))
    })
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
        let log = ["", "log", "log cat --kind nothing", "log cat --from -1", "log stat --room x"];
        let view = ["view rebuild", "view rebuild rooms --all", "view rebuild --all --to 3", "view digest a b"];
        let both = ["view rebuild --all --into d --to 3 --until 2026-11-21", "view rebuild --all --into d --until now"];
        let room = ["room", "room explain", "room state !a:b --at yesterday", "room graph !a:b --format png"];
        for line in log.into_iter().chain(view).chain(both).chain(room).chain(["user create"]) {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn what_if_asks_for_something_else_than_is() {
        let lines =
            ["", "--without-check nothing", "--assume-room-version 10", "--assume-room-version 10=99", "--scratch d"];
        for line in lines {
            assert!(parse(&format!("view what-if {line}")).is_err(), "{line}");
        }
        let args =
            parse("view what-if --without-check current-state --assume-room-version 9=10 --against f").expect("good");
        let Command::View(ViewCommand::WhatIf(args)) = args.command else { panic!("another command") };
        assert_eq!(args.without_check, [Check::CurrentState]);
        assert_eq!((args.assume_room_version[0].of.id(), args.assume_room_version[0].rules.id()), ("9", "10"));
    }

    #[test]
    fn a_moment_is_an_event_an_offset_or_a_time() {
        for (text, expected) in [
            ("$e:x", Moment::Event("$e:x".to_owned())),
            ("12", Moment::Offset(Offset(12))),
            ("1970-01-01", Moment::Time(TimestampMs(0))),
        ] {
            let args = parse(&format!("room state !a:b --at {text}")).expect(text);
            let Command::Room(RoomCommand::State { at, .. }) = args.command else { panic!("another command") };
            assert_eq!(at, Some(expected));
        }
    }

    #[test]
    fn a_rebuild_is_of_one_view_or_all_in_place_or_elsewhere() {
        for line in ["rooms", "--all", "rooms --into d", "--all --into d --to 3", "--all --into d --until 2026-11-21"] {
            assert!(parse(&format!("view rebuild {line}")).is_ok(), "{line}");
        }
    }
}
