//! What other servers send: joins with a given state, outliers, history from before, gaps, and what they may ask in
//! turn.

mod meanwhile;

use std::sync::Arc;

use engram_log::{Offset, TimestampMs};
use engram_matrix::keys::SigningKey;
use engram_matrix::pdu::Pdu;
use engram_matrix::received::VerifiedPdu;
use engram_matrix::room_version::RoomVersion;
use engram_views::Snapshot;
use engram_views::testing::{MemoryLog, TestViews, block_on};

use super::rig::{ALICE, BOB, CAROL, Made, Rig, rows};
use crate::projector::RoomsProjector;
use crate::query::{self, Place, Position, ServerSight, Verdict};
use crate::state;
use crate::types::{Membership, RoomNumber};
use crate::writer::{
    GivenState, NoAccounts, Order, Outcome, Outcomes, Parts, Received, RoomError, RoomServer, SendRequest,
};

/// Versions with each form of event IDs, references and room IDs.
const VERSIONS: [&str; 4] = ["3", "6", "10", "12"];

/// Another server's room, which it can tell all about.
struct Origin {
    rig: Rig,
    /// All events in order, after the create event.
    made: Vec<Made>,
}

/// The server that receives.
struct Here {
    views: TestViews,
    server: Arc<RoomServer>,
    version: &'static RoomVersion,
    room_id: String,
}

