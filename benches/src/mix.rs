//! Scenario `mix`: every kind of write that a client makes, in fixed proportions, reproducible from a seed.
//!
//! It fills a log with mixed records: what the views are rebuilt from in tests and in the `replay` benchmark.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use crate::engine::{self, Scenario, Wire};
use crate::error::{Error, Result};
use crate::http::{Response, encode, write_request};
use crate::stats::{Latencies, rate};
use crate::target::{Account, Target};

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Accepted requests, all together.
    pub requests: usize,
    /// Users, each with one connection.
    pub users: usize,
    /// Rooms; every user is a member of each.
    pub rooms: usize,
    /// Where the sequence of requests begins.
    pub seed: u64,
}

/// What came out.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Which scenario.
    pub scenario: &'static str,
    /// Accepted requests.
    pub requests: usize,
    /// Accepted requests per second.
    pub requests_per_second: f64,
    /// Median time from the request to its response.
    pub latency_ms_p50: f64,
    /// The same, of the slowest hundredth.
    pub latency_ms_p99: f64,
}

/// One kind of request, with how many of a hundred are of it.
#[derive(Clone, Copy)]
enum Operation {
    Message,
    Redact,
    State,
    LeaveAndRejoin,
    Receipt,
    RoomAccountData,
    AccountData,
    Typing,
    ToDevice,
    Keys,
    Filter,
    DisplayName,
}

const PROPORTIONS: [(Operation, u64); 12] = [
    (Operation::Message, 55),
    (Operation::Redact, 4),
    (Operation::State, 8),
    (Operation::LeaveAndRejoin, 2),
    (Operation::Receipt, 8),
    (Operation::RoomAccountData, 5),
    (Operation::AccountData, 3),
    (Operation::Typing, 5),
    (Operation::ToDevice, 5),
    (Operation::Keys, 2),
    (Operation::Filter, 2),
    (Operation::DisplayName, 1),
];

/// xorshift64*: enough to shuffle requests, and the same on every machine.
struct Sequence(u64);

impl Sequence {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }

    fn operation(&mut self) -> Operation {
        let mut point = self.below(PROPORTIONS.iter().map(|(_, share)| share).sum());
        for (operation, share) in PROPORTIONS {
            if point < share {
                return operation;
            }
            point -= share;
        }
        Operation::Message
    }
}

struct User {
    account: Account,
    sequence: Sequence,
    count: u64,
    /// The last message of this user that is not redacted yet.
    message: Option<(usize, String)>,
    /// The room that the request in flight has left, or sent a message to.
    awaiting: Awaiting,
}

enum Awaiting {
    Nothing,
    EventId { room: usize },
    Left { room: usize },
}

