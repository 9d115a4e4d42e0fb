//! A room made by hand: events are built and signed like a server's, and may be put anywhere in the graph.

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use engram_log::Offset;
use engram_log_format::v1;
use engram_matrix::auth::auth_types;
use engram_matrix::build::{Draft, Position, build};
use engram_matrix::keys::SigningKey;
use engram_matrix::room_version::RoomVersion;
use engram_views::testing::{MemoryLog, TestViews};
use engram_views::{Batch, Observer, Read, Snapshot};
use parking_lot::Mutex;

use crate::projector::{Allowance, RoomsProjector};
use crate::query::{self, StoredEvent, Verdict, Viewer};
use crate::state::Root;
use crate::types::RoomNumber;
use crate::{RoomDelta, tables};

pub(super) const ALICE: &str = "@alice:one.test";
pub(super) const BOB: &str = "@bob:two.test";
pub(super) const CAROL: &str = "@carol:three.test";
/// Has asked for erasure.
pub(super) const ERASED: &str = "@erased:one.test";

/// The versions in which everything here is tried.
pub(super) const VERSIONS: [&str; 3] = ["10", "11", "12"];

/// An event that was made, and where it went.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) event_id: String,
    pub(super) offset: Offset,
    pub(super) depth: u64,
}

/// One room with its log and its views.
pub(super) struct Rig {
    pub(super) views: TestViews,
    pub(super) version: &'static RoomVersion,
    pub(super) room_id: String,
    pub(super) deltas: Deltas,
    key: SigningKey,
    now_ms: u64,
    /// The event that the next one follows.
    pub(super) last: Option<Made>,
}

pub(super) type Deltas = Arc<Mutex<Vec<(Offset, RoomDelta)>>>;

struct Recorder(Deltas);

impl Observer for Recorder {
    fn committed(&mut self, batch: &Batch<'_>) {
        self.0.lock().extend(batch.deltas::<RoomsProjector>().iter().cloned());
    }
}

impl Rig {
    /// A room that nobody has made yet.
    pub(super) fn empty(version: &str) -> Self {
        Self::observed(version, Vec::new())
    }

    /// [`Rig::empty`], with others who observe it.
    pub(super) fn observed(version: &str, observers: Vec<Box<dyn Observer>>) -> Self {
        Self::with_projector(version, RoomsProjector::default(), observers)
    }

    /// [`Rig::room`], in which rooms may spend other amounts than usual.
    pub(super) fn allowed(version: &str, allowance: Allowance) -> Self {
        let projector = RoomsProjector::default().with_allowance(allowance);
        let mut rig = Self::with_projector(version, projector, Vec::new());
        rig.begin();
        rig
    }

    fn with_projector(version: &str, projector: RoomsProjector, mut observers: Vec<Box<dyn Observer>>) -> Self {
        let deltas = Deltas::default();
        observers.push(Box::new(Recorder(Arc::clone(&deltas))));
        Self {
            views: TestViews::over(MemoryLog::new(), vec![Box::new(projector)], observers),
            version: RoomVersion::parse(version).expect("a known version"),
            room_id: "!room:one.test".to_owned(),
            deltas,
            key: SigningKey::from_seed("ed25519:1", [7; 32]).expect("a valid key ID"),
            now_ms: 1_000_000,
            last: None,
        }
    }

    /// A public room by Alice, in which she has 100 and others 0, or she is the creator.
    pub(super) fn room(version: &str) -> Self {
        let mut rig = Self::empty(version);
        rig.begin();
        rig
    }

