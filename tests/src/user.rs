//! A user with one device: the requests that tests make most.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Instant;

use engram_benches::http::{Client, encode};
use engram_benches::target::Account;
use serde_json::{Value, json};

use crate::reply::Reply;
use crate::unique;
use crate::wait::DEADLINE;

/// The password of every user that is registered by the tests.
pub const PASSWORD: &str = "correct horse battery staple";

/// A logged-in device. A clone is the same device on a connection of its own.
pub struct User {
    /// The full user ID.
    pub id: String,
    /// The device.
    pub device: String,
    /// Its access token.
    pub token: String,
    address: SocketAddr,
    client: Mutex<Client>,
}

impl Clone for User {
    fn clone(&self) -> Self {
        let account = Account { user_id: self.id.clone(), device_id: self.device.clone(), token: self.token.clone() };
        Self::new(self.address, account)
    }
}

impl User {
    /// A device of an account.
    pub fn new(address: SocketAddr, account: Account) -> Self {
        let Account { user_id, device_id, token } = account;
        Self { id: user_id, device: device_id, token, address, client: Mutex::new(Client::new(address)) }
    }

    /// The localpart of the user ID.
    pub fn localpart(&self) -> &str {
        self.id.trim_start_matches('@').split(':').next().unwrap_or_default()
    }

    /// The server's name, as the user ID has it.
    pub fn server_name(&self) -> &str {
        self.id.split_once(':').map_or("", |(_, name)| name)
    }

    /// A new device of the same account.
    pub fn log_in(&self) -> Self {
        let identifier = json!({"type": "m.id.user", "user": self.id});
        let body = json!({"type": "m.login.password", "identifier": identifier, "password": PASSWORD});
        let login = self.post("/v3/login", &body).ok();
        let member = |name: &str| login[name].as_str().unwrap_or_else(|| panic!("no {name} in {login}")).to_owned();
        let account =
            Account { user_id: member("user_id"), device_id: member("device_id"), token: member("access_token") };
        Self::new(self.address, account)
    }

