//! A server process with a data directory of its own, stopped and checked when the test is over.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use engram_benches::http::{Client, resolve};
use engram_benches::target::{Registration, Target};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tempfile::TempDir;

use crate::binaries::binaries;
use crate::fresh;
use crate::reply::Reply;
use crate::user::User;
use crate::wait::eventually;

/// The secret of shared-secret registration on every server of the tests.
pub const SHARED_SECRET: &str = "a secret of the tests";

/// A homeserver on the loopback interface.
///
/// When it is dropped it is stopped, and the test fails if the log has a warning or an error that was not expected.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    process: Option<Process>,
}

struct Process {
    child: Option<Child>,
    arguments: Vec<OsString>,
    folder: TempDir,
    expected: Vec<&'static str>,
    /// What the server is to run under: a command and its arguments.
    launcher: Vec<OsString>,
    /// Fail points of the next start alone.
    failpoints: String,
}

impl Server {
    /// Starts a server on an empty data directory; returns once it accepts connections.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// Starts a server with more lines of configuration.
    pub fn start_with(configuration: &str) -> Self {
        if let Some(url) = external_url() {
            return Self { address: resolve(&url).expect("ENGRAM_TEST_URL is a URL"), process: None };
        }
        let mut server = Self::prepare(configuration);
        server.start_again();
        server
    }

    /// A server on an empty data directory that was never started.
    pub fn prepare(configuration: &str) -> Self {
        let (folder, address) = (temporary_folder(), free_address());
        let mut server = Self::described(address, folder, Vec::new());
        server.reconfigure(configuration);
        let file = server.process().folder.path().join("engram.toml");
        server.process_mut().arguments = vec!["--config".into(), file.into()];
        server
    }

    /// Starts a server as a newcomer does, without a configuration; only where it listens and keeps its data is said.
    pub fn start_without_configuration() -> Self {
        let (folder, address) = (temporary_folder(), free_address());
        let data_dir = folder.path().join("data");
        let listen = address.to_string();
        let arguments = vec!["--data-dir".into(), data_dir.into(), "--listen".into(), listen.into()];
        let mut server = Self::described(address, folder, arguments);
        server.start_again();
        server
    }

    fn described(address: SocketAddr, folder: TempDir, arguments: Vec<OsString>) -> Self {
        let process = Process {
            child: None,
            arguments,
            folder,
            expected: Vec::new(),
            launcher: Vec::new(),
            failpoints: String::new(),
        };
        Self { address, process: Some(process) }
    }

