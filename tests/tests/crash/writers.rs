//! Those who write until the server is gone, and remember what they were promised.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use engram_benches::http::encode;
use engram_tests::{Reply, User};
use serde_json::{Value, json};

/// One message of a writer.
#[derive(Clone, Debug)]
pub(super) struct Message {
    /// The room.
    pub(super) room: String,
    /// The text, which is also the transaction ID: no two messages have the same.
    pub(super) text: String,
}

impl Message {
    fn send(&self, user: &User) -> Option<String> {
        let path = format!("/v3/rooms/{}/send/m.room.message/{}", encode(&self.room), self.text);
        let body = json!({"msgtype": "m.text", "body": self.text});
        Some(acknowledged(user.try_call("PUT", &path, Some(&body)))?.string("event_id"))
    }
}

/// No answer at all is what a crash looks like, and 503 a server that stops because its disk has failed. Any other
/// answer has to be a success.
fn acknowledged(answer: Result<Reply, engram_benches::Error>) -> Option<Reply> {
    answer.ok().filter(|reply| reply.status != 503)
}

/// What a writer knows at the end of a round.
#[derive(Default)]
pub(super) struct Written {
    /// Acknowledged messages with their event IDs, in order.
    pub(super) sent: Vec<(Message, String)>,
    /// The message that was in flight at the crash.
    pub(super) in_flight: Option<Message>,
    /// The last acknowledged value of the writer's own state event, by room.
    pub(super) state: BTreeMap<String, u64>,
    /// Rooms that the writer created, by ID, with the name that each must have.
    pub(super) created: Vec<(String, String)>,
}

impl Written {
    /// How many promises were made.
    pub(super) fn acknowledged(&self) -> usize {
        self.sent.len() + self.state.len() + self.created.len()
    }
}

/// A user who writes.
pub(super) struct Writer {
    user: User,
    rooms: Vec<String>,
    name: String,
}

impl Writer {
    /// Its messages are named after the round and the writer.
    pub(super) fn new(user: User, rooms: &[String], name: String) -> Self {
        Self { user, rooms: rooms.to_vec(), name }
    }

    /// Writes until the connection breaks. One of the writers creates rooms too.
    pub(super) fn run(self, go_on: &AtomicBool, creates_rooms: bool) -> Written {
        let mut written = Written::default();
        for number in 0_u64.. {
            let room = self.rooms[usize::try_from(number).unwrap_or(0) % self.rooms.len()].clone();
            let done = match number % 8 {
                6 => self.set_state(&mut written, room, number),
                7 if creates_rooms => self.create_room(&mut written, number),
                _ => self.send(&mut written, Message { room, text: format!("m{}.{number}", self.name) }),
            };
            // An answer may have come before the kill to a writer that runs again only after it.
            if done.is_none() || !go_on.load(Ordering::Relaxed) {
                break;
            }
        }
        written
    }

    fn send(&self, written: &mut Written, message: Message) -> Option<()> {
        written.in_flight = Some(message.clone());
        let event_id = message.send(&self.user)?;
        written.in_flight = None;
        written.sent.push((message, event_id));
        Some(())
    }

    fn set_state(&self, written: &mut Written, room: String, number: u64) -> Option<()> {
        let path = format!("/v3/rooms/{}/state/org.example.count/{}", encode(&room), self.name);
        acknowledged(self.user.try_call("PUT", &path, Some(&json!({"count": number}))))?.ok();
        written.state.insert(room, number);
        Some(())
    }

    fn create_room(&self, written: &mut Written, number: u64) -> Option<()> {
        let name = format!("room {}.{number}", self.name);
        let body = json!({"name": name, "topic": "crash", "preset": "private_chat"});
        let reply = acknowledged(self.user.try_call("POST", "/v3/createRoom", Some(&body)))?;
        written.created.push((reply.string("room_id"), name));
        Some(())
    }
}

/// Checks one by one what a writer was promised.
pub(super) fn check_acknowledged(user: &User, written: &Written) {
    // All are looked for in the history later; the newest, which a crash would take first, also by themselves.
    for (message, event_id) in written.sent.iter().rev().take(20) {
        let event = user.room_get(&message.room, &format!("/event/{}", encode(event_id))).ok();
        assert_eq!(event["content"]["body"], message.text.as_str(), "{event_id}");
    }
    for (room, name) in &written.created {
        assert_eq!(user.state(room, "m.room.name", "").ok()["name"], name.as_str());
    }
    check_rooms_are_whole(user);
}

/// A room is there with everything that its creation consists of, also one whose creation was not acknowledged.
fn check_rooms_are_whole(user: &User) {
    let joined = user.get("/v3/joined_rooms").ok();
    let rooms: Vec<String> =
        joined["joined_rooms"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    // The newest are the last in no particular order; a sample that always has all of a short list.
    for room in rooms.iter().rev().take(50) {
        let state = user.room_get(room, "/state").ok();
        let types: Vec<&str> =
            state.as_array().into_iter().flatten().filter_map(|event| event["type"].as_str()).collect();
        for needed in
            ["m.room.create", "m.room.member", "m.room.power_levels", "m.room.join_rules", "m.room.history_visibility"]
        {
            assert!(types.contains(&needed), "{room} has no {needed}: {types:?}");
        }
    }
}

/// Sends again what was in flight; its event ID.
pub(super) fn retry(user: &User, written: &Written) -> Vec<(Message, String)> {
    let again = written.in_flight.iter();
    again.map(|message| (message.clone(), message.send(user).expect("the server runs again"))).collect()
}