    /// A request with the device's token, or the error of the connection.
    pub fn try_call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Reply, engram_benches::Error> {
        let path = full_path(path);
        let mut client = self.client.lock().expect("no test panics inside a call");
        let response = client.call(method, &path, Some(&self.token), body)?;
        Ok(Reply::new(format!("{method} {path}"), response))
    }

    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Reply {
        self.try_call(method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// A request whose body is any bytes.
    pub fn call_bytes(&self, method: &str, path: &str, body: &[u8]) -> Reply {
        let path = full_path(path);
        let response = Client::new(self.address).call_bytes(method, &path, Some(&self.token), Some(body));
        Reply::new(format!("{method} {path}"), response.unwrap_or_else(|error| panic!("{method} {path}: {error}")))
    }

    /// GET. Paths begin with `/_`, or else below `/_matrix/client`.
    pub fn get(&self, path: &str) -> Reply {
        self.call("GET", path, None)
    }

    /// PUT.
    pub fn put(&self, path: &str, body: &Value) -> Reply {
        self.call("PUT", path, Some(body))
    }

    /// POST.
    pub fn post(&self, path: &str, body: &Value) -> Reply {
        self.call("POST", path, Some(body))
    }

    /// DELETE.
    pub fn delete(&self, path: &str) -> Reply {
        self.call("DELETE", path, None)
    }

    /// Creates a room; its ID.
    #[track_caller]
    pub fn create_room(&self, body: &Value) -> String {
        self.post("/v3/createRoom", body).string("room_id")
    }

    /// A request below `/rooms/{room}`.
    pub fn room_get(&self, room: &str, rest: &str) -> Reply {
        self.get(&format!("/v3/rooms/{}{rest}", encode(room)))
    }

    /// A request below `/rooms/{room}`.
    pub fn room_put(&self, room: &str, rest: &str, body: &Value) -> Reply {
        self.put(&format!("/v3/rooms/{}{rest}", encode(room)), body)
    }

    /// A request below `/rooms/{room}`.
    pub fn room_post(&self, room: &str, rest: &str, body: &Value) -> Reply {
        self.post(&format!("/v3/rooms/{}{rest}", encode(room)), body)
    }

    /// Joins.
    pub fn join(&self, room: &str) -> Reply {
        self.post(&format!("/v3/join/{}", encode(room)), &json!({}))
    }

    /// Leaves.
    pub fn leave(&self, room: &str) -> Reply {
        self.room_post(room, "/leave", &json!({}))
    }

    /// Invites.
    pub fn invite(&self, room: &str, other: &Self) -> Reply {
        self.room_post(room, "/invite", &json!({"user_id": other.id}))
    }

    /// Kicks, bans or unbans.
    pub fn moderate(&self, room: &str, action: &str, other: &Self) -> Reply {
        self.room_post(room, &format!("/{action}"), &json!({"user_id": other.id}))
    }

    /// Sends an event with a new transaction ID.
    pub fn send(&self, room: &str, event_type: &str, content: &Value) -> Reply {
        self.room_put(room, &format!("/send/{event_type}/t{}", unique()), content)
    }

    /// Sends a text; the event ID.
    #[track_caller]
    pub fn say(&self, room: &str, text: &str) -> String {
        self.send(room, "m.room.message", &json!({"msgtype": "m.text", "body": text})).string("event_id")
    }

    /// Redacts an event.
    pub fn redact(&self, room: &str, event_id: &str) -> Reply {
        self.room_put(room, &format!("/redact/{}/t{}", encode(event_id), unique()), &json!({"reason": "a test"}))
    }

    /// The content of a state event.
    pub fn state(&self, room: &str, event_type: &str, key: &str) -> Reply {
        self.room_get(room, &format!("/state/{event_type}/{}", encode(key)))
    }

    /// Sets a state event.
    pub fn set_state(&self, room: &str, event_type: &str, key: &str, content: &Value) -> Reply {
        self.room_put(room, &format!("/state/{event_type}/{}", encode(key)), content)
    }

    /// A sync without waiting, from the beginning if `since` is empty; `parameters` begin with `&`.
    #[track_caller]
    pub fn sync(&self, since: &str, parameters: &str) -> Value {
        let since = if since.is_empty() { String::new() } else { format!("&since={}", encode(since)) };
        self.get(&format!("/v3/sync?timeout=0{since}{parameters}")).ok()
    }

    /// The position of a sync from the beginning.
    #[track_caller]
    pub fn sync_token(&self) -> String {
        next_batch(&self.sync("", ""))
    }

    /// Syncs with long polls from `since` on until a response satisfies; that response.
    #[track_caller]
    pub fn sync_until(&self, since: &str, what: &str, mut found: impl FnMut(&Value) -> bool) -> Value {
        let deadline = Instant::now() + DEADLINE;
        let mut since = since.to_owned();
        loop {
            let sync = self.get(&format!("/v3/sync?timeout=5000&since={}", encode(&since))).ok();
            if found(&sync) {
                return sync;
            }
            assert!(Instant::now() < deadline, "{what}: not in any sync; the last: {sync}");
            since = next_batch(&sync);
        }
    }

    /// All events of a room that the user may see, oldest first, by paginating `/messages` backwards.
    #[track_caller]
    pub fn history(&self, room: &str) -> Vec<Value> {
        let mut events = Vec::new();
        let mut from = String::new();
        loop {
            let page = self.room_get(room, &format!("/messages?dir=b&limit=100{from}")).ok();
            events.extend(page["chunk"].as_array().into_iter().flatten().cloned());
            let Some(end) = page["end"].as_str() else { break };
            from = format!("&from={}", encode(end));
        }
        events.reverse();
        events
    }
}

/// The position that a sync response ends at.
#[track_caller]
pub fn next_batch(sync: &Value) -> String {
    sync["next_batch"].as_str().unwrap_or_else(|| panic!("no next_batch in {sync}")).to_owned()
}

/// The timeline of a joined room in a sync response.
pub fn timeline<'s>(sync: &'s Value, room: &str) -> &'s [Value] {
    sync["rooms"]["join"][room]["timeline"]["events"].as_array().map_or(&[], Vec::as_slice)
}

/// The texts of the messages among events.
pub fn texts(events: &[Value]) -> Vec<&str> {
    let messages = events.iter().filter(|event| event["type"] == "m.room.message");
    messages.filter_map(|event| event["content"]["body"].as_str()).collect()
}

/// The path of a request: below `/_matrix/client` unless it begins with `/_`.
pub(crate) fn full_path(path: &str) -> String {
    if path.starts_with("/_") { path.to_owned() } else { format!("/_matrix/client{path}") }
}