/// A request in parts.
type Parts = (&'static str, String, Value);

impl User {
    fn next(&mut self, rooms: &[String], everybody: &[Account]) -> Parts {
        if let Awaiting::Left { room } = std::mem::replace(&mut self.awaiting, Awaiting::Nothing) {
            return ("POST", format!("/_matrix/client/v3/rooms/{}/join", rooms[room]), json!({}));
        }
        self.count += 1;
        let operation = self.sequence.operation();
        let room = usize::try_from(self.sequence.below(rooms.len() as u64)).unwrap_or(0);
        self.room_request(operation, room, &rooms[room]).unwrap_or_else(|| self.user_request(operation, everybody))
    }

    fn room_request(&mut self, operation: Operation, room: usize, room_id: &str) -> Option<Parts> {
        let count = self.count;
        let user = encode(&self.account.user_id);
        let base = format!("/_matrix/client/v3/rooms/{room_id}");
        Some(match (operation, &self.message) {
            (Operation::Redact, Some((in_room, event_id))) if *in_room == room => {
                let path = format!("{base}/redact/{}/x{count}", encode(event_id));
                self.message = None;
                ("PUT", path, json!({"reason": "benchmark"}))
            }
            (Operation::Receipt, Some((in_room, event_id))) if *in_room == room => {
                ("POST", format!("{base}/receipt/m.read/{}", encode(event_id)), json!({}))
            }
            (Operation::State, _) => ("PUT", format!("{base}/state/org.example.note/{user}"), json!({"count": count})),
            (Operation::LeaveAndRejoin, _) => {
                self.awaiting = Awaiting::Left { room };
                self.message = None;
                ("POST", format!("{base}/leave"), json!({}))
            }
            (Operation::RoomAccountData, _) => {
                let path = format!("/_matrix/client/v3/user/{user}/rooms/{room_id}/account_data/org.example.place");
                ("PUT", path, json!({"count": count}))
            }
            (Operation::Typing, _) => {
                let body = if count.is_multiple_of(2) {
                    json!({"typing": false})
                } else {
                    json!({"typing": true, "timeout": 2000})
                };
                ("PUT", format!("{base}/typing/{user}"), body)
            }
            (Operation::Message | Operation::Redact | Operation::Receipt, _) => {
                self.awaiting = Awaiting::EventId { room };
                let body = json!({"msgtype": "m.text", "body": format!("message {count} of many, in a room of some")});
                ("PUT", format!("{base}/send/m.room.message/m{count}"), body)
            }
            _ => return None,
        })
    }

    fn user_request(&mut self, operation: Operation, everybody: &[Account]) -> Parts {
        let count = self.count;
        let user = encode(&self.account.user_id);
        match operation {
            Operation::ToDevice => {
                let other = &everybody[usize::try_from(self.sequence.below(everybody.len() as u64)).unwrap_or(0)];
                let body = json!({"messages": {&other.user_id: {&other.device_id: {"count": count}}}});
                ("PUT", format!("/_matrix/client/v3/sendToDevice/org.example.note/t{count}"), body)
            }
            Operation::Keys => {
                let key_id = format!("curve25519:K{count}");
                let body = json!({"one_time_keys": {key_id: "qPZVK4h2Kpo1eBG9XZPf3YQJq6l9x0WmNk7c2fRr1Aw"}});
                ("POST", "/_matrix/client/v3/keys/upload".to_owned(), body)
            }
            Operation::Filter => {
                let body = json!({"room": {"timeline": {"limit": 10 + count % 50}}});
                ("POST", format!("/_matrix/client/v3/user/{user}/filter"), body)
            }
            Operation::DisplayName => {
                let path = format!("/_matrix/client/v3/profile/{user}/displayname");
                ("PUT", path, json!({"displayname": format!("Name {count}")}))
            }
            _ => {
                let path = format!("/_matrix/client/v3/user/{user}/account_data/org.example.setting{}", count % 7);
                ("PUT", path, json!({"count": count}))
            }
        }
    }

    fn take_answer(&mut self, response: &Response) -> Result<()> {
        if let Awaiting::EventId { room } = self.awaiting {
            let event_id = response.json()["event_id"].as_str().map(str::to_owned);
            self.message = Some((room, event_id.ok_or(Error::Missing { what: "event_id" })?));
            self.awaiting = Awaiting::Nothing;
        }
        Ok(())
    }
}

struct Mixing {
    users: Vec<User>,
    everybody: Vec<Account>,
    rooms: Vec<String>,
    requests_max: usize,
    begun: usize,
    in_flight: usize,
    latencies: Latencies,
}

impl Mixing {
    fn send(&mut self, wire: &mut Wire, connection: usize) -> Result<()> {
        self.begun += 1;
        self.in_flight += 1;
        let user = &mut self.users[connection];
        let (method, path, body) = user.next(&self.rooms, &self.everybody);
        let mut request = Vec::new();
        write_request(&mut request, method, &path, Some(&user.account.token), Some(body.to_string().as_bytes()));
        wire.send(connection, &request)
    }
}

impl Scenario for Mixing {
    fn start(&mut self, wire: &mut Wire) -> Result<()> {
        (0..wire.len()).try_for_each(|connection| self.send(wire, connection))
    }

    fn response(&mut self, wire: &mut Wire, connection: usize, response: Response, latency: Duration) -> Result<()> {
        self.in_flight -= 1;
        let response = response.expect_ok("mixed request")?;
        self.latencies.add(latency);
        self.users[connection].take_answer(&response)?;
        if self.begun < self.requests_max {
            self.send(wire, connection)?;
        } else if self.in_flight == 0 {
            wire.stop();
        }
        Ok(())
    }
}

/// Registers the users, makes the rooms, and runs the scenario.
pub fn run(target: &mut Target, prefix: &str, options: &Options) -> Result<Report> {
    let everybody = target.register_many(prefix, options.users)?;
    let rooms = (0..options.rooms).map(|_| open_room(target, &everybody)).collect::<Result<Vec<_>>>()?;
    let users = everybody.iter().zip(1..).map(|(account, index)| User {
        account: account.clone(),
        sequence: Sequence((options.seed ^ 0x9E37_79B9_7F4A_7C15).wrapping_mul(2 * index + 1) | 1),
        count: 0,
        message: None,
        awaiting: Awaiting::Nothing,
    });
    let users = users.collect();
    let latencies = Latencies::default();
    let mut mixing =
        Mixing { users, everybody, rooms, requests_max: options.requests, begun: 0, in_flight: 0, latencies };
    let elapsed = engine::run(target.address, options.users, &mut mixing)?;
    let mut latencies = mixing.latencies;
    Ok(Report {
        scenario: "mix",
        requests: latencies.count(),
        requests_per_second: rate(latencies.count(), elapsed),
        latency_ms_p50: latencies.percentile_ms(50),
        latency_ms_p99: latencies.percentile_ms(99),
    })
}

/// A room in which everybody may do everything; its ID, encoded for paths.
fn open_room(target: &mut Target, members: &[Account]) -> Result<String> {
    let body = json!({
        "preset": "public_chat",
        "power_level_content_override": {"state_default": 0, "redact": 0},
    });
    let room = target.call("POST", "/_matrix/client/v3/createRoom", &members[0].token, &body)?;
    let room_id = encode(room["room_id"].as_str().ok_or(Error::Missing { what: "room_id" })?);
    for member in &members[1..] {
        target.call("POST", &format!("/_matrix/client/v3/rooms/{room_id}/join"), &member.token, &json!({}))?;
    }
    Ok(room_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proportions_are_percentages() {
        assert_eq!(PROPORTIONS.iter().map(|(_, share)| share).sum::<u64>(), 100);
    }

    #[test]
    fn the_sequence_is_reproducible_and_not_constant() {
        let draw = |seed| {
            let mut sequence = Sequence(seed);
            (0..50).map(|_| sequence.below(1000)).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(9));
    }
}
