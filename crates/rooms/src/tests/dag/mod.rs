//! Random event graphs in every room version: the projector, which resolves differences of states and keeps memos,
//! against the book, which goes by whole states and keeps everything.
//!
//! A failure names its seed. `ENGRAM_DAG_SEED=S ENGRAM_DAGS=1` runs that graph alone; `ENGRAM_DAGS=10000` and
//! `ENGRAM_DAG_ORDERS=100000` are the long runs.

mod book;
mod generate;

use std::collections::{BTreeMap, BTreeSet};

use engram_log::Offset;
use engram_log_format::v1;
use engram_matrix::OwnedEventId;
use engram_matrix::room_version::RoomVersion;
use engram_views::Snapshot;
use engram_views::testing::{MemoryLog, TestViews};

use self::book::Book;
use self::generate::Random;
use super::rig::rows;
use crate::projector::RoomsProjector;
use crate::query::{self, Verdict};
use crate::state::{self, Root};

/// Graphs and orders that are tried where nobody asks for more.
const DAGS: u64 = 36;
const ORDERS: u64 = 120;
/// Graphs that share one set of views.
const CHUNK: u64 = 120;

#[expect(clippy::disallowed_methods, reason = "a long run is asked for by the environment, not by the test")]
fn asked(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a whole number"))
}

fn seeds(count: u64) -> std::ops::Range<u64> {
    let first = asked("ENGRAM_DAG_SEED", 1);
    first..first + count
}

/// The graph of a seed. Seeds go through the versions in turn.
fn book_of(seed: u64) -> Book {
    let versions: Vec<&'static RoomVersion> = RoomVersion::supported().collect();
    generate::book(versions[seed as usize % versions.len()], seed)
}

/// What was delivered of one graph: the event of each offset.
type Delivered = BTreeMap<Offset, OwnedEventId>;

fn deliver(log: &MemoryLog, book: &Book, order: &[usize]) -> Delivered {
    let events = order.iter().map(|index| &book.order[*index]);
    events.map(|event| (log.journal(book.record(event), 1), event.clone())).collect()
}

fn views_over(log: MemoryLog) -> TestViews {
    TestViews::over(log, vec![Box::new(RoomsProjector::default())], Vec::new())
}

/// The events of a state.
fn events_of(snapshot: &Snapshot, delivered: &Delivered, root: Root) -> BTreeSet<OwnedEventId> {
    let entries = state::entries(snapshot, root).unwrap();
    entries.into_iter().map(|(_, offset)| delivered[&offset].clone()).collect()
}

/// What does not depend on the order of delivery: who is rejected, and the state after every event.
fn check_states(snapshot: &Snapshot, book: &Book, delivered: &Delivered, seed: u64) {
    let room = query::room(snapshot, &book.room_id).unwrap().expect("the room is known").number;
    for (offset, id) in delivered {
        let entry = &book.entries[id];
        let meta = query::meta(snapshot, room, *offset).unwrap().expect("the event is stored");
        let reason = || query::reason(snapshot, room, *offset).unwrap();
        let is_rejected = |verdict| verdict == Verdict::Rejected;
        assert_eq!(is_rejected(meta.verdict), is_rejected(entry.verdict), "seed {seed}: {id}, {:?}", reason());
        let after = query::state_after(snapshot, room, *offset, &meta).unwrap();
        let expected: BTreeSet<_> = entry.after.values().cloned().collect();
        assert_eq!(events_of(snapshot, delivered, after), expected, "seed {seed}: the state after {id}");
    }
}

