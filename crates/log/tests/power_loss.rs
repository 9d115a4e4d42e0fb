//! Power loss at every write, sync, rename and removal of a workload that uses every operation of the log,
//! and again during the recovery from it, and during the recovery from that.
//!
//! A workload runs once and leaves a trace. For each prefix of the trace, images of the disk are made with
//! subsets of the sectors that were not synced: all of them up to 2^10, sampled ones beyond; and with writes that
//! were torn inside a sector. From each the log is opened and compared with what the workload had been promised by
//! then.
//!
//! `ENGRAM_CRASH_STATES` is the number of states to reach, `ENGRAM_CRASH_SEED` the first workload.

mod common;

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use engram_log::storage::sim::{CrashPoint, Fate, Image, Op, SimStorage};

use common::{Choices, Done, Promised, Workload, check, check_again};

/// Subsets of so many sectors are exhausted.
const EXHAUSTIVE_UNITS: usize = 10;

/// How many images are made at one crash point.
#[derive(Clone, Copy)]
struct Effort {
    exhaustive_units: usize,
    samples: usize,
}

/// Reads a number from the environment.
#[expect(clippy::disallowed_methods, reason = "how long a test runs is not part of what it tests")]
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

/// The images that the disk may hold at a crash point, without those that were seen before.
fn each_image(point: &CrashPoint, effort: Effort, choices: &mut Choices, mut each: impl FnMut(Image, &str)) {
    let units = point.units();
    let undecided = point.undecided();
    for entries in 0..=point.undecided_entries() {
        if units.len() <= effort.exhaustive_units {
            for subset in 0..1_usize << units.len() {
                let image = point.image_of_units(entries, &units, |unit| subset >> unit & 1 == 1);
                each(image, &format!("{entries} entries, sectors {subset:b} of {}", units.len()));
            }
        } else {
            for sample in 0..effort.samples {
                // The first keeps everything, the second nothing, the others with a likelihood of their own.
                let likelihood = [100, 0].get(sample).copied().unwrap_or_else(|| choices.next(101));
                let kept: Vec<bool> = units.iter().map(|_| choices.next(100) < likelihood).collect();
                each(point.image_of_units(entries, &units, |unit| kept[unit]), &format!("{entries} entries, {kept:?}"));
            }
        }
        for _ in 0..if undecided.is_empty() { 0 } else { effort.samples / 8 + 1 } {
            let fates: Vec<Fate> = undecided.iter().map(|length| torn(*length, choices)).collect();
            each(point.image(entries, |op| fates[op]), &format!("{entries} entries, {fates:?}"));
        }
    }
}

/// A write that was cut at any byte.
fn torn(length: usize, choices: &mut Choices) -> Fate {
    let at = choices.next(length + 1);
    match choices.next(4) {
        0 => Fate::Kept,
        1 => Fate::Lost,
        2 => Fate::TornAfter(at),
        _ => Fate::TornBefore(at),
    }
}

/// Plays a trace from its call `first` on, and makes the images of every boundary.
fn crash_everywhere(
    trace: &[Op],
    first: usize,
    effort: Effort,
    choices: &mut Choices,
    mut each: impl FnMut(Image, Promised, &str),
) {
    let mut point = CrashPoint::new();
    let mut promised = Promised::default();
    for (number, op) in trace.iter().enumerate() {
        point.step(op);
        promised.step(op);
        if number >= first {
            each_image(&point, effort, choices, |image, inner| {
                each(image, promised, &format!("crash after call {number}, {inner}"));
            });
        }
    }
}

/// Counts distinct states: an image, and what had been promised.
#[derive(Default)]
struct Seen(HashSet<u64>);

impl Seen {
    fn is_new(&mut self, image: &Image, promised: Promised) -> bool {
        let mut hasher = DefaultHasher::new();
        (image, promised).hash(&mut hasher);
        self.0.insert(hasher.finish())
    }
}

