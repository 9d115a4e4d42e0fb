//! State snapshots in the tables: nothing is stored that no state reaches, and what a reader holds stays.

use std::ops::{Bound, ControlFlow};

use crate::delta::{Apply, RoomDelta};
use engram_log::{InputRef, Record};
use engram_log_format::v1;
use engram_views::testing::{MemoryLog, TestViews};
use engram_views::{ProjectError, Projector, Read as _, Table};

use super::rig::{ALICE, BOB, Rig};
use crate::projector::RoomsProjector;
use crate::query;
use crate::state::{self, Nodes};
use crate::tables::{self, TRIE};
use crate::types::RoomNumber;

/// Forks, resolutions and removals of entries, in a room of several levels of nodes.
fn forked(rig: &mut Rig) {
    for member in 0..60 {
        rig.join(&format!("@member{member}:three.test"));
    }
    for round in 0..6 {
        let base = rig.last.clone().unwrap();
        let (mut left, mut right) = (base.clone(), base);
        for entry in 0..5 {
            let content = format!(r#"{{"round":{round}}}"#);
            left = rig.state_on(&[&left], ALICE, "x.custom", &entry.to_string(), &content);
            right = rig.state_on(&[&right], BOB, "x.custom", &entry.to_string(), "{}");
        }
        let ban = rig.state_on(&[&left], ALICE, "m.room.member", BOB, r#"{"membership":"ban"}"#);
        let joined = rig.message_on(&[&ban, &right], ALICE, "joined");
        rig.last = Some(joined);
        rig.member(ALICE, BOB, "leave");
        rig.join(BOB);
    }
}

#[test]
fn every_node_is_reached_from_the_state_of_some_event() {
    for version in ["10", "11", "12"] {
        let mut rig = Rig::room(version);
        rig.power(ALICE, &[(BOB, 50)]);
        rig.join(BOB);
        forked(&mut rig);
        let Nodes { stored, reached } = state::count_nodes(&*rig.snapshot()).unwrap();
        assert_eq!(stored, reached, "version {version}");
        assert!(stored > 100, "{stored} nodes are enough to go wrong with");
    }
}

/// The rooms' projector, which takes the first room away where a room is listed.
struct Removing(RoomsProjector);

impl Projector for Removing {
    type Delta = RoomDelta;

    fn name(&self) -> &'static str {
        "rooms"
    }

    fn version(&self) -> u32 {
        1
    }

    fn tables(&self) -> &'static [&'static Table] {
        tables::ALL
    }

    fn apply(&mut self, record: &Record, input: InputRef<'_>, view: &mut Apply<'_>) -> Result<(), ProjectError> {
        if let InputRef::RoomPublished(_) = input {
            state::remove_room(view, RoomNumber(1))?;
            self.0.reset();
            return Ok(());
        }
        self.0.apply(record, input, view)
    }

    fn reset(&mut self) {
        self.0.reset();
    }
}

#[test]
fn a_room_that_is_removed_takes_its_nodes_along_and_nobody_elses() {
    let mut first = Rig::room("12");
    first.power(ALICE, &[(BOB, 50)]);
    first.join(BOB);
    forked(&mut first);
    let mut second = Rig::room("11");
    second.join(BOB);
    let log = MemoryLog::new();
    for rig in [&first, &second] {
        for offset in 1..=rig.views.log.len() as u64 {
            let record = engram_log::Log::read(&rig.views.log, engram_log::Offset(offset)).unwrap();
            log.journal(record.input().unwrap().to_owned(), 1);
        }
    }
    let views = TestViews::over(log.clone(), vec![Box::new(Removing(RoomsProjector::default()))], Vec::new());
    let before = views.settle();
    let root = query::head(&*before, RoomNumber(1)).unwrap().state;
    let entries = state::entries(&*before, root).unwrap();
    let other = query::head(&*before, RoomNumber(2)).unwrap().state;
    let kept = state::entries(&*before, other).unwrap();

    let removed = log.journal(v1::RoomPublished { room_id: String::new(), published: false }, 1);
    let after = views.wait(removed);
    assert!(state::entries(&*after, root).is_err(), "its nodes are gone");
    assert_eq!(state::entries(&*after, other).unwrap(), kept);
    let nodes = state::count_nodes(&*after).unwrap();
    assert_eq!(nodes.stored, nodes.reached);
    let mut rows = 0;
    let mut visit = |_: &[u8], _: &[u8]| {
        rows += 1;
        ControlFlow::Continue(())
    };
    after.scan(&TRIE, Bound::Unbounded, Bound::Unbounded, false, &mut visit).unwrap();
    assert_eq!(rows, 2 * nodes.stored, "no hash stays behind");
    // Who began to read before goes on as if nothing had happened.
    assert_eq!(state::entries(&*before, root).unwrap(), entries);
}
