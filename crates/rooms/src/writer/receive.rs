//! Events from other servers: taken into the log whole, in an order in which each comes after what it follows.
//!
//! Whoever fetched them has checked signatures and hashes ([`VerifiedPdu::check`]) and has fetched what was missing.
//! Here is decided what is new, and what still cannot be taken since something before it is not known; the rules of the
//! room are the projector's business.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use engram_log::{Input, Offset};
use engram_log_format::v1;
use engram_matrix::pdu::Pdu;
use engram_matrix::received::VerifiedPdu;
use engram_matrix::room_version::RoomVersion;
use engram_views::Read;

use super::head::Head;
use super::slots::Present;
use super::{RoomError, RoomServer};
use crate::query::{self, RoomInfo};

/// Where received events belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// At the end: new events, and those that are missing before them.
    Live,
    /// Before what is known: history that was asked for.
    Past,
}

/// The state before an event, for an event of which not everything before it is known.
#[derive(Clone, Debug)]
pub struct GivenState<'a> {
    /// The event.
    pub event_id: &'a str,
    /// The IDs of the events of the state, of which those count that are known by then.
    pub state: &'a [String],
    /// Who gave it.
    pub server: &'a str,
    /// Whether the room begins anew with the event, as for a server that joins, or comes back: what was known as
    /// current is not any more.
    pub anew: bool,
}

/// Events of one room.
#[derive(Clone, Debug)]
pub struct Received<'a> {
    /// The room.
    pub room_id: &'a str,
    /// Its version.
    pub version: &'static RoomVersion,
    /// Events that are known as parts of states and auth chains only, in any order.
    pub outliers: &'a [VerifiedPdu],
    /// Events for the room's graph, in any order.
    pub events: &'a [VerifiedPdu],
    /// Where the events belong.
    pub order: Order,
    /// States before some of them.
    pub states: &'a [GivenState<'a>],
    /// Auth events that nobody has are not waited for: events that name them are taken, and rejected.
    pub without_missing_auth: bool,
}

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the log and in the views, which have the verdict on it.
    Taken(Offset),
    /// It was there before.
    Known,
    /// These events have to be fetched first: or a state before it, for those before it.
    Missing(Vec<String>),
}

/// What became of the events: for each its ID.
pub type Outcomes = HashMap<String, Outcome>;

impl RoomServer {
    /// Takes events of a room in, all with one append. To take the same again changes nothing. Returns when they are
    /// applied; by then others may have gone on in the room.
    ///
    /// What is returned as missing leaves no trace: fetch it and come again.
    pub async fn receive(&self, received: &Received<'_>) -> Result<Outcomes, RoomError> {
        let (outcomes, appended) = self.in_turn(received.room_id, |present| self.take(present, received)).await?;
        if let Some(appended) = appended {
            self.reading.caught_up(appended).await?;
        }
        Ok(outcomes)
    }

    /// Appends what can be taken. Where the next event goes is for the views to say then.
    fn take(&self, present: &mut Present, received: &Received<'_>) -> Result<(Outcomes, Option<Offset>), RoomError> {
        let snapshot = self.snapshot();
        let room = query::room(&*snapshot, received.room_id)?;
        check(received, room.as_ref())?;
        let mut intake = Intake::new(&*snapshot, present.head.as_ref(), received, room);
        intake.plan()?;
        let Intake { mut outcomes, inputs, .. } = intake;
        if inputs.is_empty() {
            return Ok((outcomes, None));
        }
        let appended = self.append_all(&inputs)?;
        for (offset, input) in (appended.first.0..).zip(&inputs) {
            if let Input::Pdu(pdu) = input
                && let Some(Outcome::Taken(at)) = outcomes.get_mut(&pdu.event_id)
            {
                *at = Offset(offset);
            }
        }
        present.raise_fence(appended.last);
        Ok((outcomes, Some(appended.last)))
    }
}

