//! The thread: it sends what is due, at once and after a restart, and records what it has sent.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use engram_log::{Log as _, TimestampMs};
use engram_views::testing::{MemoryLog, TestViews};

use super::world::{OUTBOX, Post, Posts, SLOTS, letter, target};
use crate::{Backoff, Carrier, Job, Outcome, Parcel, Parts, Report, Runner, Signals};

const DEADLINE: Duration = Duration::from_secs(20);

/// Hands everything to the test, which answers.
struct ToTheTest(Sender<(Job<Parcel>, Report)>);

impl Carrier<Parcel> for ToTheTest {
    fn carry(&self, job: Job<Parcel>, report: Report) {
        // The test may have ended.
        let _ = self.0.send((job, report));
    }
}

fn start(log: MemoryLog) -> (TestViews, Signals, Runner, Receiver<(Job<Parcel>, Report)>) {
    let signals = Signals::default();
    let views = TestViews::over(log, vec![Box::new(Posts)], vec![signals.observer()]);
    let (sender, receiver) = channel();
    let parts = Parts {
        log: Arc::new(views.log.clone()),
        views: Arc::clone(&views.views),
        clock: Arc::new(|| TimestampMs(1_000)),
        slots: SLOTS,
        backoff: Backoff { first: Duration::ZERO, longest: Duration::ZERO },
        signals: signals.clone(),
    };
    let runner = Runner::start(parts, Post, ToTheTest(sender));
    (views, signals, runner, receiver)
}

fn texts(job: &Job<Parcel>) -> Vec<String> {
    job.parcel.entries.iter().map(|(_, note)| String::from_utf8(note.to_vec()).expect("text")).collect()
}

#[test]
fn it_sends_what_is_due_and_goes_on_when_that_is_recorded() {
    let log = MemoryLog::new();
    log.journal(letter("b.org", "from before"), 1);
    let (views, signals, runner, jobs) = start(log);
    let (job, report) = jobs.recv_timeout(DEADLINE).expect("what was due at the start");
    assert_eq!(texts(&job), ["from before"]);
    for text in ["a", "b"] {
        let at = views.log.journal(letter("b.org", text), 1);
        views.wait(at);
        signals.due(target("b.org"));
    }
    report.ended(Outcome::Done);
    let (job, report) = jobs.recv_timeout(DEADLINE).expect("what came meanwhile");
    assert_eq!(texts(&job), ["a", "b"]);
    // Whoever loses the report has failed: it comes again.
    drop(report);
    let (again, report) = jobs.recv_timeout(DEADLINE).expect("again");
    assert_eq!(again.parcel.transaction_id(), job.parcel.transaction_id());
    runner.stop();
    // Nobody hears that any more.
    report.ended(Outcome::Done);
    let log = views.log.prefix(usize::MAX);
    drop(views);
    let (views, _signals, runner, jobs) = start(log);
    let (job, report) = jobs.recv_timeout(DEADLINE).expect("after the restart");
    assert_eq!(job, again, "the same under the same name");
    let next = views.log.durable_end().next();
    report.ended(Outcome::Done);
    views.wait(next);
    assert_eq!(OUTBOX.targets(&*views.settle(), None, 1).expect("readable"), []);
    runner.stop();
    drop(runner);
    assert!(jobs.try_recv().is_err(), "there is no more");
}
