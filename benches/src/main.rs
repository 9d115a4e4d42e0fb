//! `engram-bench`: the command line of the benchmarks. `engram-bench help` lists them.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Parser, Subcommand};
use engram_benches::stats::Probe;
use engram_benches::target::{Registration, Target};
use engram_benches::{Error, Result, accounts, baseline, beside, deliver, log, mix, replay, send, start};
use serde::Serialize;
use serde_json::Value;

/// Drives any Matrix homeserver and measures it; measures Engram's log and views.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// Print one JSON object a line instead of tables.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Bench,
}

#[derive(Subcommand)]
enum Bench {
    /// Messages through HTTP, by concurrency and size of the room.
    Send(SendArgs),
    /// From the start of a send to its delivery by the waiting /sync of another user.
    Deliver {
        #[command(flatten)]
        server: ServerArgs,
        /// Messages.
        #[arg(long, default_value_t = 1000)]
        messages: usize,
    },
    /// Many users wait in one room: deliveries per second.
    Fanout {
        #[command(flatten)]
        server: ServerArgs,
        /// Users who wait.
        #[arg(long, default_value_t = 100)]
        receivers: usize,
        /// Messages.
        #[arg(long, default_value_t = 500)]
        messages: usize,
    },
    /// New accounts, sessions, keys and messages to devices: what a server can do at once for many.
    Register {
        #[command(flatten)]
        server: ServerArgs,
        /// What is asked for; a list.
        #[arg(long, value_delimiter = ',', default_values = ["register", "login", "keys", "to-device"])]
        kinds: Vec<accounts::Kind>,
        /// Requests in flight.
        #[arg(long, default_value_t = 128)]
        concurrency: usize,
        /// Seconds per run.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// Seconds before each run that are not counted.
        #[arg(long, default_value_t = 2)]
        warm_up_seconds: u64,
    },
    /// Every kind of write in fixed proportions; fills a log for the replay benchmark.
    Mix {
        #[command(flatten)]
        server: ServerArgs,
        /// Requests.
        #[arg(long, default_value_t = 100_000)]
        requests: usize,
        /// Users, each with one request in flight.
        #[arg(long, default_value_t = 32)]
        users: usize,
        /// Rooms; every user is in each of them.
        #[arg(long, default_value_t = 8)]
        rooms: usize,
        /// Seed of the sequence of requests.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// What one who sends and one who asks who they are notice of many who read a large room's whole state.
    Beside {
        #[command(flatten)]
        server: ServerArgs,
        /// State events of the large room.
        #[arg(long, default_value_t = 15_000)]
        entries: usize,
        /// Connections that read it.
        #[arg(long, default_value_t = 64)]
        readers: usize,
        /// Seconds alone, and seconds beside the readers.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
    },
    /// Appends to the log, beside raw fdatasync and sequential write of the same disk.
    Log {
        /// A directory on the disk to be measured.
        #[arg(long)]
        dir: PathBuf,
        /// Appenders; a list.
        #[arg(long, value_delimiter = ',', default_values_t = [1, 4, 16, 64, 256])]
        concurrency: Vec<usize>,
        /// Bytes of JSON in a record.
        #[arg(long, default_value_t = 1024)]
        record_bytes: usize,
        /// Records per append when batches are measured.
        #[arg(long, default_value_t = 64)]
        batch: usize,
        /// Seconds per figure.
        #[arg(long, default_value_t = 5)]
        seconds: u64,
    },
    /// Rebuilds all views from the log of a stopped server.
    Replay {
        /// Data directory of the server; it is only read.
        #[arg(long)]
        data_dir: PathBuf,
        /// Where the views are built; removed afterwards. It must not exist.
        #[arg(long)]
        scratch: PathBuf,
    },
    /// Starts a server again and again on a log of many records: after clean stops, after kill -9, and without views.
    Start {
        /// The program of the server.
        #[arg(long, default_value = "target/release/engram")]
        server: PathBuf,
        /// A directory on the disk to be measured, for the server's data. They stay there: another run goes on with
        /// them.
        #[arg(long)]
        dir: PathBuf,
        /// Records of the log before anything is measured.
        #[arg(long, default_value_t = 1_000_000)]
        records: usize,
        /// Starts of each kind.
        #[arg(long, default_value_t = 5)]
        runs: usize,
    },
    /// Serves HTTP that does nothing but one shared fdatasync per request, until it is stopped.
    Baseline {
        /// Where to listen; port 0 for any. The address is printed.
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        /// A directory on the disk to be measured.
        #[arg(long)]
        dir: PathBuf,
    },
}

#[derive(Args)]
struct SendArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Sends in flight; a list.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 128])]
    concurrency: Vec<usize>,
    /// Joined members of the room; a list.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 128])]
    members: Vec<usize>,
    /// Seconds per run.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Seconds before each run that are not counted.
    #[arg(long, default_value_t = 2)]
    warm_up_seconds: u64,
    /// Bytes of text per message.
    #[arg(long, default_value_t = 100)]
    body_bytes: usize,
    /// Measures the baseline server too, with its file in this directory.
    #[arg(long)]
    baseline_dir: Option<PathBuf>,
}

