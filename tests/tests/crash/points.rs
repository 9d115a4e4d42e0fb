//! Kills at named points: each point of the program is hit at least once.
//!
//! Points that a start passes are hit one after the other, each start dying where the one before it did not: recovery
//! from a recovery that was killed. Points of traffic and of an orderly stop have a round of writers each.

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use engram_failpoints::Point;
use engram_tests::Server;
use engram_tests::server::external_url;

use super::writers::Written;
use super::{End, World};

/// Rotates after some twenty messages, and renews its lease of offsets after some hundred.
pub(super) const SMALL: &str = "[journal]\nsegment_bytes = 16384\nreserve_bytes = 65536\nlease_offsets = 256\n";

/// The same with a reserve that has to be taken anew.
const OTHER_RESERVE: &str = "[journal]\nsegment_bytes = 16384\nreserve_bytes = 131072\nlease_offsets = 256\n";

/// How long a round may write until the point is reached; waited out only if it is not.
const PATIENCE: Duration = Duration::from_secs(20);

/// How much later than its first connection a server may still pass a point of its start.
const LATE: Duration = Duration::from_secs(2);

/// What a start passes after a crash, in an order in which each is still there to be passed after a kill at those
/// before.
pub(super) const AT_START: &[Point] = &[
    Point::RecoveryLocked,
    Point::RecoveryScanned,
    Point::RecoverySynced,
    Point::SealBegin,
    Point::SealFooterWritten,
    Point::SealCut,
    Point::RecoverySealed,
    Point::SegmentCreate,
    Point::SegmentCreated,
    Point::SegmentAllocated,
    Point::SegmentHeaderWritten,
    Point::SegmentHeaderSynced,
    Point::RecoveryLeftoverRemoved,
    Point::SegmentNamed,
    Point::SegmentBegun,
    // A footer that was cut to its length counts as sealed: it takes a new segment to seal once more.
    Point::Sealed,
    Point::FrameWrite,
    Point::FrameWritten,
    Point::FrameSync,
    Point::FrameSynced,
    Point::FramePublished,
    Point::ReserveCreated,
    Point::ReserveTaken,
    Point::RecoveryDone,
    Point::ViewsOpened,
    Point::ViewsReplayed,
    Point::ViewsCheckpoint,
    Point::ViewsCheckpointed,
];

/// What the first start of all passes.
const AT_FIRST_START: &[Point] = &[
    Point::RecoveryLocked,
    Point::RecoveryScanned,
    Point::RecoverySealed,
    Point::SegmentCreate,
    Point::SegmentCreated,
    Point::SegmentAllocated,
    Point::SegmentHeaderWritten,
    Point::SegmentHeaderSynced,
    Point::SegmentNamed,
    Point::SegmentBegun,
    Point::FrameWrite,
    Point::FrameWritten,
    Point::FrameSync,
    Point::FrameSynced,
    Point::RecoveryDone,
    Point::KeyWritten,
    Point::ViewsOpened,
    Point::ViewsSwitch,
    Point::ViewsSwitched,
    Point::ViewsReplayed,
    Point::ViewsCheckpoint,
    Point::ViewsCheckpointed,
];

/// What a start passes if there are no views.
const WITHOUT_VIEWS: &[Point] = &[Point::ViewsOpened, Point::ViewsSwitch, Point::ViewsSwitched, Point::ViewsReplayed];

/// What traffic passes, and the pass to hit: one that the start does not reach.
const IN_TRAFFIC: &[(Point, u64)] = &[
    (Point::SegmentCreate, 4),
    (Point::SegmentCreated, 4),
    (Point::SegmentAllocated, 4),
    (Point::SegmentHeaderWritten, 4),
    (Point::SegmentHeaderSynced, 4),
    (Point::SegmentNamed, 4),
    (Point::SegmentBegun, 4),
    (Point::FrameWrite, 30),
    (Point::FrameWritten, 30),
    (Point::FrameSync, 30),
    (Point::FrameSynced, 30),
    (Point::FramePublished, 30),
    (Point::LeaseSynced, 1),
    (Point::SealBegin, 4),
    (Point::SealFooterWritten, 4),
    (Point::SealCut, 4),
    (Point::Sealed, 4),
    (Point::ViewsCommit, 30),
    (Point::ViewsCommitted, 30),
    (Point::ViewsPublished, 30),
    (Point::ViewsObserved, 30),
    (Point::ResponseReady, 30),
];

/// What an orderly stop passes.
const AT_STOP: &[Point] = &[
    Point::StopDrained,
    Point::StopViewsSynced,
    Point::StopViewsClosed,
    Point::StopEphemeralSealed,
    Point::StopRecorded,
    Point::StopSealed,
];

/// How often each point has killed, as the server's log tells.
#[derive(Default)]
pub(super) struct Hits {
    counts: BTreeMap<&'static str, usize>,
    /// How much of the log has been looked at.
    read: usize,
}

impl Hits {
    /// Counts what is new in the log; the points that have killed since.
    pub(super) fn look(&mut self, server: &Server) -> usize {
        let log = server.log_text();
        let mut new = 0;
        for line in log[self.read..].lines() {
            let Some(rest) = line.strip_prefix("fail point ") else { continue };
            let point = Point::ALL.iter().find(|point| rest.starts_with(&format!("{}: killed", point.name())));
            *self.counts.entry(point.unwrap_or_else(|| panic!("{line}")).name()).or_default() += 1;
            new += 1;
        }
        self.read = log.len();
        new
    }

    /// Begins with the log of another server.
    pub(super) fn next_server(&mut self) {
        self.read = 0;
    }

    pub(super) fn counts(&self) -> &BTreeMap<&'static str, usize> {
        &self.counts
    }
}

