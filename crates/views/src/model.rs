//! Publication under a scheduler that tries the orders in which the pipeline and those who wait may run.
//!
//! `RUSTFLAGS="--cfg shuttle" cargo test -p engram-views --lib model --target-dir target/shuttle`;
//! `ENGRAM_MODEL_SCHEDULES` is the number of schedules of each model.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use engram_log::Offset;

use crate::pipeline::publish;
use crate::sync::{ArcSwap, thread};
use crate::waiters::{WaitApplied, Waiters};

/// What stands for a snapshot: its offset.
struct Shared {
    current: ArcSwap<Offset>,
    waiters: Arc<Waiters>,
}

impl Shared {
    fn new() -> Arc<Self> {
        Arc::new(Self { current: ArcSwap::from_pointee(Offset::ZERO), waiters: Arc::new(Waiters::default()) })
    }

    fn publish(&self, offset: u64) {
        publish(&self.current, &self.waiters, Arc::new(Offset(offset)), Offset(offset), |_| {});
    }

    /// Waits as a writer does, and then reads its own write.
    fn wait(&self, offset: u64) -> bool {
        let applied = WaitApplied::new(Arc::clone(&self.waiters), Offset(offset)).block().is_ok();
        if applied {
            let shown = self.current.load_full();
            assert!(*shown >= Offset(offset), "who is told that {offset} is applied sees it, and not {shown}");
        }
        applied
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
fn who_waits_sees_what_was_waited_for() {
    check("three waiters of a publisher", || {
        let shared = Shared::new();
        let waiters = [1, 3, 3].map(|offset| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || assert!(shared.wait(offset), "nothing stops here"))
        });
        (1..=3).for_each(|offset| shared.publish(offset));
        waiters.into_iter().for_each(|waiter| waiter.join().expect("it ends"));
    });
}

#[test]
fn the_end_wakes_everybody_and_takes_nothing_back() {
    check("waiters of a publisher that stops", || {
        let shared = Shared::new();
        let waiters = [1, 2, 5].map(|offset| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || (offset, shared.wait(offset)))
        });
        shared.publish(1);
        shared.publish(2);
        shared.waiters.stop("the end");
        for waiter in waiters {
            let (offset, applied) = waiter.join().expect("nobody waits for ever");
            assert_eq!(applied, offset <= 2, "what was applied before the end counts: {offset}");
        }
    });
}

/// Notes that it was woken by unparking a thread of the model.
struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[test]
fn a_future_may_be_polled_by_another_task_or_dropped() {
    check("a future that moves, and one that is dropped", || {
        let shared = Shared::new();
        let publisher = Arc::clone(&shared);
        let publisher = thread::spawn(move || (1..=2).for_each(|offset| publisher.publish(offset)));
        let mut moving = WaitApplied::new(Arc::clone(&shared.waiters), Offset(2));
        let mut dropped = WaitApplied::new(Arc::clone(&shared.waiters), Offset(2));
        let nobody = Waker::noop();
        // Polled once for somebody who has gone: the last waker is the one that counts.
        let _ = Pin::new(&mut moving).poll(&mut Context::from_waker(nobody));
        let _ = Pin::new(&mut dropped).poll(&mut Context::from_waker(nobody));
        drop(dropped);
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        while let Poll::Pending = Pin::new(&mut moving).poll(&mut Context::from_waker(&waker)) {
            thread::park();
        }
        assert!(*shared.current.load_full() >= Offset(2), "who is told sees it");
        publisher.join().expect("it ends");
    });
}
