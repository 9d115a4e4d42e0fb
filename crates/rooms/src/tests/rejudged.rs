//! A new version of the view that judges by other rules, over views that an old one left.

use std::path::Path;
use std::sync::Arc;

use crate::delta::{Apply, RoomDelta};
use engram_log::{InputRef, Log as _, Offset, Record, TimestampMs};
use engram_matrix::keys::SigningKey;
use engram_views::testing::{MemoryLog, scratch_dir};
use engram_views::{Options, ProjectError, Projector, Table, Views};

use super::rig::{ALICE, BOB, Rig};
use crate::projector::{Check, RoomsProjector, Rules};
use crate::query::{self, Verdict};
use crate::writer::{NoAccounts, Parts};

/// A projector of an older version, whatever its rules were.
struct Older(RoomsProjector);

impl Projector for Older {
    type Delta = RoomDelta;

    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn version(&self) -> u32 {
        self.0.version() - 1
    }

    fn tables(&self) -> &'static [&'static Table] {
        self.0.tables()
    }

    fn compared(&self) -> Option<&'static Table> {
        self.0.compared()
    }

    fn apply(&mut self, record: &Record, input: InputRef<'_>, view: &mut Apply<'_>) -> Result<(), ProjectError> {
        self.0.apply(record, input, view)
    }

    fn reset(&mut self) {
        self.0.reset();
    }
}

fn open(dir: &Path, log: &MemoryLog, projector: Box<dyn engram_views::AnyProjector>) -> (Arc<Views>, Parts) {
    let log = Arc::new(log.clone());
    let views = Views::open(dir, log.clone(), vec![projector], Options::default()).expect("views open");
    let parts = Parts {
        log,
        views: Arc::clone(&views),
        accounts: Arc::new(NoAccounts),
        server_name: "one.test".to_owned(),
        key: SigningKey::from_seed("ed25519:1", [7; 32]).expect("a valid key ID"),
        clock: Arc::new(|| TimestampMs(9_000_000)),
        entropy: Arc::new(|bytes| bytes.fill(1)),
    };
    (views, parts)
}

#[test]
fn rooms_that_better_rules_judge_otherwise_are_named_once_and_no_others() {
    let mut rig = Rig::room("10");
    let join = rig.join(BOB);
    rig.member(ALICE, BOB, "ban");
    let late = rig.message_on(&[&join], BOB, "I was still a member");
    assert_eq!(rig.verdict(&late), Verdict::SoftFailed);
    let mut quiet = Rig::empty("12");
    std::mem::swap(&mut quiet.views, &mut rig.views);
    quiet.state(ALICE, "m.room.create", "", r#"{"room_version":"12"}"#);
    let log = quiet.views.log.clone();

    let directory = scratch_dir();
    let mut rules = Rules::default();
    rules.leave_out(Check::CurrentState);
    let (views, server) = open(directory.path(), &log, Box::new(Older(RoomsProjector::by_rules(rules))));
    assert_eq!(server.tell_of_rejudged().unwrap(), 0, "there is nothing to compare with yet");
    let room = query::room(&*views.snapshot(), &rig.room_id).unwrap().unwrap().number;
    let meta = query::meta(&*views.snapshot(), room, late.offset).unwrap().unwrap();
    assert_eq!(meta.verdict, Verdict::Accepted, "by the rules of old");
    drop((views, server));

    // A crash after the rebuild, before anybody was told.
    drop(open(directory.path(), &log, Box::new(RoomsProjector::default())));
    let (views, server) = open(directory.path(), &log, Box::new(RoomsProjector::default()));
    let end = log.durable_end();
    assert_eq!(server.tell_of_rejudged().unwrap(), 1);
    let record = log.read(Offset(end.0 + 1)).unwrap();
    let Ok(InputRef::RoomsRejudged(told)) = record.input() else { panic!("another record") };
    assert!(told.room_ids.iter().eq([rig.room_id.as_str()]));
    views.start(Vec::new());
    views.wait_applied_blocking(record.offset).unwrap();
    assert_eq!(query::rejudged(&*views.snapshot(), room).unwrap(), record.offset);
    let other = query::room(&*views.snapshot(), &quiet.room_id).unwrap().unwrap().number;
    assert_eq!(query::rejudged(&*views.snapshot(), other).unwrap(), Offset::ZERO);
    assert_eq!(server.tell_of_rejudged().unwrap(), 0, "once");
    views.close();
}
