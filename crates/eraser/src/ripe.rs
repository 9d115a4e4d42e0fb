//! What of the lists goes now: what has been due for long enough, and whatever else is due in the parts of the log
//! that are rewritten for it.

use std::sync::Arc;

use engram_log::{Log, Offset, ReadError, TimestampMs};
use engram_views::{Due, DueList, Read, ViewError};

use crate::later::Later;
use crate::limits::{COLLECTED_MAX, PAGE_ENTRIES, PATIENCE_MS_MAX, STEPS_MAX, WORTH_REWRITING};

/// A list, how long what is on it is kept, and why it goes then.
pub(crate) struct Listed {
    pub(crate) list: DueList,
    pub(crate) grace_ms: u64,
    pub(crate) reason: &'static str,
}

/// A record whose grace is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct DueRecord {
    record: Offset,
    reason: &'static str,
    /// It waits for no others any more.
    is_overdue: bool,
}

/// Records that go together, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) records: Vec<Offset>,
    pub(crate) reason: String,
}

/// Chooses.
pub(crate) struct Chooser<'a> {
    pub(crate) log: &'a Arc<dyn Log>,
    pub(crate) views: &'a dyn Read,
    pub(crate) later: &'a Later,
    pub(crate) now: TimestampMs,
}

impl Chooser<'_> {
    /// What goes now; none if nothing does.
    pub(crate) fn choose(&self, lists: &[Listed]) -> Result<Option<Batch>, ViewError> {
        let mut due = Vec::new();
        for listed in lists {
            self.collect(listed, &mut due)?;
        }
        // All that is in one part of the log goes at once, whichever list it is on.
        due.sort_unstable();
        let ripe = self.ripe(&due);
        let mut reasons: Vec<&str> = ripe.iter().map(|due| due.reason).collect();
        reasons.sort_unstable();
        reasons.dedup();
        let mut records: Vec<Offset> = ripe.iter().map(|due| due.record).collect();
        records.dedup();
        Ok((!records.is_empty()).then(|| Batch { records, reason: reasons.join(", ") }))
    }

    /// The records of a list whose grace is over; at most [`COLLECTED_MAX`].
    fn collect(&self, listed: &Listed, due: &mut Vec<DueRecord>) -> Result<(), ViewError> {
        let patience_ms = (listed.grace_ms / 4).min(PATIENCE_MS_MAX);
        let (mut after, mut taken) = (None, 0);
        while taken < COLLECTED_MAX {
            let page = listed.list.after(self.views, after, PAGE_ENTRIES)?;
            let over = self.count_over(&page, listed.grace_ms);
            let overdue = self.count_over(&page[..over], listed.grace_ms.saturating_add(patience_ms));
            assert!(overdue <= over, "whatever is overdue is due");
            let free = page[..over].iter().enumerate().filter(|(_, entry)| !self.later.holds(entry.record));
            let before = due.len();
            due.extend(free.map(|(at, entry)| DueRecord {
                record: entry.record,
                reason: listed.reason,
                is_overdue: at < overdue,
            }));
            taken += due.len() - before;
            if over < PAGE_ENTRIES {
                break;
            }
            after = page.last().copied();
        }
        Ok(())
    }

    /// How many of some entries, which are in the order of their times, became due so long ago.
    fn count_over(&self, entries: &[Due], span_ms: u64) -> usize {
        let is_over =
            |entry: &Due| self.time_from(entry.since).is_some_and(|time| time.0.saturating_add(span_ms) <= self.now.0);
        if entries.last().is_none_or(is_over) { entries.len() } else { entries.partition_point(is_over) }
    }

    /// The time of a record, or if that cannot be read, of one of those behind it that can: no earlier than its own.
    /// None if there is none.
    fn time_from(&self, offset: Offset) -> Option<TimestampMs> {
        let end = self.log.durable_end();
        let steps = (0..STEPS_MAX).map(|step| (1_u64 << step) - 1).map(|step| Offset(offset.0.saturating_add(step)));
        let mut steps = steps.take_while(|at| *at < end).chain([end]);
        steps.find_map(|at| self.log.read(at).ok()).map(|record| record.timestamp)
    }

    /// Of records in the order of their offsets, those in parts of the log that are worth being rewritten, or have to
    /// be.
    fn ripe(&self, due: &[DueRecord]) -> Vec<DueRecord> {
        let mut ripe = Vec::new();
        let mut rest = due;
        while let Some(first) = rest.first() {
            let extent = self.log.extent(first.record);
            let last = extent.map_or(first.record, |extent| extent.last.max(first.record));
            let (here, behind) = rest.split_at(rest.partition_point(|due| due.record <= last));
            assert!(!here.is_empty(), "a record is in its own part");
            let is_worth_it = extent.is_none_or(|extent| {
                let records = extent.last.0.saturating_sub(extent.first.0).saturating_add(1);
                (here.len() as u64).saturating_mul(WORTH_REWRITING) >= records
            });
            if is_worth_it || here.iter().any(|due| due.is_overdue) {
                ripe.extend_from_slice(here);
            }
            rest = behind;
        }
        ripe
    }
}

/// Whether an error says that there is no such record any more: dropped with all there was.
pub(crate) fn is_dropped(error: &ReadError) -> bool {
    matches!(error, ReadError::NotFound(_))
}
