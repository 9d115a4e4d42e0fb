//! Benchmark `start`: how long a server takes from the start of its process to its first answer, when its log holds
//! many records.
//!
//! It runs the server itself: fills a log through HTTP, then measures starts after clean stops, after `kill -9` in the
//! middle of writing, and once with all views to be built anew.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use engram_log::{EmbeddedLog, FsStorage};
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::http::Client;
use crate::mix;
use crate::stats::Latencies;
use crate::target::{Registration, Target};

/// How often it is tried whether the server answers.
const POLL: Duration = Duration::from_millis(1);
/// How long a start may take before it counts as failed: all views of a large log are built anew.
const START_MAX: Duration = Duration::from_secs(3600);
/// How long a server writes before it is killed.
const LOAD: Duration = Duration::from_secs(2);
/// Users and rooms of the load.
const USERS: usize = 32;
const ROOMS: usize = 8;

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program.
    pub server: PathBuf,
    /// A directory on the disk to be measured, for data that stay there. It must not exist yet, unless a former run has
    /// left it.
    pub dir: PathBuf,
    /// Records of the log before anything is measured.
    pub records: usize,
    /// Starts of each kind.
    pub runs: usize,
}

/// A figure by what was measured.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What was measured.
    pub scenario: &'static str,
    /// Records of the log, at the last start.
    pub records: u64,
    /// Bytes of the log.
    pub log_bytes: u64,
    /// Starts that were measured.
    pub runs: usize,
    /// Median time from the start of the process to the first answer.
    pub start_ms_p50: f64,
    /// The longest.
    pub start_ms_max: f64,
}

/// Measures; `report` is told each figure.
pub fn run(prefix: &str, options: &Options, mut report: impl FnMut(&Report)) -> Result<()> {
    let site = Site::new(options)?;
    site.fill(prefix, options.records)?;
    report(&site.measure("start after a clean stop", options.runs, |_| stop(site.start()?.0))?);
    report(&site.measure("start after kill -9 under load", options.runs, |run| {
        site.kill_under_load(&format!("{prefix}k{run}u"))
    })?);
    report(&site.measure("start with all views to be built", 1, |_| {
        stop(site.start()?.0)?;
        Ok(fs::remove_dir_all(site.data_dir().join("views"))?)
    })?);
    Ok(())
}

/// A server with its data.
struct Site {
    program: PathBuf,
    dir: PathBuf,
    address: SocketAddr,
}

impl Site {
    fn new(options: &Options) -> Result<Self> {
        fs::create_dir_all(&options.dir)?;
        let dir = fs::canonicalize(&options.dir)?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let site = Self { program: options.server.clone(), dir, address };
        let data_dir = site.data_dir().display().to_string();
        let configuration = format!(
            "server_name = \"localhost\"\ndata_dir = \"{data_dir}\"\n\n[[listener]]\nbind = \"{address}\"\n\n\
             [registration]\nopen = true\n\n[rate_limits]\nenabled = false\n\n[password_hash]\ncost = \"minimal\"\n"
        );
        fs::write(site.dir.join("bench.toml"), configuration)?;
        Ok(site)
    }

    fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Sends requests until the log has as many records as are wanted.
    fn fill(&self, prefix: &str, records: usize) -> Result<()> {
        let known = if self.data_dir().exists() { self.log()?.0 } else { 0 };
        let missing = records.saturating_sub(usize::try_from(known).unwrap_or(usize::MAX));
        if missing > 0 {
            let (server, _) = self.start()?;
            let filled = self.load(prefix, missing);
            stop(server)?;
            filled?;
        }
        Ok(())
    }

    fn load(&self, prefix: &str, requests: usize) -> Result<()> {
        let mut target = Target::new(&format!("http://{}", self.address), Registration::Open)?;
        mix::run(&mut target, prefix, &mix::Options { requests, users: USERS, rooms: ROOMS, seed: 1 })?;
        Ok(())
    }

    /// Starts the server; returns how long it took until it answered.
    fn start(&self) -> Result<(Child, Duration)> {
        let log = fs::File::create(self.dir.join("server.log"))?;
        let begin = Instant::now();
        let mut child = Command::new(&self.program)
            .args(["serve", "--config"])
            .arg(self.dir.join("bench.toml"))
            .stdout(log.try_clone()?)
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()?;
        while !self.answers() {
            if let Some(status) = child.try_wait()? {
                return Err(Error::Usage(format!(
                    "the server has ended with {status}: see server.log in the directory"
                )));
            }
            if begin.elapsed() > START_MAX {
                return Err(Error::Missing { what: "the first answer" });
            }
            thread::sleep(POLL);
        }
        Ok((child, begin.elapsed()))
    }

    fn answers(&self) -> bool {
        let response = Client::new(self.address).call("GET", "/_matrix/client/versions", None, None);
        response.is_ok_and(|response| response.status == 200)
    }

    /// Starts the server, lets it write, and kills it.
    fn kill_under_load(&self, prefix: &str) -> Result<()> {
        let (mut server, _) = self.start()?;
        thread::scope(|scope| {
            // Its end is the end of its connections: what it returns is an error.
            let load = scope.spawn(|| self.load(prefix, usize::MAX));
            thread::sleep(LOAD);
            let killed = server.kill().and_then(|()| server.wait());
            drop(load.join());
            killed
        })?;
        Ok(())
    }

    /// Measures starts, each after what `before` has done.
    fn measure(
        &self,
        scenario: &'static str,
        runs: usize,
        mut before: impl FnMut(usize) -> Result<()>,
    ) -> Result<Report> {
        let mut starts = Latencies::default();
        let mut longest = Duration::ZERO;
        for run in 0..runs {
            before(run)?;
            let (server, took) = self.start()?;
            stop(server)?;
            starts.add(took);
            longest = longest.max(took);
        }
        let (records, log_bytes) = self.log()?;
        let start_ms_max = longest.as_secs_f64() * 1000.0;
        Ok(Report { scenario, records, log_bytes, runs, start_ms_p50: starts.percentile_ms(50), start_ms_max })
    }

    /// Records and bytes of the log of the stopped server.
    fn log(&self) -> Result<(u64, u64)> {
        figures(&self.data_dir()).map_err(Error::Log)
    }
}

/// Stops a server in order.
fn stop(mut server: Child) -> Result<()> {
    let pid = i32::try_from(server.id()).ok().and_then(Pid::from_raw).ok_or(Error::Missing { what: "a process" })?;
    kill_process(pid, Signal::TERM).map_err(std::io::Error::from)?;
    let status = server.wait()?;
    if status.success() { Ok(()) } else { Err(Error::Usage(format!("the server has ended with {status}"))) }
}

fn figures(data_dir: &Path) -> std::result::Result<(u64, u64), String> {
    let storage = FsStorage::open(data_dir).map_err(|error| error.to_string())?;
    let log = EmbeddedLog::open_read_only(storage).map_err(|error| error.to_string())?;
    let stat = log.stat().map_err(|error| error.to_string())?;
    Ok((stat.records(), stat.bytes()))
}
