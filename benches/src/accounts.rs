//! Scenario `register` and its kin: what each account or device does by itself, so that a server can share syncs among
//! all who ask at once.

use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde::Serialize;
use serde_json::{Value, json};

use crate::engine::{self, Scenario, Wire};
use crate::error::{Error, Result};
use crate::http::{Response, encode, write_request};
use crate::stats::{Latencies, Probe, rate};
use crate::target::{Account, PASSWORD, Target};

/// What is asked for again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// New accounts with a password and a first session. Registration has to be open.
    Register,
    /// New sessions of devices that exist.
    Login,
    /// Uploads of a fallback key, each in the place of the last: of one-time keys a device may only have so many.
    Keys,
    /// A message to one device of another account.
    ToDevice,
}

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// What is asked for.
    pub kind: Kind,
    /// Connections, each with one request in flight, and all but for `register` with an account of its own.
    pub concurrency: usize,
    /// How long to ask.
    pub duration: Duration,
    /// How long to ask before anything is counted.
    pub warm_up: Duration,
}

/// What came out.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Which scenario.
    pub scenario: &'static str,
    /// Requests in flight.
    pub concurrency: usize,
    /// Accepted requests.
    pub requests: usize,
    /// Accepted requests per second.
    pub requests_per_second: f64,
    /// Median time from the request to its response.
    pub latency_ms_p50: f64,
    /// The same, of the slowest hundredth.
    pub latency_ms_p99: f64,
    /// Processor time of the server per request.
    pub server_cpu_ms_per_request: Option<f64>,
    /// Growth of the data directory per request.
    pub disk_bytes_per_request: Option<f64>,
}

struct Asking<'a> {
    kind: Kind,
    prefix: String,
    accounts: &'a [Account],
    asked: Vec<u64>,
    latencies: Latencies,
    deadline: Instant,
    in_flight: usize,
}

impl Asking<'_> {
    fn request(&mut self, connection: usize) -> Vec<u8> {
        self.asked[connection] += 1;
        let name = format!("{}c{connection}n{}", self.prefix, self.asked[connection]);
        let account = self.accounts.get(connection);
        let (method, path, body) = match (self.kind, account) {
            (Kind::Login, Some(account)) => login(account),
            (Kind::Keys, Some(_)) => keys(&name),
            (Kind::ToDevice, Some(_)) => {
                let receiver = &self.accounts[(connection + 1) % self.accounts.len()];
                to_device(receiver, &name)
            }
            _ => register(&name),
        };
        let mut bytes = Vec::new();
        let token = account.map(|account| account.token.as_str()).filter(|_| self.kind != Kind::Login);
        write_request(&mut bytes, method, &path, token, Some(body.to_string().as_bytes()));
        bytes
    }
}

type Request = (&'static str, String, Value);

fn register(localpart: &str) -> Request {
    let body = json!({ "username": localpart, "password": PASSWORD, "auth": { "type": "m.login.dummy" } });
    ("POST", "/_matrix/client/v3/register".to_owned(), body)
}

/// Each as another device, so that no session that is still used ends.
fn login(account: &Account) -> Request {
    let identifier = json!({ "type": "m.id.user", "user": account.user_id });
    let body = json!({
        "type": "m.login.password", "identifier": identifier, "password": PASSWORD, "device_id": "BENCH",
    });
    ("POST", "/_matrix/client/v3/login".to_owned(), body)
}

fn keys(name: &str) -> Request {
    let key = json!({ "key": "zKbLg+NrIjpnagy+pIY6uPL4ZwEG2v+8F9lmgsnlZzs" });
    let body = json!({ "fallback_keys": { format!("signed_curve25519:{name}"): key } });
    ("POST", "/_matrix/client/v3/keys/upload".to_owned(), body)
}

fn to_device(receiver: &Account, transaction_id: &str) -> Request {
    let path = format!("/_matrix/client/v3/sendToDevice/m.bench/{}", encode(transaction_id));
    let content = json!({ "text": "lorem ipsum dolor sit amet" });
    let by_device = json!({ receiver.device_id.as_str(): content });
    ("PUT", path, json!({ "messages": { receiver.user_id.as_str(): by_device } }))
}

impl Scenario for Asking<'_> {
    fn start(&mut self, wire: &mut Wire) -> Result<()> {
        self.in_flight = wire.len();
        for connection in 0..wire.len() {
            let request = self.request(connection);
            wire.send(connection, &request)?;
        }
        Ok(())
    }

    fn response(&mut self, wire: &mut Wire, connection: usize, response: Response, latency: Duration) -> Result<()> {
        response.expect_ok("a request of the scenario")?;
        self.latencies.add(latency);
        if Instant::now() < self.deadline {
            let request = self.request(connection);
            return wire.send(connection, &request);
        }
        self.in_flight -= 1;
        if self.in_flight == 0 {
            wire.stop();
        }
        Ok(())
    }
}

/// Runs the scenario once.
pub fn run(target: &mut Target, probe: &Probe, prefix: &str, options: &Options) -> Result<Report> {
    if options.concurrency == 0 {
        return Err(Error::Usage("without a connection nothing is asked for".to_owned()));
    }
    let accounts = match options.kind {
        Kind::Register => Vec::new(),
        _ => target.register_many(&format!("{prefix}a"), options.concurrency)?,
    };
    if !options.warm_up.is_zero() {
        ask(target, &accounts, &format!("{prefix}w"), options, options.warm_up)?;
    }
    let before = probe.usage()?;
    let (mut latencies, elapsed) = ask(target, &accounts, prefix, options, options.duration)?;
    let after = probe.usage()?;
    let requests = latencies.count();
    Ok(Report {
        scenario: match options.kind {
            Kind::Register => "register",
            Kind::Login => "login",
            Kind::Keys => "keys",
            Kind::ToDevice => "to-device",
        },
        concurrency: options.concurrency,
        requests,
        requests_per_second: rate(requests, elapsed),
        latency_ms_p50: latencies.percentile_ms(50),
        latency_ms_p99: latencies.percentile_ms(99),
        server_cpu_ms_per_request: after.cpu_ms_per(&before, requests),
        disk_bytes_per_request: after.disk_bytes_per(&before, requests),
    })
}

fn ask(
    target: &Target,
    accounts: &[Account],
    prefix: &str,
    options: &Options,
    duration: Duration,
) -> Result<(Latencies, Duration)> {
    let mut asking = Asking {
        kind: options.kind,
        prefix: prefix.to_owned(),
        accounts,
        asked: vec![0; options.concurrency],
        latencies: Latencies::default(),
        deadline: Instant::now() + duration,
        in_flight: 0,
    };
    let elapsed = engine::run(target.address, options.concurrency, &mut asking)?;
    Ok((asking.latencies, elapsed))
}
