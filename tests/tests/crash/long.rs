//! The long run: as many rounds as there is time for, each with a configuration of its own, killed at named points or
//! at random moments, many of them again while they recover.
//!
//! Three rounds with every change, so that it is known to work; a thousand with `ENGRAM_NIGHTLY=1`.
//! `ENGRAM_CRASH_ROUNDS` sets the number of rounds, `ENGRAM_SEED` the seed.

use std::time::Duration;

use engram_failpoints::Point;
use engram_tests::server::external_url;

use super::points::{AT_START, Hits, SMALL, die_at_start};
use super::writers::Written;
use super::{End, Moments, World, seed};

/// Rounds on one data directory.
const ROUNDS_PER_SERVER: usize = 100;

fn rounds() -> usize {
    let given = std::env::var("ENGRAM_CRASH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    let nightly = std::env::var_os("ENGRAM_NIGHTLY").is_some();
    given.unwrap_or(if nightly { 1_000 } else { 3 })
}

fn configuration(moments: &mut Moments) -> String {
    let segment_bytes = 16_384_u64 << moments.below(9);
    let reserve_bytes = [0, 65_536, 1 << 20][moments.index(3)];
    let lease_offsets = [256, 1_024, 1 << 20][moments.index(3)];
    format!(
        "[journal]\nsegment_bytes = {segment_bytes}\nreserve_bytes = {reserve_bytes}\nlease_offsets = {lease_offsets}\n"
    )
}

/// A point and a pass: early ones are as likely as late ones.
fn plan(moments: &mut Moments) -> String {
    let point = Point::ALL[moments.index(Point::ALL.len())];
    let scale = moments.below(9);
    let pass = 1 + moments.below(1 << scale);
    match point {
        Point::ReserveGivenUp => {
            let full = Point::SegmentCreate.name();
            format!("{full}=error(ENOSPC)@{}+;{}=kill@1", 1 + pass.min(8), point.name())
        }
        point => format!("{}=kill@{pass}", point.name()),
    }
}

#[derive(Default)]
struct Totals {
    acknowledged: usize,
    /// Rounds that ended at a named point.
    at_points: usize,
    /// Starts that were killed while they recovered.
    in_recovery: usize,
}

fn round(world: &mut World, round: usize, moments: &mut Moments, hits: &mut Hits, totals: &mut Totals) {
    let newcomer = world.newcomer();
    if moments.below(2) == 0 {
        world.server.kill();
    } else {
        let _ = world.server.stop();
    }
    let plan = if moments.below(3) > 0 { plan(moments) } else { String::new() };
    // A reserve that is to be given up has to be there.
    let needs_reserve = plan.contains(Point::ReserveGivenUp.name());
    world.server.reconfigure(&if needs_reserve { SMALL.to_owned() } else { configuration(moments) });
    world.server.arm(&plan);
    let mut written: Vec<Written> = Vec::new();
    if world.server.try_start().is_ok() {
        let delay = Duration::from_millis(20 + moments.below(600));
        let end = [End::Kill, End::KillAfterTyping, End::Stop][moments.index(3)];
        written = world.write_until_gone(round, delay, end);
    }
    totals.at_points += hits.look(&world.server);
    for _ in 0..moments.below(4).saturating_sub(1) {
        let point = AT_START[moments.index(AT_START.len())];
        totals.in_recovery += usize::from(die_at_start(&mut world.server, hits, point));
    }
    totals.acknowledged += world.start_and_check(round, &newcomer, &written);
}

#[test]
fn rounds_with_configurations_of_their_own() {
    let rounds = rounds();
    if external_url().is_some() {
        return;
    }
    assert!(rounds > 0, "without a round nothing is shown");
    let seed = seed();
    println!("ENGRAM_SEED={seed} ENGRAM_CRASH_ROUNDS={rounds}");
    let (mut moments, mut hits, mut totals) = (Moments(seed), Hits::default(), Totals::default());
    for first in (0..rounds).step_by(ROUNDS_PER_SERVER) {
        let mut world = World::new("");
        hits.next_server();
        let last = rounds.min(first + ROUNDS_PER_SERVER);
        for number in first..last {
            round(&mut world, number, &mut moments, &mut hits, &mut totals);
        }
        world.verify();
        let Totals { acknowledged, at_points, in_recovery } = totals;
        println!(
            "{last} rounds, {at_points} of them ended at a named point, {in_recovery} starts were killed in recovery: \
             {acknowledged} acknowledged, all there"
        );
    }
    assert!(totals.acknowledged > 0, "somebody was writing");
    for (point, count) in hits.counts() {
        println!("{count:6} {point}");
    }
}