fn check(received: &Received<'_>, room: Option<&RoomInfo>) -> Result<(), RoomError> {
    if let Some(room) = room.filter(|room| room.version != received.version) {
        let why = format!("{} is of version {}, not {}", room.room_id, room.version.id(), received.version.id());
        return Err(RoomError::InvalidParameter(why));
    }
    let all = || received.outliers.iter().chain(received.events);
    let stray = all().find(|pdu| pdu.event.room_id != received.room_id || pdu.event.version() != received.version);
    match stray {
        Some(pdu) => Err(RoomError::InvalidParameter(format!(
            "{} is of the room {}, version {}",
            pdu.event.event_id,
            pdu.event.room_id,
            pdu.event.version().id()
        ))),
        None => Ok(()),
    }
}

/// What is to be appended.
struct Intake<'a> {
    reader: &'a dyn Read,
    /// What this server sent a moment ago may be what the others follow.
    head: Option<&'a Head>,
    received: &'a Received<'a>,
    /// None if the room becomes known by these events.
    room: Option<RoomInfo>,
    outcomes: Outcomes,
    inputs: Vec<Input>,
    /// Events that are among the inputs, in any way.
    appended: HashSet<String>,
    /// Those that get their place by it, which outliers do not.
    placed: HashSet<String>,
}

impl<'a> Intake<'a> {
    fn new(reader: &'a dyn Read, head: Option<&'a Head>, received: &'a Received<'a>, room: Option<RoomInfo>) -> Self {
        Self {
            reader,
            head,
            received,
            room,
            outcomes: Outcomes::new(),
            inputs: Vec::new(),
            appended: HashSet::new(),
            placed: HashSet::new(),
        }
    }

    fn plan(&mut self) -> Result<(), RoomError> {
        let makes_room = |pdu: &&VerifiedPdu| pdu.event.is_state_of("m.room.create", "");
        let received = self.received;
        if self.room.is_none() && !received.outliers.iter().chain(received.events).any(|pdu| makes_room(&pdu)) {
            return Err(RoomError::UnknownRoom(received.room_id.to_owned()));
        }
        let mut outliers = parents_first(received.outliers, |event| event.auth_events.iter().map(|id| id.as_str()));
        // No event of version 12 refers to it, and yet nothing is of a room before it.
        outliers.sort_by_key(|pdu| !makes_room(pdu));
        for pdu in outliers {
            self.take_outlier(pdu)?;
        }
        let parents = |event: &Pdu| -> Vec<String> {
            event.prev_events.iter().chain(&event.auth_events).map(ToString::to_string).collect()
        };
        for pdu in parents_first(received.events, parents) {
            self.take_event(pdu)?;
        }
        Ok(())
    }

    /// Whether an event is known, in any way, or is going to be.
    fn is_known(&self, event_id: &str) -> Result<bool, RoomError> {
        if self.appended.contains(event_id) || self.is_in_flight(event_id) {
            return Ok(true);
        }
        let Some(room) = &self.room else { return Ok(false) };
        Ok(query::locate(self.reader, event_id)?.is_some_and(|(at, _)| at == room.number))
    }

    fn is_in_flight(&self, event_id: &str) -> bool {
        self.head.is_some_and(|head| head.has_in_flight(event_id))
    }

    fn take_outlier(&mut self, pdu: &VerifiedPdu) -> Result<(), RoomError> {
        let event_id = pdu.event.event_id.as_str();
        let outcome = if self.is_known(event_id)? {
            Outcome::Known
        } else {
            let missing = self.unknown(pdu.event.auth_events.iter().map(|id| id.as_str()))?;
            if missing.is_empty() || self.received.without_missing_auth {
                self.append(pdu, v1::PduSource::Outlier);
                assert!(!self.placed.contains(event_id), "outliers are taken before events");
                Outcome::Taken(Offset::ZERO)
            } else {
                Outcome::Missing(missing)
            }
        };
        self.outcomes.entry(event_id.to_owned()).or_insert(outcome);
        Ok(())
    }