/// Starts the stopped server to be killed at a point. Whether it was, before it served.
pub(super) fn die_at_start(server: &mut Server, hits: &mut Hits, point: Point) -> bool {
    server.arm(&format!("{}=kill@1", point.name()));
    if server.try_start().is_ok() {
        // What the log's own thread does at the start may come a moment later; if it does not, a kill ends this too.
        let deadline = Instant::now() + LATE;
        while !server.has_ended() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        server.kill();
    }
    hits.look(server) > 0
}

#[test]
fn a_kill_at_every_step_of_recovery_loses_nothing() {
    if external_url().is_some() {
        return;
    }
    let (mut world, mut hits) = (World::new(SMALL), Hits::default());
    let newcomer = world.newcomer();
    let written = world.write_until_gone(0, Duration::from_millis(300), End::Kill);
    world.server.reconfigure(OTHER_RESERVE);
    for point in AT_START {
        assert!(die_at_start(&mut world.server, &mut hits, *point), "no start passes {}", point.name());
    }
    let acknowledged = world.start_and_check(0, &newcomer, &written);
    assert!(acknowledged > 0, "somebody was promised something");

    world.server.kill();
    fs::remove_dir_all(world.server.data_dir().join("views")).expect("the views can be deleted");
    for point in WITHOUT_VIEWS {
        assert!(die_at_start(&mut world.server, &mut hits, *point), "no rebuild passes {}", point.name());
    }
    let acknowledged = world.start_and_check(1, &newcomer, &[]);
    assert_eq!(acknowledged, 0);
    println!("killed at {:?}", hits.counts());
    world.verify();
}

#[test]
fn a_kill_at_every_step_of_the_first_start_leaves_a_server_that_starts() {
    if external_url().is_some() {
        return;
    }
    let (mut server, mut hits) = (Server::prepare(SMALL), Hits::default());
    server.expect_log("cut an unfinished write");
    for point in AT_FIRST_START {
        assert!(die_at_start(&mut server, &mut hits, *point), "the first start does not pass {}", point.name());
    }
    server.start_again();
    let alice = server.user("alice");
    let room = alice.create_room(&serde_json::json!({}));
    alice.say(&room, "hello");
    assert!(server.stop().success());
    assert_eq!(server.engramctl(&["log", "verify"]).0, Some(0));
    assert_eq!(server.engramctl(&["view", "verify"]).0, Some(0));
}

#[test]
fn a_kill_at_every_step_of_writing_and_stopping_loses_nothing() {
    if external_url().is_some() {
        return;
    }
    let (mut world, mut hits) = (World::new(SMALL), Hits::default());
    let traffic = IN_TRAFFIC.iter().map(|(point, pass)| (format!("{}=kill@{pass}", point.name()), PATIENCE));
    let stop = AT_STOP.iter().map(|point| (format!("{}=kill@1", point.name()), Duration::from_millis(50)));
    // The disk is full from the second segment on.
    let full = format!("{}=error(ENOSPC)@2+;{}=kill@1", Point::SegmentCreate.name(), Point::ReserveGivenUp.name());
    let mut acknowledged = 0;
    for (round, (plan, patience)) in traffic.chain(stop).chain([(full, PATIENCE)]).enumerate() {
        let newcomer = world.newcomer();
        assert!(world.server.stop().success());
        world.server.arm(&plan);
        world.server.start_again();
        let written: Vec<Written> = world.write_until_gone(round, patience, End::Stop);
        assert_eq!(hits.look(&world.server), 1, "{plan} was not reached");
        acknowledged += world.start_and_check(round, &newcomer, &written);
    }
    println!("{acknowledged} acknowledged, killed at {:?}", hits.counts());
    world.verify();
}

/// Calls of the log that fail once the server has written for a while. Which means that the disk cannot be trusted.
const FAILING: &[(Point, u64)] = &[
    (Point::FrameWrite, 30),
    (Point::FrameSync, 30),
    (Point::SegmentCreated, 4),
    (Point::SegmentNamed, 4),
    (Point::SealFooterWritten, 4),
    (Point::Sealed, 4),
];

#[test]
fn a_call_that_fails_stops_the_server_and_loses_nothing() {
    if external_url().is_some() {
        return;
    }
    let mut world = World::new(SMALL);
    // What the server says before it stops.
    world.server.expect_log("the log has stopped");
    world.server.expect_log("E-LOG-STOPPED");
    let mut acknowledged = 0;
    for (round, (point, pass)) in FAILING.iter().enumerate() {
        let newcomer = world.newcomer();
        assert!(world.server.stop().success());
        world.server.arm(&format!("{}=error(EIO)@{pass}", point.name()));
        world.server.start_again();
        let written = world.write_until_gone(round, PATIENCE, End::Kill);
        let told = world.server.log_text().matches("E-LOG-STOPPED").count();
        assert_eq!(told, round + 1, "{}: the server stops and says why", point.name());
        acknowledged += world.start_and_check(round, &newcomer, &written);
    }
    println!("{acknowledged} acknowledged, {} calls failed", FAILING.len());
    world.verify();
}

#[test]
fn no_point_is_left_out() {
    let traffic = IN_TRAFFIC.iter().map(|(point, _)| point);
    let starts = AT_START.iter().chain(AT_FIRST_START).chain(WITHOUT_VIEWS);
    let tried: Vec<&Point> = starts.chain(AT_STOP).chain(traffic).collect();
    // One has a plan of its own above.
    let left_out = |point: &&Point| !tried.contains(point) && **point != Point::ReserveGivenUp;
    assert_eq!(Point::ALL.iter().filter(left_out).collect::<Vec<_>>(), Vec::<&Point>::new());
}
