//! Scenario `beside`: what others notice of many who read the whole state of a large room at once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::json;

use crate::error::Result;
use crate::http::{Client, encode};
use crate::stats::{Latencies, rate};
use crate::target::{Account, Target};

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// State events of the room that is read.
    pub entries: usize,
    /// Connections that read it, each again and again.
    pub readers: usize,
    /// How long to measure, alone and beside them.
    pub duration: Duration,
}

/// What came out: latencies of one user who sends messages and another who asks who they are, one request at a time
/// each.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Which scenario.
    pub scenario: &'static str,
    /// Connections that read.
    pub readers: usize,
    /// State events that each of them is answered.
    pub entries: usize,
    /// States read per second.
    pub reads_per_second: f64,
    /// Median time of a send.
    pub send_ms_p50: f64,
    /// The same, of the slowest hundredth.
    pub send_ms_p99: f64,
    /// Median time of a whoami.
    pub whoami_ms_p50: f64,
    /// The same, of the slowest hundredth.
    pub whoami_ms_p99: f64,
}

/// A large room with the one who reads it, and two who have nothing to do with it.
struct Setup {
    reader: Account,
    large_room: String,
    sender: Account,
    room: String,
    asker: Account,
}

/// Measures alone first, then beside the readers.
pub fn run(target: &mut Target, prefix: &str, options: &Options, mut report: impl FnMut(&Report)) -> Result<()> {
    let setup = Setup::new(target, prefix, options.entries)?;
    for readers in [0, options.readers] {
        report(&setup.measure(target, readers, options)?);
    }
    Ok(())
}

impl Setup {
    fn new(target: &mut Target, prefix: &str, entries: usize) -> Result<Self> {
        let reader = target.register(&format!("{prefix}reader"))?;
        let sender = target.register(&format!("{prefix}sender"))?;
        let asker = target.register(&format!("{prefix}asker"))?;
        let large_room = target.room(std::slice::from_ref(&reader))?;
        for entry in 0..entries {
            let path = format!("/_matrix/client/v3/rooms/{}/state/m.bench/{entry}", encode(&large_room));
            target.call("PUT", &path, &reader.token, &json!({ "text": "lorem ipsum dolor sit amet" }))?;
        }
        let room = target.room(std::slice::from_ref(&sender))?;
        Ok(Self { reader, large_room, sender, room, asker })
    }

    fn measure(&self, target: &Target, readers: usize, options: &Options) -> Result<Report> {
        let (stopped, reads) = (AtomicBool::new(false), AtomicUsize::new(0));
        let begin = Instant::now();
        let deadline = begin + options.duration;
        let path = format!("/_matrix/client/v3/rooms/{}/state", encode(&self.large_room));
        thread::scope(|scope| {
            let read = || {
                let mut client = Client::new(target.address);
                while !stopped.load(Ordering::Relaxed) {
                    // Whoever is told to come back comes back: that is what readers do.
                    if client.call("GET", &path, Some(&self.reader.token), None)?.status == 200 {
                        reads.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Ok(())
            };
            let reading: Vec<_> = (0..readers).map(|_| scope.spawn(read)).collect();
            let sending = scope.spawn(|| self.send(target, readers, deadline));
            let asking = scope.spawn(|| self.ask(target, deadline));
            let outcome = (sending.join(), asking.join());
            stopped.store(true, Ordering::Relaxed);
            let elapsed = begin.elapsed();
            let ended: Vec<Result<()>> = reading.into_iter().map(joined).collect();
            ended.into_iter().collect::<Result<()>>()?;
            let (mut sends, mut asks) = (outcome.0.expect("no panic")?, outcome.1.expect("no panic")?);
            Ok(Report {
                scenario: "beside",
                readers,
                entries: options.entries,
                reads_per_second: rate(reads.load(Ordering::Relaxed), elapsed),
                send_ms_p50: sends.percentile_ms(50),
                send_ms_p99: sends.percentile_ms(99),
                whoami_ms_p50: asks.percentile_ms(50),
                whoami_ms_p99: asks.percentile_ms(99),
            })
        })
    }

    fn send(&self, target: &Target, run: usize, deadline: Instant) -> Result<Latencies> {
        let prefix = format!("/_matrix/client/v3/rooms/{}/send/m.room.message/r{run}n", encode(&self.room));
        let body = json!({ "msgtype": "m.text", "body": "lorem ipsum dolor sit amet" });
        timed(target, deadline, |client, count| {
            client
                .call("PUT", &format!("{prefix}{count}"), Some(&self.sender.token), Some(&body))?
                .expect_ok("send")?;
            Ok(())
        })
    }

    fn ask(&self, target: &Target, deadline: Instant) -> Result<Latencies> {
        timed(target, deadline, |client, _| {
            let path = "/_matrix/client/v3/account/whoami";
            client.call("GET", path, Some(&self.asker.token), None)?.expect_ok("whoami")?;
            Ok(())
        })
    }
}

fn joined(thread: thread::ScopedJoinHandle<'_, Result<()>>) -> Result<()> {
    thread.join().expect("no panic")
}

/// One request after the other until the deadline.
fn timed(
    target: &Target,
    deadline: Instant,
    mut request: impl FnMut(&mut Client, usize) -> Result<()>,
) -> Result<Latencies> {
    let (mut client, mut latencies) = (Client::new(target.address), Latencies::default());
    for count in 0.. {
        let begin = Instant::now();
        if begin >= deadline {
            break;
        }
        request(&mut client, count)?;
        latencies.add(begin.elapsed());
    }
    Ok(latencies)
}
