//! The eraser as an effect. It has two targets: what is due by the lists, and what has to be asked for again.
//!
//! No receipts: what the log announces is the receipt, and strikes the entries off. So what was announced and is
//! there all the same (after a crash, a restore from an old copy, a disk that was full when it was announced) is on
//! no list any more, and the second target finds it: at the start by looking through everything that was ever
//! announced, later by what is remembered of failures.

use std::sync::Arc;
use std::time::Duration;

use engram_effects::{Effect, Next, Target};
use engram_log::{Input, Log, Offset, PayloadState, TimestampMs};
use engram_views::{Read, ViewError};

use crate::eraser::Grace;
use crate::later::Later;
use crate::limits::{BATCH_RECORDS, LOOK_MS, LOOKS_PER_GRACE, PAGE_ENTRIES, PAGE_PAUSE_MS};
use crate::projector::announced;
use crate::ripe::{Batch, Chooser, Listed, is_dropped};

const AGAIN: &str = "again";
const DUE: &str = "due";

pub(crate) struct Erasing {
    log: Arc<dyn Log>,
    grace: Grace,
    later: Arc<Later>,
    /// Up to where what was announced has been looked through; none: to the end.
    looked_through: Option<Offset>,
}

impl Erasing {
    pub(crate) fn new(log: Arc<dyn Log>, grace: Grace, later: Arc<Later>) -> Self {
        Self { log, grace, later, looked_through: Some(Offset::ZERO) }
    }

    pub(crate) fn targets() -> [Target; 2] {
        [AGAIN, DUE].map(|name| Target::new(name).expect("a short name"))
    }

    fn lists(&self) -> Vec<Listed> {
        let lists = [
            (engram_rooms::tables::DUE, self.grace.redacted, "redacted"),
            (engram_users::tables::DUE_MESSAGES, self.grace.to_device, "received"),
            (engram_users::tables::DUE_PERSONAL, self.grace.accounts, "account erased"),
        ];
        let kept = lists.into_iter().filter_map(|(list, grace, reason)| Some((list, grace?, reason)));
        kept.map(|(list, grace, reason)| Listed { list, grace_ms: millis(grace), reason }).collect()
    }

    /// When to look at the lists again.
    fn next_look(&self, now: TimestampMs) -> TimestampMs {
        let graces = [self.grace.redacted, self.grace.to_device, self.grace.accounts];
        let least = graces.into_iter().flatten().map(millis).min().unwrap_or(u64::MAX);
        TimestampMs(now.0.saturating_add((least / LOOKS_PER_GRACE).clamp(LOOK_MS.0, LOOK_MS.1)))
    }

    fn next_due(&self, views: &dyn Read, now: TimestampMs) -> Result<Next<Batch>, ViewError> {
        // As long as the log takes nothing there is no use in asking for more.
        if self.later.has_unconfirmed() {
            return Ok(Next::At(self.next_look(now)));
        }
        let chooser = Chooser { log: &self.log, views, later: &self.later, now };
        Ok(chooser.choose(&self.lists())?.map_or(Next::At(self.next_look(now)), Next::Parcel))
    }

    fn next_again(&mut self, views: &dyn Read, now: TimestampMs) -> Result<Next<Batch>, ViewError> {
        let again = |records: Vec<Offset>| Next::Parcel(Batch { records, reason: AGAIN.to_owned() });
        let ripe = self.later.ripe(now, BATCH_RECORDS);
        if !ripe.is_empty() {
            return Ok(again(ripe));
        }
        if self.later.take_overflowed() && self.looked_through.is_none() {
            self.looked_through = Some(Offset::ZERO);
        }
        let Some(after) = self.looked_through else { return Ok(Next::At(self.next_look(now))) };
        let page = announced(views, after, PAGE_ENTRIES)?;
        self.looked_through = page.last().copied();
        let whole: Vec<Offset> = page.into_iter().filter(|record| self.is_there(*record, now)).collect();
        if whole.is_empty() {
            return Ok(Next::At(TimestampMs(now.0.saturating_add(PAGE_PAUSE_MS))));
        }
        tracing::info!(records = whole.len(), "payloads that were erased are there again, and go again");
        Ok(again(whole))
    }

    /// Whether a record has the payload still that it was to give up.
    fn is_there(&self, record: Offset, now: TimestampMs) -> bool {
        match self.log.payload_state(record) {
            Ok(state) => state == PayloadState::Whole,
            Err(error) => {
                if !is_dropped(&error) {
                    self.later.failed(&[record], now, &error);
                }
                false
            }
        }
    }
}

impl Effect for Erasing {
    type Parcel = Batch;

    fn name(&self) -> &'static str {
        "eraser"
    }

    fn due(&mut self, _: &dyn Read, after: Option<&Target>, limit: usize) -> Result<Vec<Target>, ViewError> {
        let behind = |target: &Target| after.is_none_or(|after| target > after);
        Ok(Self::targets().into_iter().filter(behind).take(limit).collect())
    }

    fn next(&mut self, views: &dyn Read, target: &Target, now: TimestampMs) -> Result<Next<Batch>, ViewError> {
        if target.name() == AGAIN { self.next_again(views, now) } else { self.next_due(views, now) }
    }

    fn receipt(&self, _: &Target, _: &Batch) -> Option<Input> {
        None
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