impl Origin {
    /// A room with some history: Alice's, then Bob's and Carol's joins with messages and topics between.
    fn new(version: &str) -> Self {
        let mut origin = Self { rig: Rig::room(version), made: Vec::new() };
        let snapshot = origin.rig.snapshot();
        for (offset, _) in query::arrivals(&*snapshot, origin.rig.number(), usize::MAX).unwrap() {
            let pdu = query::pdu(&*snapshot, offset).unwrap();
            origin.made.push(Made { event_id: pdu.event_id.to_string(), offset, depth: pdu.depth });
        }
        origin.keep(|rig| rig.message(ALICE, "one"));
        origin.keep(|rig| rig.state(ALICE, "m.room.topic", "", r#"{"topic":"first"}"#));
        origin.keep(|rig| rig.join(BOB));
        origin.keep(|rig| rig.message(BOB, "two"));
        origin.keep(|rig| rig.state(ALICE, "m.room.topic", "", r#"{"topic":"second"}"#));
        origin
    }

    fn keep(&mut self, make: impl FnOnce(&mut Rig) -> Made) -> Made {
        let made = make(&mut self.rig);
        assert_eq!(self.rig.verdict(&made), Verdict::Accepted, "{}", self.rig.reason(&made));
        self.made.push(made.clone());
        made
    }

    fn verified(&self, made: &Made) -> VerifiedPdu {
        let event = self.rig.stored(made).pdu;
        VerifiedPdu::from_copy(event.version(), event.room_id.as_str(), event.json(), vec!["x ed25519:1".to_owned()])
            .expect("what was built is right")
    }

    fn all(&self, range: impl std::slice::SliceIndex<[Made], Output = [Made]>) -> Vec<VerifiedPdu> {
        self.made[range].iter().map(|made| self.verified(made)).collect()
    }

    /// The state before an event with its auth chain, as IDs and as events.
    fn state_before(&self, made: &Made) -> (Vec<String>, Vec<VerifiedPdu>) {
        let snapshot = self.rig.snapshot();
        let before = query::state_ids_before(&*snapshot, self.rig.number(), &made.event_id).unwrap().expect("known");
        let ids = before.state.values().map(|event| event.event_id.to_string()).collect();
        let mut all = before.state;
        all.extend(before.auth_chain);
        let verified = |event: Arc<Pdu>| {
            VerifiedPdu::from_copy(event.version(), event.room_id.as_str(), event.json(), Vec::new()).expect("right")
        };
        // In no useful order: to sort is the receiver's business.
        (ids, all.into_values().rev().map(verified).collect())
    }

    /// The IDs of the events that hold its current state.
    fn current(&self) -> Vec<String> {
        events_of(&self.rig.snapshot(), self.rig.head().state)
    }
}

fn events_of(snapshot: &Snapshot, root: state::Root) -> Vec<String> {
    let entries = state::entries(snapshot, root).unwrap();
    let mut ids: Vec<_> =
        entries.into_iter().map(|(_, at)| query::pdu(snapshot, at).unwrap().event_id.to_string()).collect();
    ids.sort();
    ids
}

impl Here {
    fn new(origin: &Origin) -> Self {
        let views = TestViews::over(MemoryLog::new(), vec![Box::new(RoomsProjector::default())], Vec::new());
        let server = RoomServer::new(Parts {
            log: Arc::new(views.log.clone()),
            views: Arc::clone(&views.views),
            accounts: Arc::new(NoAccounts),
            server_name: "three.test".to_owned(),
            key: SigningKey::from_seed("ed25519:1", [9; 32]).expect("a valid key ID"),
            clock: Arc::new(|| TimestampMs(2_000_000)),
            entropy: Arc::new(|bytes| bytes.fill(7)),
        });
        Self { views, server, version: origin.rig.version, room_id: origin.rig.room_id.clone() }
    }

    fn receive(
        &self,
        order: Order,
        outliers: &[VerifiedPdu],
        events: &[VerifiedPdu],
        states: &[GivenState<'_>],
    ) -> Result<Outcomes, RoomError> {
        block_on(self.server.receive(&Received {
            room_id: &self.room_id,
            version: self.version,
            outliers,
            events,
            order,
            states,
            without_missing_auth: false,
        }))
    }

    /// Joins with the event, for which the other server tells state and auth chain.
    fn join(&self, origin: &Origin, join: &Made) -> Outcomes {
        let (state, events) = origin.state_before(join);
        let given = GivenState { event_id: &join.event_id, state: &state, server: "one.test", anew: true };
        self.receive(Order::Live, &events, &[origin.verified(join)], &[given]).expect("a good join")
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.views.settle()
    }

    fn number(&self) -> RoomNumber {
        query::room(&*self.snapshot(), &self.room_id).unwrap().expect("the room is known").number
    }

    fn meta(&self, made: &Made) -> query::EventMeta {
        let snapshot = self.snapshot();
        let (room, offset) = query::locate(&*snapshot, &made.event_id).unwrap().expect("the event is known");
        query::meta(&*snapshot, room, offset).unwrap().expect("it has a row")
    }

    fn current(&self) -> Vec<String> {
        let snapshot = self.snapshot();
        events_of(&snapshot, query::head(&*snapshot, self.number()).unwrap().state)
    }

    /// The whole timeline, the past included, oldest first.
    fn history(&self) -> Vec<String> {
        let snapshot = self.snapshot();
        let (from, to) = (Position::live(Offset::ZERO), Position::live(Offset(u64::MAX)));
        let events = query::history(&*snapshot, self.number(), from, to, false, usize::MAX).unwrap();
        events.iter().map(|(_, at, _)| query::pdu(&*snapshot, *at).unwrap().event_id.to_string()).collect()
    }

    fn live(&self) -> Vec<String> {
        let snapshot = self.snapshot();
        let rows = query::timeline(&*snapshot, self.number(), Offset::ZERO, Offset(u64::MAX), false, usize::MAX);
        rows.unwrap().iter().map(|(at, _)| query::pdu(&*snapshot, *at).unwrap().event_id.to_string()).collect()
    }

    fn missing(&self) -> Vec<String> {
        let missing = query::backward_extremities(&*self.snapshot(), self.number()).unwrap();
        missing.into_iter().map(|missing| missing.event_id).collect()
    }

    /// A rebuild from the log has every row that the live view has, whether the projector remembers anything or not.
    fn rebuilds(&self) {
        for projector in [RoomsProjector::default(), RoomsProjector::with_memo_bytes(0)] {
            let rebuilt = TestViews::over(self.views.log.clone(), vec![Box::new(projector)], Vec::new());
            assert_eq!(rows(&*rebuilt.settle()), rows(&*self.snapshot()));
        }
    }
}

fn ids(made: &[Made]) -> Vec<String> {
    made.iter().map(|made| made.event_id.clone()).collect()
}

fn taken(outcomes: &Outcomes) -> usize {
    outcomes.values().filter(|outcome| matches!(outcome, Outcome::Taken(_))).count()
}

#[test]
fn a_join_brings_the_state_and_history_comes_later() {
    for version in VERSIONS {
        let mut origin = Origin::new(version);
        let join = origin.keep(|rig| rig.join(CAROL));
        let here = Here::new(&origin);
        here.join(&origin, &join);
        assert_eq!(here.current(), origin.current(), "version {version}");
        assert_eq!(here.live(), std::slice::from_ref(&join.event_id));
        let before = origin.made[origin.made.len() - 2].clone();
        assert_eq!(here.missing(), [before.event_id]);
        let member = query::membership(&*here.snapshot(), here.number(), BOB).unwrap();
        assert_eq!(member.map(|member| member.0), Some(Membership::Join));

        // What is said from now on builds on it; a local send too.
        let next = origin.keep(|rig| rig.message(ALICE, "welcome"));
        let outcomes = here.receive(Order::Live, &[], &[origin.verified(&next)], &[]).unwrap();
        assert!(matches!(outcomes[&next.event_id], Outcome::Taken(_)), "{outcomes:?}");
        assert_eq!(here.meta(&next).verdict, Verdict::Accepted);
        let request = SendRequest {
            room_id: &here.room_id,
            sender: CAROL,
            event_type: "m.room.message",
            state_key: None,
            content: r#"{"body":"thanks"}"#,
            redacts: None,
            transaction: None,
            timestamp_ms: None,
        };
        let sent = block_on(here.server.send(&request)).expect("Carol is in the room");
        here.views.wait(sent.offset);
        assert_eq!(query::head(&*here.snapshot(), here.number()).unwrap().extremities[0].event_id, sent.event_id);

        // The past in two pages, the nearer one first, each in any order; the first with the state before it.
        let count = origin.made.len() - 2;
        let (old, new) = (origin.all(..count - 3), origin.all(count - 3..count));
        let (state, events) = origin.state_before(&origin.made[count - 3].clone());
        let first = origin.made[count - 3].event_id.clone();
        let given = GivenState { event_id: &first, state: &state, server: "one.test", anew: false };
        here.receive(Order::Past, &events, &new, &[given]).unwrap();
        assert_eq!(here.missing(), [origin.made[count - 4].event_id.clone()]);
        here.receive(Order::Past, &[], &old, &[]).unwrap();
        assert!(here.missing().is_empty());
        let mut all = ids(&origin.made);
        all.push(sent.event_id.clone());
        assert_eq!(here.history(), all, "version {version}");
        assert_eq!(here.live(), all[count..]);
        for made in &origin.made {
            assert_eq!(here.meta(made).verdict, Verdict::Accepted, "version {version}: {}", made.event_id);
        }
        assert_eq!(query::head(&*here.snapshot(), here.number()).unwrap().extremities[0].event_id, sent.event_id);
        here.rebuilds();
    }
}

#[test]
fn who_comes_back_after_a_gap_finds_the_room_as_it_is_now() {
    for version in VERSIONS {
        let mut origin = Origin::new(version);
        let join = origin.keep(|rig| rig.join(CAROL));
        let here = Here::new(&origin);
        here.join(&origin, &join);
        let leave = origin.keep(|rig| rig.member(CAROL, CAROL, "leave"));
        here.receive(Order::Live, &[], &[origin.verified(&leave)], &[]).unwrap();
        // While nobody of this server is there, the room changes hands.
        let base = origin.made.len();
        origin.keep(|rig| rig.member(BOB, BOB, "leave"));
        origin.keep(|rig| rig.state(ALICE, "m.room.topic", "", r#"{"topic":"third"}"#));
        origin.keep(|rig| rig.state(ALICE, "m.room.join_rules", "", r#"{"join_rule":"invite"}"#));
        origin.keep(|rig| rig.member(ALICE, CAROL, "invite"));
        let again = origin.keep(|rig| rig.join(CAROL));
        here.join(&origin, &again);
        assert_eq!(here.meta(&again).verdict, Verdict::Accepted, "version {version}");
        assert_eq!(here.current(), origin.current(), "version {version}");
        let extremities = query::head(&*here.snapshot(), here.number()).unwrap().extremities;
        assert_eq!(extremities.len(), 1, "the branch from before the gap is none any more");
        assert_eq!(query::membership(&*here.snapshot(), here.number(), BOB).unwrap().unwrap().0, Membership::Leave);
        let head = query::head(&*here.snapshot(), here.number()).unwrap();
        assert_eq!(head.joined, 2);
        // The gap is filled between the two stays, and the events that were outliers are not judged by the present.
        here.receive(Order::Past, &[], &origin.all(base..base + 4), &[]).unwrap();
        let [.., last] = &here.history()[..] else { panic!("a history") };
        assert_eq!(*last, again.event_id);
        assert_eq!(here.history(), ids(&origin.made[base - 2..]), "version {version}");
        assert_eq!(here.current(), origin.current(), "version {version}");
        assert_eq!(query::state_at(&*here.snapshot(), here.number(), Offset(u64::MAX)).unwrap(), head.state);
        here.rebuilds();
    }
}

#[test]
fn what_was_received_before_changes_nothing_and_what_is_missing_is_named() {
    for version in VERSIONS {
        let mut origin = Origin::new(version);
        let join = origin.keep(|rig| rig.join(CAROL));
        let here = Here::new(&origin);
        let unknown = here.receive(Order::Live, &[], &[origin.verified(&join)], &[]);
        assert!(matches!(unknown, Err(RoomError::UnknownRoom(_))), "{unknown:?}");
        here.join(&origin, &join);
        let records = here.views.log.len();
        assert_eq!(taken(&here.join(&origin, &join)), 0);
        assert_eq!(here.views.log.len(), records);

        let first = origin.keep(|rig| rig.message(ALICE, "first"));
        let second = origin.keep(|rig| rig.message(ALICE, "second"));
        let outcomes = here.receive(Order::Live, &[], &[origin.verified(&second)], &[]).unwrap();
        assert_eq!(outcomes[&second.event_id], Outcome::Missing(vec![first.event_id.clone()]));
        assert_eq!(here.views.log.len(), records);
        let unknown = query::unknown(&*here.snapshot(), here.number(), &origin.rig.stored(&second).pdu).unwrap();
        assert_eq!((unknown.prev_events, unknown.auth_events), (vec![first.event_id.clone()], Vec::new()));
        // In the wrong order, which is nobody's concern.
        let both = [origin.verified(&second), origin.verified(&first)];
        assert_eq!(taken(&here.receive(Order::Live, &[], &both, &[]).unwrap()), 2);
        assert_eq!(here.live(), ids(&[join, first, second]));

        let mut other = Rig::empty(version);
        other.room_id = "!other:one.test".to_owned();
        let create = format!(r#"{{"room_version":"{version}","creator":"{ALICE}","other":true}}"#);
        let stray = other.state(ALICE, "m.room.create", "", &create);
        let pdu = VerifiedPdu { event: other.stored(&stray).pdu, verified_keys: Vec::new() };
        here.receive(Order::Live, &[], &[pdu], &[]).expect_err("an event of another room");
    }
}

/// RES-11: what is known as part of a state only gets its place when it arrives in the graph, and states that name it
/// stay what they are.
#[test]
fn outliers_are_upgraded_where_they_belong() {
    for version in VERSIONS {
        let mut origin = Origin::new(version);
        let join = origin.keep(|rig| rig.join(CAROL));
        let here = Here::new(&origin);
        here.join(&origin, &join);
        let bob =
            origin.made.iter().find(|made| origin.rig.stored(made).pdu.is_state_of("m.room.member", BOB)).unwrap();
        assert_eq!((here.meta(bob).place, here.meta(bob).verdict), (Place::Apart, Verdict::Outlier));
        assert!(query::state_ids_before(&*here.snapshot(), here.number(), &bob.event_id).unwrap().is_none());
        let snapshot = here.snapshot();
        let (_, apart) = query::locate(&*snapshot, &bob.event_id).unwrap().unwrap();
        let root = query::head(&*snapshot, here.number()).unwrap().state;
        here.receive(Order::Past, &[], &origin.all(..origin.made.len() - 1), &[]).unwrap();
        let snapshot = here.snapshot();
        assert_eq!(
            (here.meta(bob).place, here.meta(bob).verdict),
            (here.meta(&origin.made[0]).place, Verdict::Accepted)
        );
        let (at, meta) = query::placed(&*snapshot, here.number(), apart).unwrap().expect("it is found where it was");
        assert_eq!(query::locate(&*snapshot, &bob.event_id).unwrap(), Some((here.number(), at)));
        assert_eq!(meta.verdict, Verdict::Accepted);
        let stored = query::event(&*snapshot, here.number(), apart).unwrap().unwrap();
        assert_eq!((stored.offset, stored.pdu.event_id.as_str()), (at, bob.event_id.as_str()));
        assert_eq!(query::head(&*snapshot, here.number()).unwrap().state, root, "what is past changes no present");
        let before = query::state_ids_before(&*snapshot, here.number(), &bob.event_id).unwrap().unwrap();
        let theirs =
            query::state_ids_before(&*origin.rig.snapshot(), origin.rig.number(), &bob.event_id).unwrap().unwrap();
        let names = |events: &query::Events| -> Vec<String> {
            let mut names: Vec<_> = events.values().map(|event| event.event_id.to_string()).collect();
            names.sort();
            names
        };
        assert_eq!(names(&before.state), names(&theirs.state));
        assert_eq!(names(&before.auth_chain), names(&theirs.auth_chain));
        here.rebuilds();
    }
}

#[test]
fn a_forged_past_is_rejected_and_the_reason_recorded() {
    for version in VERSIONS {
        let mut origin = Origin::new(version);
        let base = origin.rig.last.clone().unwrap();
        // Nobody here has let Carol in.
        let forged = origin.rig.message_on(&[&base], CAROL, "I was here");
        assert_eq!(origin.rig.verdict(&forged), Verdict::Rejected);
        let join = origin.rig.state_on(&[&forged], CAROL, "m.room.member", CAROL, r#"{"membership":"join"}"#);
        let here = Here::new(&origin);
        here.join(&origin, &join);
        let mut past = origin.all(..);
        past.push(origin.verified(&forged));
        here.receive(Order::Past, &[], &past, &[]).unwrap();
        assert_eq!(here.meta(&forged).verdict, Verdict::Rejected, "version {version}");
        let snapshot = here.snapshot();
        let (room, offset) = query::locate(&*snapshot, &forged.event_id).unwrap().unwrap();
        let reason = query::reason(&*snapshot, room, offset).unwrap().expect("a reason");
        assert!(reason.starts_with("by "), "{reason}");
        assert!(!here.history().contains(&forged.event_id));
        // What comes before it is reached over it all the same.
        assert_eq!(here.history().len(), origin.made.len() + 1);
        here.rebuilds();
    }
}

#[test]
fn pages_cross_from_the_present_into_the_past() {
    let mut origin = Origin::new("10");
    let join = origin.keep(|rig| rig.join(CAROL));
    let here = Here::new(&origin);
    here.join(&origin, &join);
    for count in 0..3 {
        let next = origin.keep(|rig| rig.message(ALICE, &format!("{count}")));
        here.receive(Order::Live, &[], &[origin.verified(&next)], &[]).unwrap();
    }
    here.receive(Order::Past, &[], &origin.all(..origin.made.len() - 4), &[]).unwrap();
    let all = here.history();
    assert_eq!(all, ids(&origin.made));
    let snapshot = here.snapshot();
    for limit in 1..5 {
        let (mut to, mut seen) = (Position::live(Offset(u64::MAX)), Vec::new());
        loop {
            let from = Position::live(Offset::ZERO);
            let page = query::history(&*snapshot, here.number(), from, to, true, limit).unwrap();
            let Some((last, ..)) = page.last() else { break };
            to = *last;
            seen.extend(page.iter().map(|(_, at, _)| query::pdu(&*snapshot, *at).unwrap().event_id.to_string()));
        }
        seen.reverse();
        assert_eq!(seen, all, "pages of {limit}");
    }
}

#[test]
fn other_servers_get_what_they_may_see() {
    let mut origin = Origin::new("11");
    let hidden =
        origin.keep(|rig| rig.state(ALICE, "m.room.history_visibility", "", r#"{"history_visibility":"joined"}"#));
    let before = origin.keep(|rig| rig.message(ALICE, "before Carol"));
    origin.keep(|rig| rig.join(CAROL));
    let after = origin.keep(|rig| rig.message(ALICE, "with Carol"));
    let redacted = origin.keep(|rig| rig.message(ALICE, "gone"));
    origin.keep(|rig| rig.redact(ALICE, &redacted.event_id));
    let snapshot = origin.rig.snapshot();
    let sees = |server: &str, made: &Made| {
        let mut sight = ServerSight::new(&*snapshot, origin.rig.number(), server).unwrap();
        let event = origin.rig.stored(made);
        let shown = sight.presented(&event).unwrap();
        let whole = sight.may_see(&event).unwrap() && event.meta.redacted_by.is_none();
        assert!(event.pdu.is_state() || whole == (&*shown == event.pdu.json()));
        sight.may_see(&event).unwrap()
    };
    let old = origin.made[4].clone();
    assert!(sees("nobody.test", &old) && sees("three.test", &old), "shared history");
    assert!(sees("two.test", &before) && !sees("three.test", &before) && sees("three.test", &after));
    assert!(!sees("nobody.test", &after) && !sees("nobody.test", &hidden));
    assert!(sees("three.test", &redacted));

    let last = origin.rig.last.clone().unwrap();
    let page = query::backfill_page(&*snapshot, origin.rig.number(), std::slice::from_ref(&last.event_id), 3).unwrap();
    let page: Vec<_> = page.iter().map(|event| event.pdu.event_id.to_string()).collect();
    let mut expected = ids(&origin.made[origin.made.len() - 3..]);
    expected.reverse();
    assert_eq!(page, expected);
    let gap = |earliest: &Made, limit, min_depth| {
        let (earliest, latest) = ([earliest.event_id.clone()], [last.event_id.clone()]);
        let found =
            query::missing_events(&*snapshot, origin.rig.number(), &earliest, &latest, limit, min_depth).unwrap();
        found.iter().map(|event| event.pdu.event_id.to_string()).collect::<Vec<_>>()
    };
    let between = &origin.made[origin.made.len() - 4..origin.made.len() - 1];
    assert_eq!(gap(&before, 10, 0), ids(between));
    assert_eq!(gap(&before, 2, 0), ids(&between[1..]));
    assert_eq!(gap(&before, 10, redacted.depth), [redacted.event_id]);

    let event = |made: &Made| origin.rig.stored(made).pdu;
    let chain = query::auth_chain(&*snapshot, [&*event(&after)]).unwrap();
    assert!(chain.values().any(|event| event.event_type == "m.room.create") && chain.len() >= 3);
    let sets = [vec![event(&after)], vec![event(&before)]];
    let difference = query::auth_difference(&*snapshot, &sets).unwrap();
    assert!(difference.values().all(|e| e.event_id == *after.event_id || e.event_id == *before.event_id));
    assert_eq!(difference.len(), 2);
}

/// IDS-11: a peer claims the greatest depth that there is, and people go on talking.
#[test]
fn the_greatest_depth_does_not_end_a_room() {
    for version in ["5", "10"] {
        let mut origin = Origin::new(version);
        let join = origin.keep(|rig| rig.join(CAROL));
        let here = Here::new(&origin);
        here.join(&origin, &join);
        let depth = here.version.depth_max();
        let deep = Made { depth: depth - 1, ..join.clone() };
        let deepest = origin.rig.message_on(&[&deep], ALICE, "deep");
        here.receive(Order::Live, &[], &[origin.verified(&deepest)], &[]).unwrap();
        assert_eq!(here.meta(&deepest).depth, depth);
        for body in ["one", "two"] {
            let content = format!(r#"{{"body":"{body}"}}"#);
            let request = SendRequest {
                room_id: &here.room_id,
                sender: CAROL,
                event_type: "m.room.message",
                state_key: None,
                content: &content,
                redacts: None,
                transaction: None,
                timestamp_ms: None,
            };
            let sent = block_on(here.server.send(&request)).expect("the room goes on");
            here.views.wait(sent.offset);
            let meta = query::meta(&*here.snapshot(), here.number(), sent.offset).unwrap().unwrap();
            assert_eq!((meta.depth, meta.verdict), (depth, Verdict::Accepted), "version {version}");
        }
    }
}
