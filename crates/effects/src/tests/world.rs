//! A projector that posts letters, a receiver that takes them, and a sender between them whose every step can be its
//! last.

use std::collections::BTreeMap;

use engram_log::{Input, InputRef, Log as _, Offset, Record, TimestampMs};
use engram_log_format::v1;
use engram_views::testing::{MemoryLog, TestViews};
use engram_views::{AnyProjector, Apply, ProjectError, Projector, Read, Table, ViewError};

use crate::desk::{Desk, Job, Outcome, Slots};
use crate::{Backoff, Effect, Next, Outbox, Parcel, Target};

static LETTERS: Table = Table::new(220, "posts.letters");
pub(super) const OUTBOX: Outbox = Outbox(&LETTERS);
/// Letters in one parcel.
pub(super) const PARCEL_MAX: usize = 3;
pub(super) const SLOTS: Slots = Slots { all: 4, failing: 2 };
const EFFECT: &str = "post";

/// Lists a letter for every profile field that is set: the user is the target, the key is the letter.
pub(super) struct Posts;

impl Projector for Posts {
    type Delta = ();

    fn name(&self) -> &'static str {
        "posts"
    }

    fn version(&self) -> u32 {
        1
    }

    fn tables(&self) -> &'static [&'static Table] {
        static TABLES: [&Table; 1] = [&LETTERS];
        &TABLES
    }

    fn apply(&mut self, _: &Record, input: InputRef<'_>, view: &mut Apply<'_, ()>) -> Result<(), ProjectError> {
        if let InputRef::ProfileFieldSet(set) = input {
            OUTBOX.add(view, &target(&set.user_id), 0, set.key.as_bytes());
        }
        OUTBOX.settle(view, EFFECT, input)?;
        Ok(())
    }

    fn reset(&mut self) {}
}

pub(super) fn target(name: &str) -> Target {
    Target::new(name).expect("a short name")
}

/// A letter to be posted.
pub(super) fn letter(to: &str, text: &str) -> Input {
    v1::ProfileFieldSet { user_id: to.to_owned(), key: text.to_owned(), value: None }.into()
}

/// The effect: what is listed is sent.
pub(super) struct Post;

impl Effect for Post {
    type Parcel = Parcel;

    fn name(&self) -> &'static str {
        EFFECT
    }

    fn due(&mut self, views: &dyn Read, after: Option<&Target>, limit: usize) -> Result<Vec<Target>, ViewError> {
        OUTBOX.targets(views, after, limit)
    }

    fn next(&mut self, views: &dyn Read, target: &Target, _: TimestampMs) -> Result<Next<Parcel>, ViewError> {
        Ok(OUTBOX.parcel(views, target, PARCEL_MAX)?.map_or(Next::Nothing, Next::Parcel))
    }

    fn receipt(&self, target: &Target, parcel: &Parcel) -> Option<Input> {
        Some(parcel.receipt(EFFECT, target))
    }
}

/// What a receiver has got: its transactions, and the letters in the order in which they came first.
#[derive(Default)]
pub(super) struct Receiver {
    transactions: BTreeMap<String, Vec<String>>,
    pub(super) letters: Vec<String>,
    /// Transactions that came again.
    pub(super) repeated: usize,
}

impl Receiver {
    pub(super) fn take(&mut self, parcel: &Parcel) {
        let text = |note: &[u8]| String::from_utf8(note.to_vec()).expect("letters are text");
        let letters: Vec<String> = parcel.entries.iter().map(|(_, note)| text(note)).collect();
        assert!(letters.len() <= PARCEL_MAX, "a parcel is bounded");
        let id = parcel.transaction_id();
        if let Some(before) = self.transactions.get(&id) {
            assert_eq!(*before, letters, "one transaction ID, one content");
            self.repeated += 1;
            return;
        }
        for letter in &letters {
            assert!(!self.letters.contains(letter), "{letter} came under another transaction ID already");
        }
        self.letters.extend(letters.iter().cloned());
        self.transactions.insert(id, letters);
    }
}

/// How a receiver behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// Answers after so many milliseconds.
    Answers(u64),
    /// Says after so many milliseconds that it cannot.
    Refuses(u64),
    /// Takes what it gets, and never answers; so long is waited for it.
    Silent(u64),
}

/// Where the sender is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kill {
    BeforeSending,
    AfterSending,
    AfterTheAnswer,
    AfterTheAppend,
    /// The receipt was in the log, and had not reached the disk.
    ReceiptLost,
    WhenApplied,
}

pub(super) const KILLS: [Kill; 6] = [
    Kill::BeforeSending,
    Kill::AfterSending,
    Kill::AfterTheAnswer,
    Kill::AfterTheAppend,
    Kill::ReceiptLost,
    Kill::WhenApplied,
];

pub(super) struct World {
    pub(super) views: TestViews,
    pub(super) desk: Desk<Post>,
    pub(super) receivers: BTreeMap<String, Receiver>,
    pub(super) manners: BTreeMap<String, Manner>,
    pub(super) now: u64,
    /// What is under way, and when it ends.
    under_way: Vec<(u64, Job<Parcel>, Outcome)>,
    /// Where the next crash is.
    pub(super) kill: Option<Kill>,
    pub(super) crashes: usize,
    /// When each letter arrived.
    pub(super) arrivals: BTreeMap<String, u64>,
}