    /// An event may be among the outliers too: what comes of it as an event is what counts, since it is that by which
    /// its parents are missed.
    fn take_event(&mut self, pdu: &VerifiedPdu) -> Result<(), RoomError> {
        let event_id = pdu.event.event_id.as_str();
        if self.is_placed(event_id)? {
            self.outcomes.insert(event_id.to_owned(), Outcome::Known);
            return Ok(());
        }
        let state = self.received.states.iter().find(|state| state.event_id == event_id);
        let mut missing = Vec::new();
        if state.is_none() {
            for id in &pdu.event.prev_events {
                if !self.is_placed(id.as_str())? && !self.placed.contains(id.as_str()) {
                    missing.push(id.to_string());
                }
            }
        }
        if !self.received.without_missing_auth {
            missing.extend(self.unknown(pdu.event.auth_events.iter().map(|id| id.as_str()))?);
        }
        if !missing.is_empty() {
            self.outcomes.insert(event_id.to_owned(), Outcome::Missing(missing));
            return Ok(());
        }
        if let Some(state) = state {
            self.inputs.push(self.given(state)?);
        }
        let source = match self.received.order {
            Order::Live => v1::PduSource::Federation,
            Order::Past => v1::PduSource::Backfill,
        };
        self.append(pdu, source);
        self.placed.insert(event_id.to_owned());
        self.outcomes.insert(event_id.to_owned(), Outcome::Taken(Offset::ZERO));
        Ok(())
    }

    fn is_placed(&self, event_id: &str) -> Result<bool, RoomError> {
        match &self.room {
            // What this server sends always has its place.
            _ if self.is_in_flight(event_id) => Ok(true),
            Some(room) => Ok(query::is_placed(self.reader, room.number, event_id)?),
            None => Ok(false),
        }
    }

    fn unknown<'i>(&self, ids: impl Iterator<Item = &'i str>) -> Result<Vec<String>, RoomError> {
        let mut unknown = Vec::new();
        for id in ids {
            if !self.is_known(id)? {
                unknown.push(id.to_owned());
            }
        }
        Ok(unknown)
    }

    fn given(&self, state: &GivenState<'_>) -> Result<Input, RoomError> {
        let mut known = Vec::with_capacity(state.state.len());
        for event_id in state.state {
            if self.is_known(event_id)? {
                known.push(event_id.clone());
            }
        }
        Ok(v1::StateGiven {
            room_id: self.received.room_id.to_owned(),
            event_id: state.event_id.to_owned(),
            state: known,
            server: state.server.to_owned(),
            anew: state.anew,
        }
        .into())
    }

    fn append(&mut self, pdu: &VerifiedPdu, source: v1::PduSource) {
        let record = v1::Pdu {
            room_id: self.received.room_id.to_owned(),
            event_id: pdu.event.event_id.to_string(),
            room_version: self.received.version.id().to_owned(),
            source,
            json: pdu.event.json().to_vec(),
            transaction: None,
            verified_keys: pdu.verified_keys.clone(),
        };
        self.appended.insert(record.event_id.clone());
        self.inputs.push(record.into());
    }
}

/// The events, each after those among them that it refers to, otherwise in the order given. What refers to itself in a
/// circle is left out: no honest event can.
fn parents_first<'p, I, S>(pdus: &'p [VerifiedPdu], parents: impl Fn(&'p Pdu) -> I) -> Vec<&'p VerifiedPdu>
where
    I: IntoIterator<Item = S>,
    S: AsRef<str>,
{
    let by_id: HashMap<&str, usize> =
        pdus.iter().enumerate().map(|(at, pdu)| (pdu.event.event_id.as_str(), at)).collect();
    let mut waits_for = vec![0_usize; pdus.len()];
    let mut followers = vec![Vec::new(); pdus.len()];
    for (at, pdu) in pdus.iter().enumerate().filter(|(at, pdu)| by_id[pdu.event.event_id.as_str()] == *at) {
        let among: BTreeSet<usize> =
            parents(&pdu.event).into_iter().filter_map(|id| by_id.get(id.as_ref()).copied()).collect();
        for parent in among {
            waits_for[at] += 1;
            followers[parent].push(at);
        }
    }
    let first = |at: &usize| by_id[pdus[*at].event.event_id.as_str()] == *at && waits_for[*at] == 0;
    let mut ready: VecDeque<usize> = (0..pdus.len()).filter(first).collect();
    let mut sorted = Vec::with_capacity(pdus.len());
    while let Some(at) = ready.pop_front() {
        sorted.push(&pdus[at]);
        for follower in std::mem::take(&mut followers[at]) {
            waits_for[follower] -= 1;
            if waits_for[follower] == 0 {
                ready.push_back(follower);
            }
        }
    }
    sorted
}