    /// The base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.process().folder.path().join("data")
    }

    /// The process that runs now.
    pub fn pid(&self) -> u32 {
        self.process().child.as_ref().expect("the server runs").id()
    }

    /// What the server has printed.
    pub fn log_text(&self) -> String {
        self.process().log_text()
    }

    /// Starts a second process with the same arguments, which is expected to end; its exit code and what it printed.
    pub fn start_a_second(&self) -> (Option<i32>, String) {
        let mut command = Command::new(&binaries().engram);
        let output = command.arg("serve").args(&self.process().arguments).env("NO_COLOR", "1").output();
        let output = output.expect("the server starts");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    }

    /// Accepts warnings and errors in the log that contain this text.
    pub fn expect_log(&mut self, text: &'static str) {
        if let Some(process) = &mut self.process {
            process.expected.push(text);
        }
    }

    /// Replaces the lines of configuration that the next start finds.
    pub fn reconfigure(&mut self, configuration: &str) {
        let address = self.address;
        let folder = self.process().folder.path();
        let text = configuration_of(address, folder, configuration);
        fs::write(folder.join("engram.toml"), text).expect("a file can be written");
    }

    /// Says what happens at which fail point once the server is started the next time, and only then.
    pub fn arm(&mut self, plan: &str) {
        plan.clone_into(&mut self.process_mut().failpoints);
    }

    /// Lets the server and the tools run under a command, which is given their program and arguments.
    pub fn run_under(&mut self, launcher: Vec<OsString>) {
        self.process_mut().launcher = launcher;
    }

    /// A program that runs where the server runs.
    pub fn beside(&self, program: &str) -> Command {
        self.process().launched(Path::new(program))
    }

    /// Starts the stopped server on its data directory.
    pub fn start_again(&mut self) {
        if let Err(status) = self.try_start() {
            panic!("the server ended at its start, {status}:\n{}", self.process().log_text());
        }
    }

    /// Starts the stopped server on its data directory; how it ended if it did before it accepted connections.
    pub fn try_start(&mut self) -> Result<(), ExitStatus> {
        let address = self.address;
        let process = self.process_mut();
        assert!(process.child.is_none(), "the server runs already");
        let log = OpenOptions::new().create(true).append(true).open(process.log()).expect("the log can be written");
        let child = process
            .command()
            .arg("serve")
            .args(&process.arguments)
            .env(engram_failpoints::VARIABLE, std::mem::take(&mut process.failpoints))
            .env("RUST_LOG", "info")
            .env("RUST_BACKTRACE", "1")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a descriptor can be duplicated"))
            .stderr(log)
            .spawn()
            .expect("the server starts");
        let child = process.child.insert(child);
        let started = eventually("the server accepts connections", || match child.try_wait() {
            Ok(Some(status)) => Some(Err(status)),
            _ => TcpStream::connect(address).ok().map(|_| Ok(())),
        });
        if started.is_err() {
            process.child = None;
        }
        started
    }

    /// Whether the server has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        let child = self.process_mut().child.as_mut().expect("the server was started");
        child.try_wait().expect("a child can be awaited").is_some()
    }

    /// Asks the server to stop, as an operator does, and waits until it has.
    pub fn stop(&mut self) -> ExitStatus {
        let process = self.process_mut();
        let mut child = process.child.take().expect("the server runs");
        if let Some(status) = child.try_wait().expect("a child can be awaited") {
            return status;
        }
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a process has an ID");
        kill_process(pid, Signal::INT).expect("a child can be signalled");
        eventually("the server stops", || child.try_wait().expect("a child can be awaited"))
    }

    /// Kills the server with SIGKILL and waits until it is gone.
    pub fn kill(&mut self) {
        let mut child = self.process_mut().child.take().expect("the server runs");
        // One that has ended by itself counts as killed.
        child.kill().and_then(|()| child.wait()).expect("a child can be killed");
    }

    /// Registers a user with a name that is new on this server.
    pub fn user(&self, name: &str) -> User {
        let localpart = fresh(name);
        let mut target = Target::new(&self.url(), Registration::Open).expect("the server's URL is valid");
        let account =
            target.register(&localpart).unwrap_or_else(|error| panic!("registration of {localpart}: {error}"));
        User::new(self.address, account)
    }

    /// A request without a token. The path begins with `/_`, or else below `/_matrix/client`.
    pub fn call(&self, method: &str, path: &str, body: &serde_json::Value) -> Reply {
        let path = crate::user::full_path(path);
        let body = Some(body).filter(|_| method != "GET");
        let response = Client::new(self.address).call(method, &path, None, body);
        Reply::new(format!("{method} {path}"), response.unwrap_or_else(|error| panic!("{method} {path}: {error}")))
    }

    /// A GET without a token.
    pub fn get(&self, path: &str) -> Reply {
        self.call("GET", path, &json!(null))
    }

    /// A tool's run on the data directory: exit code and output.
    pub fn engramctl(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self
            .process()
            .launched(&binaries().engramctl)
            .arg("--data-dir")
            .arg(self.data_dir())
            .args(arguments)
            .output()
            .expect("engramctl starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            eprintln!("engramctl {arguments:?}: {}\n{text}{}", output.status, String::from_utf8_lossy(&output.stderr));
        }
        (output.status.code(), text)
    }

    fn process(&self) -> &Process {
        self.process.as_ref().expect("this test needs a server of its own")
    }

    fn process_mut(&mut self) -> &mut Process {
        self.process.as_mut().expect("this test needs a server of its own")
    }
}

impl Process {
    /// The server's command, without its arguments.
    fn command(&self) -> Command {
        self.launched(&binaries().engram)
    }

    fn launched(&self, program: &Path) -> Command {
        let Some((launcher, arguments)) = self.launcher.split_first() else { return Command::new(program) };
        let mut command = Command::new(launcher);
        command.args(arguments).arg(program);
        command
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }

    fn log_text(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// Lines of the log that say that something is wrong, without those that the test expects.
    fn complaints(&self) -> Vec<String> {
        let text = self.log_text();
        let wrong = |line: &&str| [" WARN ", " ERROR ", "panicked at"].iter().any(|mark| line.contains(mark));
        let unexpected = |line: &&str| !self.expected.iter().any(|text| line.contains(text));
        text.lines().filter(wrong).filter(unexpected).map(str::to_owned).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(process) = &self.process else { return };
        if std::thread::panicking() {
            eprintln!("--- log of the server ---\n{}", process.log_text());
            if process.child.is_some() {
                self.kill();
            }
            return;
        }
        if process.child.is_some() {
            let status = self.stop();
            assert!(status.success(), "the server did not stop cleanly: {status}");
        }
        let complaints = self.process().complaints();
        assert!(complaints.is_empty(), "unexpected lines in the server's log:\n{}", complaints.join("\n"));
    }
}

/// The homeserver to test instead of Engram, if there is one.
pub fn external_url() -> Option<String> {
    std::env::var("ENGRAM_TEST_URL").ok()
}

fn temporary_folder() -> TempDir {
    tempfile::Builder::new().prefix("engram-test-").tempdir().expect("a temporary folder")
}

/// An address that was free a moment ago.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
    listener.local_addr().expect("a bound socket has an address")
}

fn configuration_of(address: SocketAddr, folder: &Path, more: &str) -> String {
    let data_dir = folder.join("data");
    format!(
        r#"server_name = "{address}"
data_dir = "{}"
default_room_version = "11"
registration.open = true
registration.shared_secret = "{SHARED_SECRET}"
password_hash.cost = "minimal"
{more}
[[listener]]
bind = "{address}"
"#,
        data_dir.display()
    )
}