fn open(log: MemoryLog) -> TestViews {
    TestViews::over(log, vec![Box::new(Posts) as Box<dyn AnyProjector>], Vec::new())
}

pub(super) fn desk() -> Desk<Post> {
    Desk::new(
        Post,
        SLOTS,
        Backoff { first: std::time::Duration::from_secs(1), longest: std::time::Duration::from_secs(60) },
    )
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            views: open(MemoryLog::new()),
            desk: desk(),
            receivers: BTreeMap::new(),
            manners: BTreeMap::new(),
            now: 1_000,
            under_way: Vec::new(),
            kill: None,
            crashes: 0,
            arrivals: BTreeMap::new(),
        }
    }

    pub(super) fn post(&mut self, to: &str, text: &str) {
        let at = self.views.log.journal(letter(to, text), self.now);
        self.views.wait(at);
        self.desk.due(&target(to));
    }

    /// The process ends, and another begins: nothing is left but the log, from which the views are built anew.
    fn crash(&mut self, kill: Kill) {
        self.crashes += 1;
        self.kill = None;
        let log = &self.views.log;
        let records = log.len() - usize::from(kill == Kill::ReceiptLost);
        let log = log.prefix(records);
        log.skip(1_000);
        self.views = open(log);
        self.desk = desk();
        self.under_way.clear();
    }

    fn is_killed(&mut self, here: Kill) -> bool {
        let is_killed = self.kill == Some(here);
        if is_killed {
            self.crash(here);
        }
        is_killed
    }

    /// Decides and acts, until nothing can be done at this time. Returns when there is something again: at once after
    /// a crash.
    pub(super) fn step(&mut self) -> Option<u64> {
        loop {
            let ended = self.end_jobs();
            if ended > 0 && self.is_killed(Kill::AfterTheAnswer) {
                return Some(self.now);
            }
            let snapshot = self.views.settle();
            let plan = self.desk.decide(&*snapshot, snapshot.offset(), TimestampMs(self.now)).expect("readable");
            drop(snapshot);
            let is_idle = plan.jobs.is_empty() && plan.receipts.is_empty() && ended == 0;
            if !plan.receipts.is_empty() && self.record(plan.receipts) {
                return Some(self.now);
            }
            for job in plan.jobs {
                if self.send(job) {
                    return Some(self.now);
                }
            }
            let wake = plan.wake.map(|wake| wake.0);
            if is_idle && wake.is_none_or(|wake| wake > self.now) {
                return self.under_way.iter().map(|(at, ..)| *at).chain(wake).min();
            }
        }
    }

    fn record(&mut self, receipts: Vec<(Target, Input)>) -> bool {
        for (target, receipt) in receipts {
            let at = self.views.log.journal(receipt, self.now);
            self.desk.recorded(&target, at);
            if self.is_killed(Kill::AfterTheAppend) || self.is_killed(Kill::ReceiptLost) {
                return true;
            }
            self.views.wait(at);
            if self.is_killed(Kill::WhenApplied) {
                return true;
            }
        }
        false
    }

    fn send(&mut self, job: Job<Parcel>) -> bool {
        let name = job.target.name().to_owned();
        let manner = self.manner(&name);
        if self.is_killed(Kill::BeforeSending) {
            return true;
        }
        if !matches!(manner, Manner::Refuses(_)) {
            for (_, letter) in &job.parcel.entries {
                let letter = String::from_utf8(letter.to_vec()).expect("letters are text");
                self.arrivals.entry(letter).or_insert(self.now);
            }
            self.receivers.entry(name).or_default().take(&job.parcel);
        }
        if self.is_killed(Kill::AfterSending) {
            return true;
        }
        let (Manner::Answers(takes) | Manner::Refuses(takes) | Manner::Silent(takes)) = manner;
        let is_done = matches!(manner, Manner::Answers(_));
        let outcome = if is_done { Outcome::Done } else { Outcome::Failed { retry_after: None } };
        self.under_way.push((self.now + takes, job, outcome));
        false
    }

    /// Ends what has come to its end by now.
    fn end_jobs(&mut self) -> usize {
        let now = self.now;
        let under_way = std::mem::take(&mut self.under_way);
        let (ended, rest): (Vec<_>, Vec<_>) = under_way.into_iter().partition(|(at, ..)| *at <= now);
        self.under_way = rest;
        for (_, job, outcome) in &ended {
            self.desk.ended(&job.target, *outcome, TimestampMs(now));
        }
        ended.len()
    }

    fn manner(&self, name: &str) -> Manner {
        self.manners.get(name).copied().unwrap_or(Manner::Answers(0))
    }

    /// Plays until a time, from one event to the next.
    pub(super) fn until(&mut self, end: u64) {
        while let Some(next) = self.step() {
            if next > end {
                break;
            }
            self.now = next;
        }
        self.now = end;
    }

    pub(super) fn letters(&self, of: &str) -> Vec<String> {
        self.receivers.get(of).map(|receiver| receiver.letters.clone()).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        OUTBOX.targets(&*self.views.settle(), None, 1).expect("readable").is_empty()
    }

    pub(super) fn end(&self) -> Offset {
        self.views.log.durable_end()
    }
}