#[derive(Args)]
struct ServerArgs {
    /// Base URL of the homeserver.
    #[arg(long, default_value = "http://127.0.0.1:8008")]
    url: String,
    /// Register with this registration token.
    #[arg(long, conflicts_with = "shared_secret")]
    registration_token: Option<String>,
    /// Register with this shared secret. With neither, registration has to be open.
    #[arg(long)]
    shared_secret: Option<String>,
    /// Process of the server, to report its processor time.
    #[arg(long)]
    pid: Option<u32>,
    /// Data directory of the server, to report its growth.
    #[arg(long)]
    data_dir: Option<PathBuf>,
}

impl ServerArgs {
    fn target(&self) -> Result<Target> {
        let registration = match (&self.registration_token, &self.shared_secret) {
            (Some(token), _) => Registration::Token(token.clone()),
            (None, Some(secret)) => Registration::SharedSecret(secret.clone()),
            (None, None) => Registration::Open,
        };
        Target::new(&self.url, registration)
    }

    fn probe(&self) -> Probe {
        Probe { pid: self.pid, data_dir: self.data_dir.clone() }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("engram-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<()> {
    match &cli.command {
        Bench::Send(args) => run_send(args, cli.json),
        Bench::Deliver { server, messages } => {
            let options = deliver::Options { receivers: 1, messages: *messages, settle: Duration::from_millis(5) };
            print(&deliver::run(&mut server.target()?, &prefix(), "deliver", &options)?, cli.json);
            Ok(())
        }
        Bench::Fanout { server, receivers, messages } => {
            let options = deliver::Options { receivers: *receivers, messages: *messages, settle: Duration::ZERO };
            print(&deliver::run(&mut server.target()?, &prefix(), "fanout", &options)?, cli.json);
            Ok(())
        }
        Bench::Register { server, kinds, concurrency, seconds, warm_up_seconds } => {
            let (duration, warm_up) = (Duration::from_secs(*seconds), Duration::from_secs(*warm_up_seconds));
            let mut target = server.target()?;
            for &kind in kinds {
                let options = accounts::Options { kind, concurrency: *concurrency, duration, warm_up };
                print(&accounts::run(&mut target, &server.probe(), &prefix(), &options)?, cli.json);
            }
            Ok(())
        }
        Bench::Mix { server, requests, users, rooms, seed } => {
            let options = mix::Options { requests: *requests, users: *users, rooms: *rooms, seed: *seed };
            print(&mix::run(&mut server.target()?, &prefix(), &options)?, cli.json);
            Ok(())
        }
        Bench::Beside { server, entries, readers, seconds } => {
            let duration = Duration::from_secs(*seconds);
            let options = beside::Options { entries: *entries, readers: *readers, duration };
            beside::run(&mut server.target()?, &prefix(), &options, |report| print(report, cli.json))
        }
        Bench::Log { dir, concurrency, record_bytes, batch, seconds } => {
            let duration = Duration::from_secs(*seconds);
            let options =
                log::Options { concurrency: concurrency.clone(), record_bytes: *record_bytes, batch: *batch, duration };
            log::run(dir, &options, |report| print(report, cli.json))
        }
        Bench::Start { server, dir, records, runs } => {
            let (server, dir) = (server.clone(), dir.clone());
            let options = start::Options { server, dir, records: *records, runs: *runs };
            start::run(&prefix(), &options, |report| print(report, cli.json))
        }
        Bench::Replay { data_dir, scratch } => run_replay(data_dir, scratch, cli.json),
        Bench::Baseline { listen, dir } => baseline::serve(*listen, dir, |address| println!("http://{address}")),
    }
}

fn run_replay(data_dir: &Path, scratch: &Path, json: bool) -> Result<()> {
    if scratch.exists() {
        return Err(Error::Usage(format!("{} exists already", scratch.display())));
    }
    let report = replay::run(data_dir, scratch, |_| {});
    std::fs::remove_dir_all(scratch)?;
    print(&report?, json);
    Ok(())
}

fn run_send(args: &SendArgs, json: bool) -> Result<()> {
    if let Some(dir) = &args.baseline_dir {
        run_baseline(args, dir, json)?;
    }
    let mut target = args.server.target()?;
    for &members in &args.members {
        let mut setup = send::Setup::new(&mut target, &format!("{}m{members}u", prefix()), members)?;
        for &concurrency in &args.concurrency {
            let report = setup.run(&target, &args.server.probe(), &send_options(args, members, concurrency))?;
            print(&report, json);
        }
    }
    Ok(())
}

fn send_options(args: &SendArgs, members: usize, concurrency: usize) -> send::Options {
    send::Options {
        concurrency,
        members,
        duration: Duration::from_secs(args.seconds),
        warm_up: Duration::from_secs(args.warm_up_seconds),
        body_bytes: args.body_bytes,
    }
}

/// The baseline runs in a process of its own, as the homeserver does.
fn run_baseline(args: &SendArgs, dir: &Path, json: bool) -> Result<()> {
    let mut child =
        Command::new(std::env::current_exe()?).args(["baseline", "--dir"]).arg(dir).stdout(Stdio::piped()).spawn()?;
    let measured = drive_baseline(args, &mut child, json);
    child.kill()?;
    child.wait()?;
    measured
}

fn drive_baseline(args: &SendArgs, child: &mut Child, json: bool) -> Result<()> {
    let output = child.stdout.take().ok_or(Error::Missing { what: "the baseline's output" })?;
    let mut url = String::new();
    BufReader::new(output).read_line(&mut url)?;
    let target = Target::new(url.trim(), Registration::Open)?;
    let probe = Probe { pid: Some(child.id()), data_dir: None };
    for &concurrency in &args.concurrency {
        let mut report = send::Setup::anonymous().run(&target, &probe, &send_options(args, 0, concurrency))?;
        report.scenario = "baseline";
        print(&report, json);
    }
    Ok(())
}

/// Localparts of this run, so that it can be repeated on the same server.
fn prefix() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("bench{:x}-", now.as_millis())
}

/// One line of JSON, or one figure a line with its name.
fn print(report: &impl Serialize, json: bool) {
    let report = serde_json::to_value(report).unwrap_or(Value::Null);
    if json {
        println!("{report}");
        return;
    }
    let figures = report.as_object().into_iter().flatten();
    let figures = figures.filter(|(name, figure)| !figure.is_null() && *name != "scenario");
    let line = figures.map(|(name, figure)| match figure.as_f64().filter(|_| figure.is_f64()) {
        Some(number) => format!("{name} {number:.3}"),
        None => format!("{name} {figure}"),
    });
    print!("{}  ", report["scenario"].as_str().unwrap_or_default());
    println!("{}", line.collect::<Vec<_>>().join("  "));
}