    /// Makes the room that [`Rig::room`] describes.
    pub(super) fn begin(&mut self) {
        let create = format!(r#"{{"room_version":"{}","creator":"{ALICE}"}}"#, self.version.id());
        self.state(ALICE, "m.room.create", "", &create);
        self.join(ALICE);
        self.power(ALICE, &[]);
        self.state(ALICE, "m.room.join_rules", "", r#"{"join_rule":"public"}"#);
    }

    /// Sets the levels of users; in versions without unlimited creators Alice always has 100.
    pub(super) fn power(&mut self, sender: &str, users: &[(&str, i64)]) -> Made {
        let content = self.levels(users);
        self.state(sender, "m.room.power_levels", "", &content)
    }

    pub(super) fn levels(&self, users: &[(&str, i64)]) -> String {
        let mut users: Vec<String> = users.iter().map(|(user, level)| format!(r#""{user}":{level}"#)).collect();
        if !self.version.create_is_room_id() {
            users.push(format!(r#""{ALICE}":100"#));
        }
        format!(r#"{{"users":{{{}}}}}"#, users.join(","))
    }

    pub(super) fn join(&mut self, user: &str) -> Made {
        self.member(user, user, "join")
    }

    pub(super) fn member(&mut self, sender: &str, user: &str, membership: &str) -> Made {
        self.state(sender, "m.room.member", user, &format!(r#"{{"membership":"{membership}"}}"#))
    }

    pub(super) fn message(&mut self, sender: &str, body: &str) -> Made {
        self.send(sender, "m.room.message", None, &format!(r#"{{"body":"{body}","msgtype":"m.text"}}"#))
    }

    pub(super) fn state(&mut self, sender: &str, event_type: &str, state_key: &str, content: &str) -> Made {
        self.send(sender, event_type, Some(state_key), content)
    }

    /// An event on the last one, which it succeeds if it was accepted.
    pub(super) fn send(&mut self, sender: &str, event_type: &str, state_key: Option<&str>, content: &str) -> Made {
        let parents: Vec<Made> = self.last.clone().into_iter().collect();
        let draft = Draft { sender, event_type, state_key, content, redacts: None };
        let made = self.put(&parents, &draft);
        if self.verdict(&made) == Verdict::Accepted {
            self.last = Some(made.clone());
        }
        made
    }

    pub(super) fn redact(&mut self, sender: &str, target: &str) -> Made {
        let pdu = self.redaction(sender, target);
        let made = self.append(pdu);
        if self.verdict(&made) == Verdict::Accepted {
            self.last = Some(made.clone());
        }
        made
    }

    pub(super) fn redaction(&mut self, sender: &str, target: &str) -> v1::Pdu {
        let parents: Vec<Made> = self.last.clone().into_iter().collect();
        let draft =
            Draft { sender, event_type: "m.room.redaction", state_key: None, content: "{}", redacts: Some(target) };
        self.build(&parents, &draft)
    }

    /// An event on any others.
    pub(super) fn put(&mut self, parents: &[Made], draft: &Draft<'_>) -> Made {
        let pdu = self.build(parents, draft);
        self.append(pdu)
    }

    /// A message on any others.
    pub(super) fn message_on(&mut self, parents: &[&Made], sender: &str, body: &str) -> Made {
        let content = format!(r#"{{"body":"{body}"}}"#);
        let draft = Draft { sender, event_type: "m.room.message", state_key: None, content: &content, redacts: None };
        let parents: Vec<Made> = parents.iter().map(|made| (*made).clone()).collect();
        self.put(&parents, &draft)
    }

    /// A state event on any others.
    pub(super) fn state_on(
        &mut self,
        parents: &[&Made],
        sender: &str,
        event_type: &str,
        state_key: &str,
        content: &str,
    ) -> Made {
        let draft = Draft { sender, event_type, state_key: Some(state_key), content, redacts: None };
        let parents: Vec<Made> = parents.iter().map(|made| (*made).clone()).collect();
        self.put(&parents, &draft)
    }

    pub(super) fn build(&mut self, parents: &[Made], draft: &Draft<'_>) -> v1::Pdu {
        self.now_ms += 1000;
        let auth_events = self.auth_events(parents, draft);
        let makes_room = draft.event_type == "m.room.create" && self.version.create_is_room_id();
        let prev_events: Vec<&str> = parents.iter().map(|made| made.event_id.as_str()).collect();
        let server = draft.sender.split_once(':').expect("a user ID has a server").1;
        // In versions 1 and 2 whoever makes an event also names it, and tells the hashes of those it refers to.
        let own_id = format!("$event{}:{server}", self.now_ms);
        let hashes: Vec<(&str, &str)> = auth_events
            .iter()
            .map(String::as_str)
            .chain(prev_events.iter().copied())
            .map(|id| (id, "aGFzaA"))
            .collect();
        let position = Position {
            room_id: (!makes_room).then_some(self.room_id.as_str()),
            prev_events: &prev_events,
            auth_events: &auth_events.iter().map(String::as_str).collect::<Vec<_>>(),
            depth: parents.iter().map(|made| made.depth).max().unwrap_or(0) + 1,
            origin_server_ts: self.now_ms,
            event_id: self.version.event_id_in_event().then_some(&own_id),
            reference_hashes: &hashes,
        };
        let built = build(self.version, draft, &position, server, &self.key).expect("a valid event");
        if makes_room {
            self.room_id.clone_from(&built.room_id);
        }
        v1::Pdu {
            room_id: built.room_id,
            event_id: built.event_id,
            room_version: self.version.id().to_owned(),
            source: v1::PduSource::Federation,
            json: built.json,
            transaction: None,
            verified_keys: Vec::new(),
        }
    }

    /// Appends an event and waits until it is applied.
    pub(super) fn append(&mut self, pdu: v1::Pdu) -> Made {
        let event_id = pdu.event_id.clone();
        let parsed = engram_matrix::pdu::Pdu::parse(self.version, &event_id, &pdu.room_id, pdu.json.as_slice());
        let depth = parsed.map_or(0, |pdu| pdu.depth);
        let offset = self.views.log.journal(pdu, self.now_ms);
        self.views.wait(offset);
        Made { event_id, offset, depth }
    }

    fn auth_events(&self, parents: &[Made], draft: &Draft<'_>) -> Vec<String> {
        let snapshot = self.snapshot();
        let Some(room) = query::room(&*snapshot, &self.room_id).unwrap() else { return Vec::new() };
        let root = match parents {
            [only] => self.root_after(only),
            _ => query::head(&*snapshot, room.number).unwrap().state,
        };
        auth_types(self.version, draft.event_type, draft.sender, draft.state_key, draft.content)
            .iter()
            .filter_map(|(kind, key)| query::state_entry(&*snapshot, root, kind, key).unwrap())
            .map(|offset| query::pdu(&*snapshot, offset).unwrap().event_id.to_string())
            .collect()
    }

    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        self.views.settle()
    }

    pub(super) fn number(&self) -> RoomNumber {
        query::room(&*self.snapshot(), &self.room_id).unwrap().expect("the room is known").number
    }

    pub(super) fn head(&self) -> query::Head {
        query::head(&*self.snapshot(), self.number()).unwrap()
    }

    pub(super) fn stored(&self, made: &Made) -> StoredEvent {
        query::event(&*self.snapshot(), self.number(), made.offset).unwrap().expect("the event is stored")
    }

    pub(super) fn verdict(&self, made: &Made) -> Verdict {
        self.stored(made).meta.verdict
    }

    /// The verdict with its reason.
    pub(super) fn reason(&self, made: &Made) -> String {
        query::reason(&*self.snapshot(), self.number(), made.offset).unwrap().unwrap_or_default()
    }

    pub(super) fn root_after(&self, made: &Made) -> Root {
        let event = self.stored(made);
        query::state_after(&*self.snapshot(), event.room, event.offset, &event.meta).unwrap()
    }

    /// The event that holds an entry of the current state.
    pub(super) fn current(&self, event_type: &str, state_key: &str) -> Option<Offset> {
        query::state_entry(&*self.snapshot(), self.head().state, event_type, state_key).unwrap()
    }

    pub(super) fn membership(&self, user_id: &str) -> Option<&'static str> {
        let member = query::membership(&*self.snapshot(), self.number(), user_id).unwrap();
        member.map(|(membership, _)| membership.as_str())
    }

    pub(super) fn extremities(&self) -> Vec<String> {
        self.head().extremities.into_iter().map(|extremity| extremity.event_id).collect()
    }

    /// The shown events, oldest first.
    pub(super) fn timeline(&self) -> Vec<Offset> {
        let snapshot = self.snapshot();
        let rows = query::timeline(&*snapshot, self.number(), Offset::ZERO, Offset(u64::MAX), false, usize::MAX);
        rows.unwrap().into_iter().map(|(offset, _)| offset).collect()
    }

    pub(super) fn sees(&self, user_id: &str, made: &Made) -> bool {
        query::may_see(&*self.snapshot(), &self.stored(made), user_id).unwrap()
    }

    pub(super) fn render(&self, made: &Made, user_id: &str, device_id: Option<&str>) -> serde_json::Value {
        let viewer =
            Viewer { user_id, device_id, now_ms: self.now_ms + 5, is_erased: |_, user_id| Ok(user_id == ERASED) };
        let text = query::render(&*self.snapshot(), &self.stored(made), viewer, true).unwrap();
        serde_json::from_str(&text).expect("an event renders to JSON")
    }
}

/// Every row of every table.
pub(super) fn rows(reader: &dyn Read) -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let mut rows = Vec::new();
    for table in tables::ALL {
        let mut visit = |key: &[u8], row: &[u8]| {
            rows.push((table.name, key.to_vec(), row.to_vec()));
            ControlFlow::Continue(())
        };
        reader.scan(table, Bound::Unbounded, Bound::Unbounded, false, &mut visit).unwrap();
    }
    rows
}
