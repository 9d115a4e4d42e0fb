//! Rooms with many ends: what the next event names, who joins them, and what the state is meanwhile (RES-10).

use std::sync::Arc;

use engram_base::block_on;
use engram_log::{Log as _, Offset, TimestampMs};
use engram_matrix::keys::SigningKey;
use engram_views::{Batch, Observer};
use parking_lot::Mutex;

use super::resolution::{by_the_book, whole};
use super::rig::{ALICE, BOB, Made, Rig, VERSIONS};
use crate::limits::{EXTREMITIES_CROWDED, EXTREMITIES_MAX};
use crate::query::{self, Verdict};
use crate::writer::{ChoreWatch, NoAccounts, Parts, RoomServer, SendRequest};

/// The writers of Alice's server.
pub(super) fn server(rig: &Rig) -> Arc<RoomServer> {
    RoomServer::new(Parts {
        log: Arc::new(rig.views.log.clone()),
        views: Arc::clone(&rig.views.views),
        accounts: Arc::new(NoAccounts),
        server_name: "one.test".to_owned(),
        key: SigningKey::from_seed("ed25519:1", [7; 32]).expect("a valid key ID"),
        clock: Arc::new(|| TimestampMs(9_000_000)),
        entropy: Arc::new(|bytes| bytes.fill(7)),
    })
}

/// Hands deltas on to a watch that is there only after the views.
#[derive(Default, Clone)]
struct Later(Arc<Mutex<Option<ChoreWatch>>>);

impl Observer for Later {
    fn committed(&mut self, batch: &Batch<'_>) {
        if let Some(watch) = self.0.lock().as_mut() {
            watch.committed(batch);
        }
    }
}

/// A room of Alice's and Bob's with a base, and so many ends on it.
fn forked(version: &str, ends: usize, later: &Later) -> (Rig, Arc<RoomServer>, Made) {
    let mut rig = Rig::observed(version, vec![Box::new(later.clone())]);
    rig.begin();
    rig.power(ALICE, &[(BOB, 50)]);
    let base = rig.join(BOB);
    let server = server(&rig);
    *later.0.lock() = Some(ChoreWatch(Arc::clone(&server)));
    for end in 0..ends {
        let (sender, key) = if end % 2 == 0 { (BOB, "even") } else { (ALICE, "odd") };
        match end % 3 {
            0 => rig.message_on(&[&base], sender, "x"),
            1 => rig.state_on(&[&base], sender, "x.custom", key, &format!(r#"{{"end":{end}}}"#)),
            _ => rig.state_on(&[&base], sender, "x.custom", &end.to_string(), "{}"),
        };
    }
    (rig, server, base)
}

fn parents_of(rig: &Rig, offset: Offset) -> Vec<String> {
    let pdu = query::pdu(&*rig.snapshot(), offset).unwrap();
    pdu.prev_events.iter().map(ToString::to_string).collect()
}

#[test]
fn the_writer_joins_the_branches_of_a_crowded_room() {
    for version in VERSIONS {
        let (rig, server, _) = forked(version, 50, &Later::default());
        assert_eq!(rig.extremities().len(), 50);
        let shown = rig.timeline();
        let before = rig.views.log.len();
        let mut rounds = 0;
        while block_on(server.join_crowded()) > 0 {
            rounds += 1;
            if rig.extremities().len() <= 20 {
                assert_eq!(whole(&rig.snapshot(), rig.head().state), by_the_book(&rig), "version {version}");
            }
        }
        assert_eq!(rounds, 3, "50, 31, 12: each event leaves 19 less until there are 10 or fewer");
        assert!(rig.extremities().len() <= EXTREMITIES_CROWDED);
        assert_eq!(rig.timeline(), shown, "nobody is shown an event that joins branches");
        for offset in before as u64 + 1..=rig.views.log.len() as u64 {
            assert!(parents_of(&rig, Offset(offset)).len() <= 20);
            let meta = query::meta(&*rig.snapshot(), rig.number(), Offset(offset)).unwrap().unwrap();
            assert_eq!(meta.verdict, Verdict::Accepted);
        }
        let next = block_on(server.send(&message(&rig))).unwrap().offset;
        rig.views.wait(next);
        assert_eq!(rig.extremities().len(), 1);
        let custom = whole(&rig.snapshot(), rig.head().state).into_keys().filter(|key| key.0 == "x.custom");
        assert_eq!(custom.count(), 2 + 16, "no branch is lost");
    }
}

fn message(rig: &Rig) -> SendRequest<'_> {
    SendRequest {
        room_id: &rig.room_id,
        sender: ALICE,
        event_type: "m.room.message",
        state_key: None,
        content: r#"{"body":"x"}"#,
        redacts: None,
        transaction: None,
        timestamp_ms: None,
    }
}

#[test]
fn what_a_head_could_not_name_is_named_later() {
    let (rig, server, _) = forked("11", 25, &Later::default());
    let sent: Vec<Offset> = (0..4).map(|_| block_on(server.send(&message(&rig))).unwrap().offset).collect();
    rig.snapshot();
    assert_eq!(parents_of(&rig, sent[0]).len(), 20);
    for offset in sent {
        let meta = query::meta(&*rig.snapshot(), rig.number(), offset).unwrap().unwrap();
        assert_eq!(meta.verdict, Verdict::Accepted);
    }
    let last = block_on(server.send(&message(&rig))).unwrap().offset;
    rig.views.wait(last);
    assert_eq!(rig.extremities().len(), 1, "the five that were left are not forgotten");
}

#[test]
fn a_room_keeps_a_bounded_number_of_ends() {
    let (mut rig, server, base) = forked("11", EXTREMITIES_MAX + 30, &Later::default());
    assert_eq!(rig.extremities().len(), EXTREMITIES_MAX);
    let deep = rig.message_on(&[&base], BOB, "one more");
    assert!(rig.extremities().contains(&deep.event_id));
    assert_eq!(rig.extremities().len(), EXTREMITIES_MAX);
    while block_on(server.join_crowded()) > 0 {
        rig.snapshot();
    }
    assert!(rig.extremities().len() <= EXTREMITIES_CROWDED);
    assert_eq!(whole(&rig.snapshot(), rig.head().state), by_the_book(&rig));
    assert_eq!(rig.views.log.durable_end(), Offset(rig.views.log.len() as u64));
}

#[test]
fn a_room_without_local_members_is_left_to_others() {
    let (mut rig, server, _) = forked("11", 15, &Later::default());
    assert_eq!(block_on(server.join_branches("!room:one.test")).unwrap().map(|sent| sent.offset.0), Some(22));
    let base = rig.last.clone().unwrap();
    let leave = rig.state_on(&[&base], ALICE, "m.room.member", ALICE, r#"{"membership":"leave"}"#);
    for _ in 0..15 {
        rig.message_on(&[&leave], BOB, "x");
    }
    assert!(rig.extremities().len() > EXTREMITIES_CROWDED);
    let server = self::server(&rig);
    assert_eq!(block_on(server.join_branches("!room:one.test")).unwrap(), None);
}
