//! Turns under a scheduler that tries the orders in which those who decide may run.
//!
//! `RUSTFLAGS="--cfg shuttle" cargo test -p engram-base --lib model --target-dir target/shuttle`;
//! `ENGRAM_MODEL_SCHEDULES` is the number of schedules of each model.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use engram_log_format::Offset;
use shuttle::sync::atomic::{AtomicU64, Ordering};
use shuttle::thread;

use crate::Key;
use crate::turns::Turns;

/// What several threads decide about: a log that only counts, how far it is applied, and the last decision under each
/// key.
#[derive(Default)]
struct World {
    turns: Turns,
    end: AtomicU64,
    applied: AtomicU64,
    last: [AtomicU64; 2],
}

struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl World {
    fn applied(&self) -> Offset {
        Offset(self.applied.load(Ordering::SeqCst))
    }

    /// Waits for the turn, applies what the fence asks for, decides, appends.
    fn decide(&self, keys: &[u8]) {
        let place = self.turns.line_up(keys.iter().map(|key| Key::new().byte(*key)), self.applied());
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let fence = loop {
            match place.poll_front(&Context::from_waker(&waker)) {
                Poll::Ready(fence) => break fence,
                Poll::Pending => thread::park(),
            }
        };
        self.applied.fetch_max(fence.0, Ordering::SeqCst);
        let applied = self.applied();
        let seen: Vec<u64> = keys.iter().map(|key| self.last[usize::from(*key)].load(Ordering::SeqCst)).collect();
        assert!(seen.iter().all(|last| *last <= applied.0), "all earlier decisions are applied: {seen:?} {applied}");
        let offset = self.end.fetch_add(1, Ordering::SeqCst) + 1;
        for (key, seen) in keys.iter().zip(seen) {
            let before = self.last[usize::from(*key)].swap(offset, Ordering::SeqCst);
            assert_eq!(before, seen, "nobody else has decided in between");
        }
        place.leave(Offset(offset));
    }

    /// Lines up, and gives up somewhere on the way.
    fn give_up(&self, keys: &[u8]) {
        let place = self.turns.line_up(keys.iter().map(|key| Key::new().byte(*key)), self.applied());
        let _ = place.poll_front(&Context::from_waker(Waker::noop()));
        thread::yield_now();
        drop(place);
    }
}

#[expect(clippy::disallowed_methods, reason = "how long a model runs is not part of it")]
fn check(name: &str, model: impl Fn() + Send + Sync + 'static) {
    let schedules = std::env::var("ENGRAM_MODEL_SCHEDULES").map_or(2000, |value| value.parse().expect("a number"));
    let model = Arc::new(model);
    let again = model.clone();
    shuttle::check_random(move || model(), schedules);
    shuttle::check_pct(move || again(), schedules, 3);
    println!("model: {name}: {schedules} random schedules, {schedules} with three changes of priority");
}

#[test]
fn decisions_under_a_key_follow_each_other_and_nobody_waits_for_ever() {
    check("three who decide and one who gives up", || {
        let world = Arc::new(World::default());
        let deciding: [&[u8]; 3] = [&[0], &[0, 1], &[1, 0]];
        let mut threads: Vec<_> = deciding
            .map(|keys| {
                let world = Arc::clone(&world);
                thread::spawn(move || (0..2).for_each(|_| world.decide(keys)))
            })
            .into();
        let giving_up = Arc::clone(&world);
        threads.push(thread::spawn(move || giving_up.give_up(&[0, 1])));
        threads.into_iter().for_each(|thread| thread.join().expect("it ends"));
        assert_eq!(world.end.load(Ordering::SeqCst), 6);
        world.turns.forget(Offset(6));
        assert_eq!(world.turns.keys(), 0, "nothing is left");
    });
}