/// Where the recovery begins in the trace of a storage that was made of an image.
fn recovery_start(trace: &[Op]) -> usize {
    let is_start = |op: &Op| matches!(op, Op::SyncDir(dir) if dir.is_empty());
    trace.iter().position(is_start).expect("an image was loaded")
}

/// One workload: every crash state of it, until `wanted` are reached in all.
fn one_seed(seed: u64, seen: &mut Seen, wanted: usize, samples: usize) {
    let storage = SimStorage::new();
    let done = Workload::run(&storage, seed);
    let effort = Effort { exhaustive_units: EXHAUSTIVE_UNITS, samples };
    let mut choices = Choices(seed);
    let mut checked = 0_u64;
    crash_everywhere(&storage.trace(), 0, effort, &mut choices, |image, promised, place| {
        if seen.0.len() >= wanted || !seen.is_new(&image, promised) {
            return;
        }
        let place = format!("seed {seed}, {place}");
        let recovered = check(&image, &done, promised, &place);
        checked += 1;
        if checked.is_multiple_of(11) {
            check_again(&recovered, &done, &place);
        }
    });
}

#[test]
fn nothing_acknowledged_is_lost_wherever_the_power_fails() {
    let wanted = setting("ENGRAM_CRASH_STATES", 100_000) as usize;
    let first = setting("ENGRAM_CRASH_SEED", 1);
    let mut seen = Seen::default();
    let mut seed = first;
    while seen.0.len() < wanted {
        one_seed(seed, &mut seen, wanted, 64);
        seed += 1;
    }
    println!("power loss: {} distinct crash states of {} workloads: nothing lost", seen.0.len(), seed - first);
}

#[test]
fn one_seed_of_the_power_loss() {
    let mut seen = Seen::default();
    one_seed(setting("ENGRAM_CRASH_SEED", 1), &mut seen, usize::MAX, 8);
    assert!(seen.0.len() > 500, "the workload has enough boundaries");
}

/// Crashes during recoveries: every boundary at every depth, with images sampled down to what a test can take.
struct Nested<'a> {
    done: &'a [Done],
    states: [u64; 4],
    choices: Choices,
}

impl Nested<'_> {
    fn crash(&mut self, trace: &[Op], first: usize, promised: Option<Promised>, depth: usize, place: &str) {
        // One image in so many is gone into: enough to reach each depth from each kind of boundary.
        const GO_DEEPER: [usize; 4] = [1, 40, 40, 40];
        let effort = Effort { exhaustive_units: if depth == 0 { 2 } else { 3 }, samples: 4 };
        let mut images = Vec::new();
        let mut choices = Choices(self.choices.next(1 << 30) as u64);
        crash_everywhere(trace, first, effort, &mut choices, |image, now, inner| {
            images.push((image, promised.unwrap_or(now), format!("{place}; {inner}")));
        });
        for (image, promised, place) in images {
            if depth > 0 || self.choices.next(8) == 0 {
                let recovered = check(&image, self.done, promised, &place);
                self.states[depth] += 1;
                if depth < 3 && (depth == 0 || self.choices.next(GO_DEEPER[depth]) == 0) {
                    let trace = recovered.trace();
                    self.crash(&trace, recovery_start(&trace), Some(promised), depth + 1, &place);
                }
            }
        }
    }
}

#[test]
fn a_recovery_that_is_cut_short_three_times_loses_nothing() {
    let storage = SimStorage::new();
    let done = Workload::run(&storage, 1);
    let mut nested = Nested { done: &done, states: [0; 4], choices: Choices(setting("ENGRAM_CRASH_SEED", 1)) };
    nested.crash(&storage.trace(), 0, None, 0, "");
    let [first, second, third, fourth] = nested.states;
    println!(
        "nested power loss: {first} crashes of the workload, {second} of the recovery, {third} of its recovery, \
         {fourth} of the one after that: nothing lost"
    );
    assert!(nested.states.iter().all(|states| *states > 100), "each depth is reached");
}