/// What holds for the order in which the book was written: all verdicts, extremities, current state, members.
fn check_head(snapshot: &Snapshot, book: &Book, delivered: &Delivered, seed: u64) {
    let room = query::room(snapshot, &book.room_id).unwrap().expect("the room is known").number;
    for (offset, id) in delivered {
        let meta = query::meta(snapshot, room, *offset).unwrap().expect("the event is stored");
        assert_eq!(meta.verdict, book.entries[id].verdict, "seed {seed}: {id}");
    }
    let head = query::head(snapshot, room).unwrap();
    let extremities: BTreeSet<_> =
        head.extremities.iter().map(|extremity| delivered[&extremity.offset].clone()).collect();
    assert_eq!(extremities, book.extremities.iter().cloned().collect(), "seed {seed}: extremities");
    let current = book.current();
    let expected: BTreeSet<_> = current.values().cloned().collect();
    assert_eq!(events_of(snapshot, delivered, head.state), expected, "seed {seed}: current state");
    let joined = current.iter().filter(|(key, id)| key.0 == "m.room.member" && book.entries[*id].is_join());
    assert_eq!(head.joined, joined.count() as u64, "seed {seed}: joined members");
}

#[test]
fn the_projector_agrees_with_the_book() {
    let seeds = seeds(asked("ENGRAM_DAGS", DAGS));
    let (mut verdicts, mut joins) = (BTreeMap::new(), BTreeMap::new());
    let mut resolved = 0;
    for first in seeds.clone().step_by(CHUNK as usize) {
        let log = MemoryLog::new();
        let chunk: Vec<_> = (first..seeds.end.min(first + CHUNK))
            .map(|seed| {
                let book = book_of(seed);
                let order: Vec<usize> = (0..book.order.len()).collect();
                let delivered = deliver(&log, &book, &order);
                (seed, book, delivered)
            })
            .collect();
        let views = views_over(log);
        let snapshot = views.settle();
        for (seed, book, delivered) in &chunk {
            check_states(&snapshot, book, delivered, *seed);
            check_head(&snapshot, book, delivered, *seed);
            for entry in book.entries.values() {
                *verdicts.entry(format!("{:?}", entry.verdict)).or_insert(0) += 1;
                if let Some(rule) = &entry.joined_by {
                    *joins.entry(rule.clone()).or_insert(0) += 1;
                }
            }
            resolved += book.resolved.get();
        }
    }
    println!(
        "seeds {seeds:?}: events by verdict {verdicts:?}, joins by rule {joins:?}, {resolved} resolutions of differing states"
    );
    if seeds.end - seeds.start >= 1000 {
        for rule in ["public", "invite", "knock", "restricted", "knock_restricted"] {
            assert!(joins.contains_key(rule), "nobody has joined under the rule {rule}: {joins:?}");
        }
    }
    assert!(verdicts.len() == 3 && resolved > 0, "the graphs are worth their name: {verdicts:?}, {resolved}");
}

#[test]
fn any_order_of_delivery_gives_the_same_states() {
    let orders = asked("ENGRAM_DAG_ORDERS", ORDERS);
    let books: Vec<(u64, Book)> = seeds(12 * orders.div_ceil(1200)).map(|seed| (seed, book_of(seed))).collect();
    let mut random = Random(asked("ENGRAM_DAG_SEED", 1) ^ 0x5eed);
    let mut tried = 0;
    while tried < orders {
        let log = MemoryLog::new();
        let round: Vec<Delivered> =
            books.iter().map(|(_, book)| deliver(&log, book, &generate::shuffled(book, &mut random))).collect();
        let views = views_over(log);
        let snapshot = views.settle();
        for ((seed, book), delivered) in books.iter().zip(&round) {
            check_states(&snapshot, book, delivered, *seed);
        }
        tried += books.len() as u64;
    }
    println!("{tried} orders of {} graphs", books.len());
}

