//! Scenarios `deliver` and `fanout`: from the start of a send to its arrival in the long polls of others.

use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::json;

use crate::engine::{self, Scenario, Wire};
use crate::error::{Error, Result};
use crate::http::{Response, encode, find, write_request};
use crate::stats::{Latencies, rate};
use crate::target::{Account, Target, next_batch};

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Users who wait in the room; the sender is another one.
    pub receivers: usize,
    /// Messages that are sent.
    pub messages: usize,
    /// Time between the last receiver's new poll and the next send: long enough for the poll to be waiting in the
    /// server when latency is measured, zero when the rate is.
    pub settle: Duration,
}

/// What came out.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Which scenario.
    pub scenario: &'static str,
    /// Users who wait.
    pub receivers: usize,
    /// Messages sent.
    pub messages: usize,
    /// Sync responses with a message in them, all receivers together.
    pub deliveries: usize,
    /// Deliveries per second; settling time is part of it.
    pub deliveries_per_second: f64,
    /// Median time from the start of a send to the arrival of the sync response.
    pub delivery_ms_p50: f64,
    /// The same, of the slowest hundredth.
    pub delivery_ms_p99: f64,
}

/// Connection 0 sends, the others poll.
struct Delivering<'a> {
    options: &'a Options,
    sender: &'a Account,
    receivers: &'a [Account],
    room: String,
    since: Vec<String>,
    received: Vec<bool>,
    pending: usize,
    acknowledged: bool,
    sent: usize,
    sent_at: Instant,
    latencies: Latencies,
}

impl Delivering<'_> {
    fn poll(&mut self, wire: &mut Wire, receiver: usize) -> Result<()> {
        let path = format!("/_matrix/client/v3/sync?timeout=30000&since={}", encode(&self.since[receiver]));
        let mut request = Vec::new();
        write_request(&mut request, "GET", &path, Some(&self.receivers[receiver].token), None);
        wire.send(receiver + 1, &request)
    }

    fn marker(&self) -> String {
        format!("benchmark message {};", self.sent)
    }

    fn send(&mut self, wire: &mut Wire) -> Result<()> {
        self.sent += 1;
        self.pending = self.receivers.len();
        self.received.fill(false);
        self.acknowledged = false;
        let path = format!("/_matrix/client/v3/rooms/{}/send/m.room.message/d{}", self.room, self.sent);
        let body = json!({"msgtype": "m.text", "body": self.marker()}).to_string();
        let mut request = Vec::new();
        write_request(&mut request, "PUT", &path, Some(&self.sender.token), Some(body.as_bytes()));
        self.sent_at = Instant::now();
        wire.send(0, &request)
    }

    /// Goes on when everybody has the message and the send itself is answered.
    fn next_round(&mut self, wire: &mut Wire) -> Result<()> {
        if self.pending > 0 || !self.acknowledged {
            return Ok(());
        }
        if self.sent == self.options.messages {
            wire.stop();
        } else if self.options.settle.is_zero() {
            self.send(wire)?;
        } else {
            wire.wake_after(self.options.settle);
        }
        Ok(())
    }
}

impl Scenario for Delivering<'_> {
    fn start(&mut self, wire: &mut Wire) -> Result<()> {
        (0..self.receivers.len()).try_for_each(|receiver| self.poll(wire, receiver))?;
        wire.wake_after(self.options.settle.max(Duration::from_millis(100)));
        Ok(())
    }

    fn wake(&mut self, wire: &mut Wire) -> Result<()> {
        self.send(wire)
    }

    fn response(&mut self, wire: &mut Wire, connection: usize, response: Response, _latency: Duration) -> Result<()> {
        let Some(receiver) = connection.checked_sub(1) else {
            response.expect_ok("send")?;
            self.acknowledged = true;
            return self.next_round(wire);
        };
        let arrived = self.sent_at.elapsed();
        let response = response.expect_ok("sync")?;
        self.since[receiver] = next_batch(&response.body).ok_or(Error::Missing { what: "next_batch" })?;
        let delivered = self.sent > 0 && find(&response.body, self.marker().as_bytes()).is_some();
        self.poll(wire, receiver)?;
        if delivered && !std::mem::replace(&mut self.received[receiver], true) {
            self.latencies.add(arrived);
            self.pending -= 1;
            self.next_round(wire)?;
        }
        Ok(())
    }
}

/// Registers a sender and the receivers, makes their room, and runs the scenario.
pub fn run(target: &mut Target, prefix: &str, scenario: &'static str, options: &Options) -> Result<Report> {
    let accounts = target.register_many(prefix, options.receivers + 1)?;
    let room_id = target.room(&accounts)?;
    let [sender, receivers @ ..] = accounts.as_slice() else {
        return Err(Error::Usage("there has to be a sender".to_owned()));
    };
    let since = receivers.iter().map(|receiver| target.sync_token(receiver)).collect::<Result<Vec<_>>>()?;
    let mut delivering = Delivering {
        options,
        sender,
        receivers,
        room: encode(&room_id),
        since,
        received: vec![false; receivers.len()],
        pending: 0,
        acknowledged: true,
        sent: 0,
        sent_at: Instant::now(),
        latencies: Latencies::default(),
    };
    let elapsed = engine::run(target.address, accounts.len(), &mut delivering)?;
    let mut latencies = delivering.latencies;
    Ok(Report {
        scenario,
        receivers: options.receivers,
        messages: options.messages,
        deliveries: latencies.count(),
        deliveries_per_second: rate(latencies.count(), elapsed),
        delivery_ms_p50: latencies.percentile_ms(50),
        delivery_ms_p99: latencies.percentile_ms(99),
    })
}
