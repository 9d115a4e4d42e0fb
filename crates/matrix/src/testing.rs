//! A room for tests: builds real events on its own state, checks them by ruma's rules, and remembers them.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use crate::{
    Pdu, RoomVersion,
    auth::{self, Denied, StateMap},
    build::{BuiltEvent, Draft, Position, build},
    keys::SigningKey,
    verify::PublicKeys,
};

pub(crate) const SERVER: &str = "x.org";
pub(crate) const ALICE: &str = "@alice:x.org";
pub(crate) const BOB: &str = "@bob:x.org";

pub(crate) fn key() -> SigningKey {
    SigningKey::from_seed("ed25519:a_test", [7; 32]).expect("a valid key ID")
}

pub(crate) fn public_keys() -> PublicKeys {
    let mut keys = PublicKeys::new();
    assert!(keys.insert(SERVER, "ed25519:a_test", key().public_base64()));
    keys
}

pub(crate) fn version(id: &str) -> &'static RoomVersion {
    RoomVersion::parse(id).expect("a supported version")
}

#[derive(Debug, Clone)]
pub(crate) struct TestRoom {
    pub(crate) version: &'static RoomVersion,
    pub(crate) room_id: Option<String>,
    pub(crate) events: BTreeMap<String, Arc<Pdu>>,
    pub(crate) state: BTreeMap<(String, String), Arc<Pdu>>,
    pub(crate) head: Option<String>,
    pub(crate) ts: u64,
}

impl StateMap for BTreeMap<(String, String), Arc<Pdu>> {
    fn get(&self, event_type: &str, state_key: &str) -> Option<Arc<Pdu>> {
        self.get(&(event_type.to_owned(), state_key.to_owned())).cloned()
    }
}

impl TestRoom {
    /// A public room with Alice, its creator, and power levels that name only her (where that is allowed).
    pub(crate) fn new(version_id: &str) -> Self {
        let mut room = Self::empty(version_id, "{}");
        room.state(ALICE, "m.room.member", ALICE, r#"{"membership":"join"}"#);
        let levels = if room.version.create_is_room_id() {
            r#"{"users":{}}"#.to_owned()
        } else {
            format!(r#"{{"users":{{"{ALICE}":100}}}}"#)
        };
        room.state(ALICE, "m.room.power_levels", "", &levels);
        room.state(ALICE, "m.room.join_rules", "", r#"{"join_rule":"public"}"#);
        room
    }

    /// A room with nothing but its create event.
    pub(crate) fn empty(version_id: &str, extra: &str) -> Self {
        let version = version(version_id);
        let room_id = (!version.create_is_room_id()).then(|| "!room:x.org".to_owned());
        let (events, state) = (BTreeMap::new(), BTreeMap::new());
        let mut room = Self { version, room_id, events, state, head: None, ts: 1_000 };
        let mut content: Value = serde_json::from_str(extra).expect("JSON");
        content["room_version"] = version_id.into();
        if !version.rules().authorization.use_room_create_sender {
            content["creator"] = ALICE.into();
        }
        room.state(ALICE, "m.room.create", "", &content.to_string());
        room
    }

    pub(crate) fn state(&mut self, sender: &str, event_type: &str, state_key: &str, content: &str) -> Arc<Pdu> {
        self.send(sender, event_type, Some(state_key), content).expect("allowed")
    }

    /// Builds an event on the head, and adds it if the rules allow it.
    pub(crate) fn send(
        &mut self,
        sender: &str,
        event_type: &str,
        state_key: Option<&str>,
        content: &str,
    ) -> Result<Arc<Pdu>, Denied> {
        let pdu = self.make(sender, event_type, state_key, content);
        let fetch = |id: &str| self.events.get(id).cloned();
        auth::check(self.version, &pdu, &self.state, &fetch)?;
        self.head = Some(pdu.event_id.to_string());
        self.room_id = Some(pdu.room_id.to_string());
        self.events.insert(pdu.event_id.to_string(), Arc::clone(&pdu));
        if let Some(key) = state_key {
            self.state.insert((event_type.to_owned(), key.to_owned()), Arc::clone(&pdu));
        }
        Ok(pdu)
    }

    /// Builds an event on the head, allowed or not.
    pub(crate) fn make(&mut self, sender: &str, event_type: &str, state_key: Option<&str>, content: &str) -> Arc<Pdu> {
        let built = self.build(&Draft { sender, event_type, state_key, content, redacts: None });
        let pdu = Pdu::parse(self.version, &built.event_id, &built.room_id, built.json).expect("what is built parses");
        Arc::new(pdu)
    }

    pub(crate) fn build(&mut self, draft: &Draft<'_>) -> BuiltEvent {
        self.ts += 1;
        let types = auth::auth_types(self.version, draft.event_type, draft.sender, draft.state_key, draft.content);
        let auth: Vec<_> =
            types.iter().filter_map(|key| self.state.get(key)).map(|pdu| pdu.event_id.to_string()).collect();
        let auth: Vec<&str> = auth.iter().map(String::as_str).collect();
        let prev: Vec<&str> = self.head.iter().map(String::as_str).collect();
        let hashes: Vec<_> = auth.iter().chain(&prev).map(|id| (*id, "aGFzaA")).collect();
        let own_id = format!("$event{}:x.org", self.ts);
        let position = Position {
            room_id: self.room_id.as_deref(),
            prev_events: &prev,
            auth_events: &auth,
            depth: self.events.len() as u64 + 1,
            origin_server_ts: self.ts,
            event_id: self.version.event_id_in_event().then_some(&own_id),
            reference_hashes: &hashes,
        };
        build(self.version, draft, &position, SERVER, &key()).expect("builds")
    }
}
