//! Writer, projector and live state together, on a log in memory.

mod marks;
mod presence;
mod typing;

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use engram_base::{Clock, block_on};
use engram_log::TimestampMs;
use engram_log_format::v1::ReceiptSent;
use engram_views::testing::{MemoryLog, TestViews};
use engram_views::{Read, Snapshot};
use proptest::prelude::*;

use crate::{Ephemeral, EphemeralProjector, Live, LiveObserver, tables};

struct Fixture {
    writer: Ephemeral,
    live: Arc<Live>,
    views: TestViews,
    now: Arc<AtomicU64>,
}

const START_MS: u64 = 1_000;

fn fixture() -> Fixture {
    Fixture::over(MemoryLog::new(), START_MS)
}

impl Fixture {
    /// A server that starts on an existing log at a time, with everybody in every room but `@gone:x`.
    fn over(log: MemoryLog, now_ms: u64) -> Self {
        let live = Live::new();
        live.replay(&log, TimestampMs(now_ms), |_, user_id| -> Result<bool, engram_log::FollowError> {
            Ok(user_id != "@gone:x")
        })
        .expect("a log in memory can be read");
        let observer = Box::new(LiveObserver(Arc::clone(&live)));
        let views = TestViews::over(log, vec![Box::new(EphemeralProjector)], vec![observer]);
        let now = Arc::new(AtomicU64::new(now_ms));
        let clock = clock(&now);
        let writer = Ephemeral::new(Arc::new(views.log.clone()), Arc::clone(&views.views), Arc::clone(&live), clock);
        Self { writer, live, views, now }
    }

    fn clock(&self) -> Clock {
        clock(&self.now)
    }

    fn now(&self) -> TimestampMs {
        (self.clock())()
    }

    /// Lets time pass, and has done what it brings about; how many records that took.
    fn pass(&self, ms: u64) -> usize {
        self.now.fetch_add(ms, Ordering::Relaxed);
        block_on(self.writer.keep_time()).expect("appends")
    }
}

fn clock(now: &Arc<AtomicU64>) -> Clock {
    let now = Arc::clone(now);
    Arc::new(move || TimestampMs(now.load(Ordering::Relaxed)))
}

/// Every row of every table.
fn dump(snapshot: &Snapshot) -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let mut rows = Vec::new();
    for table in tables::ALL {
        snapshot
            .scan(table, Bound::Unbounded, Bound::Unbounded, false, &mut |key, value| {
                rows.push((table.name, key.to_vec(), value.to_vec()));
                ControlFlow::Continue(())
            })
            .expect("the view can be read");
    }
    rows
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_rebuild_gives_the_same_tables(
        moves in proptest::collection::vec((0..3_u8, 0..3_u8, any::<bool>(), 0..3_u8, 0..9_u8), 1..60),
    ) {
        let views = TestViews::new(vec![Box::new(EphemeralProjector)]);
        for (time, (room, user, private, thread, event)) in (1_u64..).zip(moves) {
            let offset = views.log.journal(ReceiptSent {
                room_id: format!("!{room}"),
                user_id: format!("@{user}:x"),
                receipt_type: if private { "m.read.private" } else { "m.read" }.to_owned(),
                event_id: format!("${event}"),
                thread_id: (thread > 0).then(|| format!("$t{thread}")),
                at_ms: time,
            }, time);
            if time % 5 == 0 {
                views.wait(offset);
            }
        }
        let log = views.log.prefix(views.log.len());
        let rebuilt = TestViews::over(log, vec![Box::new(EphemeralProjector)], Vec::new());
        let live = dump(&views.settle());
        prop_assert_eq!(live.len() % 2, 0, "a change row for each receipt");
        prop_assert_eq!(live, dump(&rebuilt.settle()));
    }
}
