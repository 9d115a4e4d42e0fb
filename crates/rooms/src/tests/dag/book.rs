//! A room as the specification describes it, without any cleverness: the whole state before and after every event, auth
//! chains as sets, state resolution by ruma on whole states.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use engram_log_format::v1;
use engram_matrix::auth::{self, Denied, StateMap};
use engram_matrix::membership::Membership;
use engram_matrix::pdu::{self, Pdu};
use engram_matrix::resolve::{self, AuthChain, State};
use engram_matrix::room_version::RoomVersion;
use engram_matrix::{EventId, OwnedEventId};
use ruma::events::StateEventType;
use ruma::state_res;

use crate::query::Verdict;

/// An event and all about it.
pub(super) struct Entry {
    pub(super) pdu: Arc<Pdu>,
    pub(super) after: State,
    pub(super) verdict: Verdict,
    /// The join rule by which the event made somebody a member, if it did.
    pub(super) joined_by: Option<String>,
}

impl Entry {
    pub(super) fn is_join(&self) -> bool {
        matches!(Membership::in_state(Some(&self.pdu)), Membership::Join)
    }
}

/// The room.
pub(super) struct Book {
    pub(super) version: &'static RoomVersion,
    pub(super) room_id: String,
    pub(super) entries: HashMap<OwnedEventId, Entry>,
    /// All events in the order in which they came.
    pub(super) order: Vec<OwnedEventId>,
    pub(super) extremities: Vec<OwnedEventId>,
    /// How many times states that differ were resolved.
    pub(super) resolved: Cell<u64>,
    chains: RefCell<HashMap<OwnedEventId, Arc<AuthChain>>>,
}

struct Whole<'a>(&'a Book, &'a State);

impl StateMap for Whole<'_> {
    fn get(&self, event_type: &str, state_key: &str) -> Option<Arc<Pdu>> {
        self.0.fetch(self.1.get(&(event_type.to_owned(), state_key.to_owned()))?)
    }
}

impl Book {
    pub(super) fn new(version: &'static RoomVersion) -> Self {
        Self {
            version,
            room_id: String::new(),
            entries: HashMap::new(),
            order: Vec::new(),
            extremities: Vec::new(),
            resolved: Cell::new(0),
            chains: RefCell::default(),
        }
    }

    /// The record by which an event reaches a log.
    pub(super) fn record(&self, id: &EventId) -> v1::Pdu {
        v1::Pdu {
            room_id: self.room_id.clone(),
            event_id: id.to_string(),
            room_version: self.version.id().to_owned(),
            source: v1::PduSource::Federation,
            json: self.entries[id].pdu.json().to_vec(),
            transaction: None,
            verified_keys: Vec::new(),
        }
    }

    /// The state before an event on these parents.
    pub(super) fn before(&self, parents: &[OwnedEventId]) -> State {
        self.resolve(parents.iter().map(|id| self.entries[id].after.clone()).collect())
    }

    pub(super) fn current(&self) -> State {
        self.before(&self.extremities)
    }

    pub(super) fn fetch(&self, id: &EventId) -> Option<Arc<Pdu>> {
        let entry = self.entries.get(id)?;
        let is_rejected = entry.verdict == Verdict::Rejected;
        Some(if is_rejected { Arc::new(Pdu::clone(&entry.pdu).into_rejected()) } else { Arc::clone(&entry.pdu) })
    }

    /// Takes an event in.
    pub(super) fn add(&mut self, pdu: Arc<Pdu>) -> Verdict {
        let before = self.before(&pdu.prev_events);
        let verdict = self.judge(&pdu, &before);
        let joined_by = self.joined_by(&pdu, &before).filter(|_| verdict == Verdict::Accepted);
        let mut after = before;
        if let Some(key) = pdu.state_key.clone().filter(|_| verdict != Verdict::Rejected) {
            after.insert((pdu.event_type.clone(), key), pdu.event_id.clone());
        }
        if verdict == Verdict::Accepted {
            self.extremities.retain(|id| !pdu.prev_events.contains(id));
            self.extremities.push(pdu.event_id.clone());
        }
        self.order.push(pdu.event_id.clone());
        self.entries.insert(pdu.event_id.clone(), Entry { pdu, after, verdict, joined_by });
        verdict
    }

    /// Whether somebody is joined in the state before an event on these parents, as far as their first goes.
    pub(super) fn is_joined(&self, parents: &[OwnedEventId], user: &str) -> bool {
        let Some(parent) = parents.first() else { return false };
        let key = ("m.room.member".to_owned(), user.to_owned());
        self.entries[parent].after.get(&key).is_some_and(|id| self.entries[id].is_join())
    }

