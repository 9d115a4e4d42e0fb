//! Scenario `send`: messages through HTTP, each acknowledged before the connection sends its next one.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::engine::{self, Scenario, Wire};
use crate::error::Result;
use crate::http::{Response, encode, write_request};
use crate::stats::{Latencies, Probe, rate};
use crate::target::{Account, Target};

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Connections, each with one send in flight.
    pub concurrency: usize,
    /// Joined members of the room; connections take turns among them as senders.
    pub members: usize,
    /// How long to send.
    pub duration: Duration,
    /// How long to send before anything is counted.
    pub warm_up: Duration,
    /// Bytes of text in a message.
    pub body_bytes: usize,
}

/// What came out.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Which scenario.
    pub scenario: &'static str,
    /// Sends in flight.
    pub concurrency: usize,
    /// Members of the room.
    pub members: usize,
    /// Acknowledged sends.
    pub sends: usize,
    /// Acknowledged sends per second.
    pub sends_per_second: f64,
    /// Median time from the request to its response.
    pub latency_ms_p50: f64,
    /// The same, of the slowest hundredth.
    pub latency_ms_p99: f64,
    /// Processor time of the server per send.
    pub server_cpu_ms_per_send: Option<f64>,
    /// Growth of the data directory per message.
    pub disk_bytes_per_message: Option<f64>,
}

struct Sending {
    requests: Vec<Request>,
    latencies: Latencies,
    deadline: Instant,
    in_flight: usize,
}

/// The bytes of a connection's sends: all but the transaction ID stays the same.
struct Request {
    room: String,
    token: String,
    prefix: String,
    count: u64,
    body: Vec<u8>,
    bytes: Vec<u8>,
}

impl Request {
    fn next(&mut self) -> &[u8] {
        self.count += 1;
        let path = format!("{}{}{}", self.room, self.prefix, self.count);
        self.bytes.clear();
        write_request(&mut self.bytes, "PUT", &path, Some(&self.token), Some(&self.body));
        &self.bytes
    }
}

impl Scenario for Sending {
    fn start(&mut self, wire: &mut Wire) -> Result<()> {
        self.in_flight = wire.len();
        (0..wire.len()).try_for_each(|connection| wire.send(connection, self.requests[connection].next()))
    }

    fn response(&mut self, wire: &mut Wire, connection: usize, response: Response, latency: Duration) -> Result<()> {
        response.expect_ok("send")?;
        self.latencies.add(latency);
        if Instant::now() < self.deadline {
            return wire.send(connection, self.requests[connection].next());
        }
        self.in_flight -= 1;
        if self.in_flight == 0 {
            wire.stop();
        }
        Ok(())
    }
}

/// A room and its senders, kept from run to run.
pub struct Setup {
    room_id: String,
    accounts: Vec<Account>,
    runs: usize,
}

impl Setup {
    /// Registers the members and makes the room.
    pub fn new(target: &mut Target, prefix: &str, members: usize) -> Result<Self> {
        let accounts = target.register_many(prefix, members)?;
        let room_id = target.room(&accounts)?;
        Ok(Self { room_id, accounts, runs: 0 })
    }

    /// A room that does not exist and a sender without an account: enough for the baseline server.
    pub fn anonymous() -> Self {
        let nobody = "nobody".to_owned();
        let account = Account { user_id: nobody.clone(), device_id: nobody.clone(), token: nobody };
        Self { room_id: "!baseline".to_owned(), accounts: vec![account], runs: 0 }
    }

    /// Runs the scenario once.
    pub fn run(&mut self, target: &Target, probe: &Probe, options: &Options) -> Result<Report> {
        if !options.warm_up.is_zero() {
            self.send_for(target, options, options.warm_up)?;
        }
        let before = probe.usage()?;
        let (mut latencies, elapsed) = self.send_for(target, options, options.duration)?;
        let after = probe.usage()?;
        let sends = latencies.count();
        Ok(Report {
            scenario: "send",
            concurrency: options.concurrency,
            members: options.members,
            sends,
            sends_per_second: rate(sends, elapsed),
            latency_ms_p50: latencies.percentile_ms(50),
            latency_ms_p99: latencies.percentile_ms(99),
            server_cpu_ms_per_send: after.cpu_ms_per(&before, sends),
            disk_bytes_per_message: after.disk_bytes_per(&before, sends),
        })
    }

    fn send_for(&mut self, target: &Target, options: &Options, duration: Duration) -> Result<(Latencies, Duration)> {
        self.runs += 1;
        let requests =
            (0..options.concurrency).map(|connection| self.request(connection, options.body_bytes)).collect();
        let deadline = Instant::now() + duration;
        let mut sending = Sending { requests, latencies: Latencies::default(), deadline, in_flight: 0 };
        let elapsed = engine::run(target.address, options.concurrency, &mut sending)?;
        Ok((sending.latencies, elapsed))
    }

    fn request(&self, connection: usize, body_bytes: usize) -> Request {
        let account = &self.accounts[connection % self.accounts.len()];
        let text = "lorem ipsum ".chars().cycle().take(body_bytes).collect::<String>();
        Request {
            room: format!("/_matrix/client/v3/rooms/{}/send/m.room.message/", encode(&self.room_id)),
            token: account.token.clone(),
            prefix: format!("r{}c{connection}n", self.runs),
            count: 0,
            body: serde_json::json!({"msgtype": "m.text", "body": text}).to_string().into_bytes(),
            bytes: Vec::new(),
        }
    }
}
