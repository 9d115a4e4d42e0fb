//! A reader who follows by /sync across all crashes, and the comparison of what it saw with the history.

use std::collections::{BTreeMap, BTreeSet};
use std::thread::{self, JoinHandle};

use engram_benches::http::encode;
use engram_tests::user::{next_batch, timeline};
use engram_tests::{User, eventually};
use serde_json::Value;

use super::writers::{Message, Written};

/// Events of a room in an order, by ID.
type Seen = BTreeMap<String, Vec<String>>;

/// What a room's history has since the last check: event IDs and events.
pub(super) type Histories = BTreeMap<String, Vec<(String, Value)>>;

/// A reader with a position, which survives the server.
pub(super) struct Reader {
    /// The user.
    pub(super) user: User,
    following: Following,
    /// A second position, taken right after an ephemeral event, with what had been seen when it was taken.
    second: Option<String>,
    /// The last event of each room that is known to be in order.
    checked: BTreeMap<String, String>,
}

/// A position and what has been seen up to it since the last check.
#[derive(Clone)]
pub(super) struct Following {
    since: String,
    seen: Seen,
}

impl Reader {
    pub(super) fn new(user: User, rooms: &[String]) -> Self {
        let first = user.sync("", "");
        let last = |room: &String| {
            let event = timeline(&first, room).last().expect("a room has events");
            event["event_id"].as_str().expect("an event has an ID").to_owned()
        };
        let checked = rooms.iter().map(|room| (room.clone(), last(room))).collect();
        Self { user, following: Following { since: next_batch(&first), seen: Seen::new() }, second: None, checked }
    }

    /// Syncs on a thread until the connection breaks.
    pub(super) fn follow_in_background(&self) -> JoinHandle<Following> {
        let user = self.user.clone();
        let mut following = self.following.clone();
        thread::spawn(move || {
            while following.step(&user, 1000).is_some() {}
            following
        })
    }

    /// Takes the position over from the thread.
    pub(super) fn take_back(&mut self, reading: JoinHandle<Following>, second: Option<String>) {
        self.following = reading.join().expect("a reader meets only the crash");
        self.second = second;
    }

    /// Reads on from the old tokens until `last` has arrived in each room; the histories, which both have to agree
    /// with.
    pub(super) fn catch_up(&mut self, last: &[(String, String)]) -> Histories {
        let arrived = |seen: &Seen| last.iter().all(|(room, id)| seen.get(room).is_some_and(|ids| ids.contains(id)));
        let mut following = self.following.clone();
        eventually("the reader sees the last events", || {
            following.step(&self.user, 1000).expect("the server runs");
            Some(()).filter(|()| arrived(&following.seen))
        });
        let histories: Histories =
            self.checked.iter().map(|(room, after)| (room.clone(), history_after(&self.user, room, after))).collect();
        for (room, history) in &histories {
            let ids: Vec<&String> = history.iter().map(|(id, _)| id).collect();
            let seen: Vec<&String> = following.seen.get(room).into_iter().flatten().collect();
            assert_eq!(seen, ids, "/sync and /messages of {room} differ");
        }
        if let Some(since) = self.second.take() {
            let mut second = Following { since, seen: Seen::new() };
            eventually("the second position sees the last events", || {
                second.step(&self.user, 1000).expect("the server runs");
                Some(()).filter(|()| arrived(&second.seen))
            });
            for (room, seen) in &second.seen {
                let ids: Vec<&String> = histories[room].iter().map(|(id, _)| id).collect();
                let seen: Vec<&String> = seen.iter().collect();
                assert!(ids.ends_with(&seen), "from a token after an ephemeral event: {seen:?} of {ids:?}");
            }
        }
        for (room, history) in &histories {
            let newest = history.last().expect("a round has events").0.clone();
            self.checked.insert(room.clone(), newest);
        }
        self.following = Following { since: following.since, seen: Seen::new() };
        histories
    }
}