/// What a server is told of a graph that it joins at an event, with the state there: what follows, as far as it hangs
/// together, and then all the rest as its past.
fn join_at(log: &MemoryLog, book: &Book, at: &OwnedEventId) {
    let append = |id: &OwnedEventId, source| {
        log.journal(v1::Pdu { source, ..book.record(id) }, 1);
    };
    let state = book.before(&book.entries[at].pdu.prev_events);
    let mut known: BTreeSet<OwnedEventId> = state.values().cloned().collect();
    let mut pending: Vec<OwnedEventId> = known.iter().cloned().chain([at.clone()]).collect();
    while let Some(id) = pending.pop() {
        pending.extend(book.entries[&id].pdu.auth_events.iter().filter(|id| known.insert((*id).clone())).cloned());
    }
    // Version 12 has its create event in no chain.
    known.insert(book.order[0].clone());
    for id in book.order.iter().filter(|id| known.contains(*id)) {
        append(id, v1::PduSource::Outlier);
    }
    let given = v1::StateGiven {
        room_id: book.room_id.clone(),
        event_id: at.to_string(),
        state: state.values().map(ToString::to_string).collect(),
        server: "a.test".to_owned(),
        anew: true,
    };
    log.journal(given, 1);
    append(at, v1::PduSource::Federation);
    let mut placed = BTreeSet::from([at.clone()]);
    for id in &book.order {
        let pdu = &book.entries[id].pdu;
        let hangs_together = !pdu.prev_events.is_empty() && pdu.prev_events.iter().all(|id| placed.contains(id));
        if !placed.contains(id) && hangs_together && pdu.auth_events.iter().all(|id| known.contains(id)) {
            append(id, v1::PduSource::Federation);
            placed.insert(id.clone());
            known.insert(id.clone());
        }
    }
    for id in book.order.iter().filter(|id| !placed.contains(*id)) {
        append(id, v1::PduSource::Backfill);
    }
}

#[test]
fn who_joins_and_is_told_the_past_comes_to_the_same_states() {
    let mut random = Random(asked("ENGRAM_DAG_SEED", 1) ^ 0x10_1e);
    let (mut joined, mut past) = (0, 0);
    for seed in seeds(asked("ENGRAM_DAGS", DAGS)) {
        let book = book_of(seed);
        let accepted: Vec<&OwnedEventId> =
            book.order[1..].iter().filter(|id| book.entries[*id].verdict == Verdict::Accepted).collect();
        let at = accepted[random.below(accepted.len())];
        let log = MemoryLog::new();
        join_at(&log, &book, at);
        let views = views_over(log.clone());
        let snapshot = views.settle();
        let room = query::room(&*snapshot, &book.room_id).unwrap().expect("the room is known").number;
        for (id, entry) in &book.entries {
            let (_, offset) = query::locate(&*snapshot, id.as_str()).unwrap().expect("every event was told");
            let (offset, meta) = query::placed(&*snapshot, room, offset).unwrap().expect("it has a row");
            let reason = || query::reason(&*snapshot, room, offset).unwrap();
            assert_ne!(meta.place, query::Place::Apart, "seed {seed}: {id}, {:?}", reason());
            let is_rejected = |verdict| verdict == Verdict::Rejected;
            assert_eq!(is_rejected(meta.verdict), is_rejected(entry.verdict), "seed {seed}: {id}, {:?}", reason());
            let after = query::state_after(&*snapshot, room, offset, &meta).unwrap();
            let entries = state::entries(&*snapshot, after).unwrap();
            let ids: BTreeSet<String> =
                entries.into_iter().map(|(_, at)| query::event_id(&*snapshot, at).unwrap().into()).collect();
            let expected: BTreeSet<String> = entry.after.values().map(ToString::to_string).collect();
            assert_eq!(ids, expected, "seed {seed}, joined at {at}: the state after {id}");
            past += u32::from(matches!(meta.place, query::Place::Past(Some(_))));
        }
        assert!(query::backward_extremities(&*snapshot, room).unwrap().is_empty(), "seed {seed}: all is told");
        if seed % 4 == 0 {
            let forgetful = vec![Box::new(RoomsProjector::with_memo_bytes(0)) as Box<dyn engram_views::AnyProjector>];
            let forgetful = TestViews::over(log, forgetful, Vec::new());
            assert!(
                rows(&*forgetful.settle()) == rows(&*snapshot),
                "seed {seed}: what is remembered changes something"
            );
        }
        joined += 1;
    }
    println!("{joined} joins, {past} events of the past in their places");
    assert!(past > 0);
}