    fn joined_by(&self, pdu: &Pdu, before: &State) -> Option<String> {
        #[derive(serde::Deserialize)]
        struct Rules {
            join_rule: String,
        }
        let key = ("m.room.member".to_owned(), pdu.state_key.clone()?);
        let was_joined = before.get(&key).is_some_and(|id| self.entries[id].is_join());
        if pdu.event_type != key.0 || was_joined || Membership::of(pdu) != Some(Membership::Join) {
            return None;
        }
        let rules = before.get(&("m.room.join_rules".to_owned(), String::new()))?;
        self.entries[rules].pdu.content::<Rules>().ok().map(|rules| rules.join_rule)
    }

    fn judge(&self, pdu: &Pdu, before: &State) -> Verdict {
        let by = |state: &State| auth::check_dependent(self.version, pdu, &Whole(self, state));
        if self.by_auth_events(pdu).is_err() || by(before).is_err() {
            return Verdict::Rejected;
        }
        if by(&self.current()).is_err() && !self.order.is_empty() {
            return Verdict::SoftFailed;
        }
        Verdict::Accepted
    }

    fn by_auth_events(&self, pdu: &Pdu) -> Result<(), Denied> {
        auth::check_independent(self.version, pdu, &|id| self.fetch(<&EventId>::try_from(id).ok()?))?;
        let mut listed = State::new();
        let create = pdu::create_event_id_of_room(&self.room_id).filter(|_| self.version.create_is_room_id());
        let create = create.and_then(|id| OwnedEventId::try_from(id).ok());
        for id in pdu.auth_events.iter().chain(&create).filter(|id| self.entries.contains_key(*id)) {
            let event = &self.entries[id].pdu;
            listed.insert((event.event_type.clone(), event.state_key.clone().unwrap_or_default()), id.clone());
        }
        auth::check_dependent(self.version, pdu, &Whole(self, &listed))
    }

    /// An event and all that is reached over its auth events.
    fn chain(&self, id: &OwnedEventId) -> Arc<AuthChain> {
        if let Some(chain) = self.chains.borrow().get(id) {
            return Arc::clone(chain);
        }
        let mut chain: AuthChain = [id.clone()].into();
        for parent in &self.entries[id].pdu.auth_events {
            chain.extend(self.chain(parent).iter().cloned());
        }
        let chain = Arc::new(chain);
        self.chains.borrow_mut().insert(id.clone(), Arc::clone(&chain));
        chain
    }

    fn resolve(&self, mut states: Vec<State>) -> State {
        states.sort();
        states.dedup();
        if states.len() < 2 {
            return states.pop().unwrap_or_default();
        }
        self.resolved.set(self.resolved.get() + 1);
        let chain_of =
            |state: &State| state.values().flat_map(|id| self.chain(id).iter().cloned().collect::<Vec<_>>()).collect();
        let chains: Vec<AuthChain> = states.iter().map(chain_of).collect();
        let ours = resolve::resolve(self.version, &states, chains.clone(), &|id: &EventId| self.fetch(id)).unwrap();
        if let Some(rules) = self.version.rules().state_res.v2_rules() {
            let maps: Vec<_> = states.iter().map(to_ruma).collect();
            let subgraph = |conflicted: &state_res::StateMap<Vec<OwnedEventId>>| {
                Some(self.between(&conflicted.values().flatten().cloned().collect()).into_iter().collect())
            };
            let chains = chains.into_iter().map(|chain| chain.into_iter().collect()).collect();
            let auth_rules = &self.version.rules().authorization;
            let theirs = state_res::resolve(auth_rules, rules, &maps, chains, |id| self.fetch(id), subgraph).unwrap();
            assert_eq!(to_ruma(&ours), theirs, "our call of the resolution");
        }
        ours
    }

    /// The conflicted state subgraph by its definition: what is in some conflicted event's chain, and has one in its
    /// own.
    fn between(&self, conflicted: &BTreeSet<OwnedEventId>) -> BTreeSet<OwnedEventId> {
        let below: BTreeSet<_> =
            conflicted.iter().flat_map(|id| self.chain(id).iter().cloned().collect::<Vec<_>>()).collect();
        below.into_iter().filter(|id| !self.chain(id).is_disjoint(conflicted)).collect()
    }
}

fn to_ruma(state: &State) -> HashMap<(StateEventType, String), OwnedEventId> {
    let entries: BTreeMap<_, _> = state.clone();
    entries.into_iter().map(|((kind, key), id)| ((StateEventType::from(kind), key), id)).collect()
}
