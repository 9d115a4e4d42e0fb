//! Many keep-alive connections on one thread: what to send next is the scenario's business.
//!
//! The generator shares the machine with the server that it measures, so it costs one `write` and one `read` per
//! exchange and one `epoll_wait` for as many as are ready.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::error::Result;
use crate::http::{Response, ResponseReader};

const EVENTS_PER_WAIT: usize = 256;
const READ_BYTES: usize = 256 * 1024;
/// A server that answers nothing for so long has failed.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// What a scenario does with its connections.
pub trait Scenario {
    /// Sends the first requests.
    fn start(&mut self, wire: &mut Wire) -> Result<()>;

    /// A response arrived on a connection, `latency` after its request began to be written.
    fn response(&mut self, wire: &mut Wire, connection: usize, response: Response, latency: Duration) -> Result<()>;

    /// The time asked for with [`Wire::wake_after`] has come.
    fn wake(&mut self, _wire: &mut Wire) -> Result<()> {
        Ok(())
    }
}

struct Connection {
    stream: TcpStream,
    reader: ResponseReader,
    sent_at: Instant,
    unsent: Vec<u8>,
    waiting: bool,
}

/// The connections of a run.
pub struct Wire {
    connections: Vec<Connection>,
    wake_at: Option<Instant>,
    stopped: bool,
}

impl Wire {
    /// The number of connections.
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Whether there is no connection.
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// Sends a request. The connection must have no request in flight.
    pub fn send(&mut self, connection: usize, request: &[u8]) -> Result<()> {
        let connection = &mut self.connections[connection];
        assert!(!connection.waiting, "one request in flight per connection");
        connection.waiting = true;
        connection.sent_at = Instant::now();
        connection.unsent.extend_from_slice(request);
        flush(connection)
    }

    /// Asks for [`Scenario::wake`] after a while.
    pub fn wake_after(&mut self, delay: Duration) {
        self.wake_at = Some(Instant::now() + delay);
    }

    /// Ends the run, whatever is still in flight.
    pub fn stop(&mut self) {
        self.stopped = true;
    }
}

fn flush(connection: &mut Connection) -> Result<()> {
    while !connection.unsent.is_empty() {
        match connection.stream.write(&connection.unsent) {
            Ok(count) => drop(connection.unsent.drain(..count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Opens `connections` connections and runs the scenario until it stops; returns how long it took.
pub fn run(address: SocketAddr, connections: usize, scenario: &mut impl Scenario) -> Result<Duration> {
    let mut poll = Poll::new()?;
    let mut wire = Wire { connections: Vec::with_capacity(connections), wake_at: None, stopped: false };
    for index in 0..connections {
        wire.connections.push(connect(address, &poll, index)?);
    }
    let mut events = Events::with_capacity(EVENTS_PER_WAIT);
    let mut scratch = vec![0; READ_BYTES];
    let begin = Instant::now();
    scenario.start(&mut wire)?;
    while !wire.stopped {
        let timeout = wire.wake_at.map_or(SILENCE_MAX, |at| at.saturating_duration_since(Instant::now()));
        match poll.poll(&mut events, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        }
        if wire.wake_at.is_some_and(|at| at <= Instant::now()) {
            wire.wake_at = None;
            scenario.wake(&mut wire)?;
        } else if events.is_empty() && wire.wake_at.is_none() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the server has fallen silent").into());
        }
        for event in &events {
            let index = event.token().0;
            if event.is_writable() {
                flush(&mut wire.connections[index])?;
            }
            if event.is_readable() {
                receive(&mut wire, index, &mut scratch, scenario)?;
            }
        }
    }
    Ok(begin.elapsed())
}

fn connect(address: SocketAddr, poll: &Poll, index: usize) -> Result<Connection> {
    let stream = std::net::TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    let mut stream = TcpStream::from_std(stream);
    poll.registry().register(&mut stream, Token(index), Interest::READABLE | Interest::WRITABLE)?;
    let reader = ResponseReader::default();
    Ok(Connection { stream, reader, sent_at: Instant::now(), unsent: Vec::new(), waiting: false })
}

/// Reads what has arrived. Readiness is edge-triggered, so a read that fills the buffer is followed by another.
fn receive(wire: &mut Wire, index: usize, scratch: &mut [u8], scenario: &mut impl Scenario) -> Result<()> {
    loop {
        let connection = &mut wire.connections[index];
        if !connection.waiting || wire.stopped {
            return Ok(());
        }
        let response = match connection.reader.read(&mut connection.stream, scratch) {
            Err(crate::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                return Ok(());
            }
            other => other?,
        };
        if let Some(response) = response {
            connection.waiting = false;
            let latency = connection.sent_at.elapsed();
            return scenario.response(wire, index, response, latency);
        }
    }
}