impl Following {
    /// One sync; none when the server is gone.
    fn step(&mut self, user: &User, timeout_ms: u32) -> Option<()> {
        let path = format!("/v3/sync?timeout={timeout_ms}&since={}", encode(&self.since));
        let sync = user.try_call("GET", &path, None).ok()?.ok();
        let mut news = Seen::new();
        for (room, joined) in sync["rooms"]["join"].as_object().into_iter().flatten() {
            let mut events: Vec<String> = timeline(&sync, room).iter().map(id_of).collect();
            if joined["timeline"]["limited"] == true {
                let gap = fill_gap(user, room, joined["timeline"]["prev_batch"].as_str()?, &self.since)?;
                events.splice(0..0, gap);
            }
            news.insert(room.clone(), events);
        }
        // Only now: a kill while gaps were filled leaves the position where it was, and all of this comes again.
        for (room, events) in news {
            self.seen.entry(room).or_default().extend(events);
        }
        self.since = next_batch(&sync);
        Some(())
    }
}

fn id_of(event: &Value) -> String {
    event["event_id"].as_str().expect("an event has an ID").to_owned()
}

/// The events between a sync's `since` and its `prev_batch`, oldest first; none when the server is gone.
fn fill_gap(user: &User, room: &str, prev_batch: &str, since: &str) -> Option<Vec<String>> {
    let mut events = Vec::new();
    let mut from = prev_batch.to_owned();
    loop {
        let query = format!("dir=b&limit=100&from={}&to={}", encode(&from), encode(since));
        let path = format!("/v3/rooms/{}/messages?{query}", encode(room));
        let page = user.try_call("GET", &path, None).ok()?.ok();
        let chunk = page["chunk"].as_array().expect("a chunk");
        events.extend(chunk.iter().map(id_of));
        match page["end"].as_str() {
            Some(end) if !chunk.is_empty() => end.clone_into(&mut from),
            _ => break,
        }
    }
    events.reverse();
    Some(events)
}

/// The history of a room after an event, oldest first.
fn history_after(user: &User, room: &str, after: &str) -> Vec<(String, Value)> {
    let mut events = Vec::new();
    let mut from = String::new();
    loop {
        let page = user.room_get(room, &format!("/messages?dir=b&limit=100{from}")).ok();
        for event in page["chunk"].as_array().expect("a chunk") {
            let id = id_of(event);
            if id == after {
                events.reverse();
                return events;
            }
            events.push((id, event.clone()));
        }
        let end = page["end"].as_str().unwrap_or_else(|| panic!("{after} is not in the history of {room}"));
        from = format!("&from={}", encode(end));
    }
}

/// Holds a writer's promises against the histories of the round.
pub(super) fn check_histories(histories: &Histories, written: &Written, retried: &[(Message, String)]) {
    for (room, history) in histories {
        let texts: BTreeMap<&str, &String> =
            history.iter().filter_map(|(id, event)| Some((event["content"]["body"].as_str()?, id))).collect();
        let messages = history.iter().filter(|(_, event)| event["type"] == "m.room.message").count();
        assert_eq!(texts.len(), messages, "a message is in the history twice");
        let ids: BTreeSet<&String> = history.iter().map(|(id, _)| id).collect();
        assert_eq!(ids.len(), history.len(), "an event is in the history twice");
        for (message, event_id) in written.sent.iter().chain(retried).filter(|(message, _)| message.room == *room) {
            assert_eq!(texts.get(message.text.as_str()), Some(&event_id), "{} was acknowledged", message.text);
        }
        let order: Vec<usize> = written
            .sent
            .iter()
            .filter(|(message, _)| message.room == *room)
            .filter_map(|(_, event_id)| history.iter().position(|(id, _)| id == event_id))
            .collect();
        assert!(order.is_sorted(), "messages of one sender have changed places");
        if let Some(count) = written.state.get(room) {
            let set = history.iter().filter_map(|(_, event)| event["content"]["count"].as_u64());
            assert!(set.max() >= Some(*count), "state that was acknowledged is gone: {count}");
        }
    }
}
