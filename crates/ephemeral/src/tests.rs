//! Writer, projector and live state together, on a log in memory.

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use engram_base::block_on;
use engram_log::{Offset, TimestampMs};
use engram_log_format::v1::ReceiptSent;
use engram_views::testing::{MemoryLog, TestViews};
use engram_views::{Read, Snapshot};
use proptest::prelude::*;

use crate::{Ephemeral, EphemeralProjector, Live, LiveObserver, ReceiptError, ReceiptRequest, query, tables};

struct Fixture {
    writer: Ephemeral,
    live: Arc<Live>,
    views: TestViews,
    now: Arc<AtomicU64>,
}

fn fixture() -> Fixture {
    let live = Live::new();
    let observer = Box::new(LiveObserver(Arc::clone(&live)));
    let views = TestViews::over(MemoryLog::new(), vec![Box::new(EphemeralProjector)], vec![observer]);
    let now = Arc::new(AtomicU64::new(1_000));
    let clock_now = Arc::clone(&now);
    let clock = Arc::new(move || TimestampMs(clock_now.load(Ordering::Relaxed)));
    let writer = Ephemeral::new(Arc::new(views.log.clone()), Arc::clone(&views.views), Arc::clone(&live), clock);
    Fixture { writer, live, views, now }
}

/// `$1` precedes `$2`; of others nothing is known.
fn position(event_id: &str) -> Option<u64> {
    event_id.strip_prefix('$')?.parse().ok()
}

impl Fixture {
    fn read(&self, user_id: &str, receipt_type: &str, event_id: &str, thread_id: Option<&str>) {
        let request = ReceiptRequest { room_id: "!r", user_id, receipt_type, event_id, thread_id };
        block_on(self.writer.send_receipt(request, position)).expect("the receipt is well formed");
    }

    fn content(&self, viewer: &str, since: Offset) -> Option<String> {
        let view = self.views.settle();
        let content = query::receipts_since(&*view, "!r", viewer, since, Offset(u64::MAX)).expect("reads");
        content.map(|content| content.get().to_owned())
    }
}

#[test]
fn receipts_move_forward_only() {
    let fixture = fixture();
    fixture.read("@a:x", "m.read", "$2", None);
    fixture.read("@a:x", "m.read", "$1", None);
    fixture.read("@a:x", "m.read", "$2", None);
    assert_eq!(fixture.views.log.len(), 1);
    let expected = r#"{"$2":{"m.read":{"@a:x":{"ts":1000}}}}"#;
    assert_eq!(fixture.content("@b:x", Offset::ZERO).as_deref(), Some(expected));
    assert_eq!(fixture.content("@b:x", Offset(1)), None);
    fixture.read("@a:x", "m.read", "$3", None);
    let expected = r#"{"$3":{"m.read":{"@a:x":{"ts":1000}}}}"#;
    assert_eq!(fixture.content("@b:x", Offset::ZERO).as_deref(), Some(expected), "the earlier one is gone");
    fixture.read("@a:x", "m.read", "unknown", None);
    assert_eq!(fixture.views.log.len(), 3, "what has no place is recorded");
}

#[test]
fn threads_are_apart_and_private_receipts_are_private() {
    let fixture = fixture();
    fixture.read("@a:x", "m.read", "$5", None);
    fixture.read("@a:x", "m.read", "$4", Some("main"));
    fixture.read("@a:x", "m.read.private", "$6", None);
    let expected = r#"{"$4":{"m.read":{"@a:x":{"ts":1000,"thread_id":"main"}}},"$5":{"m.read":{"@a:x":{"ts":1000}}}}"#;
    assert_eq!(fixture.content("@b:x", Offset::ZERO).as_deref(), Some(expected));
    assert!(fixture.content("@a:x", Offset::ZERO).is_some_and(|content| content.contains("$6")));
    assert_eq!(fixture.content("@b:x", Offset(2)), None, "of a private receipt others hear nothing");
    assert_eq!(query::receipts_of(&*fixture.views.settle(), "!r", "@a:x").expect("reads").len(), 3);
}

#[test]
fn malformed_receipts_are_refused() {
    let fixture = fixture();
    let request =
        ReceiptRequest { room_id: "!r", user_id: "@a:x", receipt_type: "m.read", event_id: "$1", thread_id: None };
    let long = "x".repeat(300);
    for wrong in [
        ReceiptRequest { receipt_type: "m.other", ..request },
        ReceiptRequest { thread_id: Some(""), ..request },
        ReceiptRequest { event_id: &long, ..request },
    ] {
        let refused = block_on(fixture.writer.send_receipt(wrong, position));
        assert!(matches!(refused, Err(ReceiptError::Invalid(_))));
    }
    assert!(fixture.views.log.is_empty());
}

#[test]
fn typing_begins_is_renewed_and_expires() {
    let fixture = fixture();
    let type_for = |seconds| {
        fixture.writer.set_typing("!r", "@a:x", Some(Duration::from_secs(seconds))).expect("appends");
    };
    type_for(10);
    let began = fixture.live.typing_changed("!r");
    assert_eq!(fixture.live.typing("!r"), ["@a:x"]);
    fixture.now.store(5_000, Ordering::Relaxed);
    type_for(10);
    assert_eq!(fixture.live.typing_changed("!r"), began, "a renewal is no change");
    assert_eq!(fixture.live.next_typing_expiry(), Some(TimestampMs(15_000)));
    assert_eq!(fixture.writer.expire(TimestampMs(14_999)).expect("appends"), 0);
    assert_eq!(fixture.writer.expire(TimestampMs(15_000)).expect("appends"), 1);
    let ended = fixture.live.typing_changed("!r");
    assert_eq!(fixture.live.typing_since("!r", began, ended), Some(Vec::new()));
    assert_eq!(fixture.live.typing_since("!r", ended, ended), None);
    assert_eq!(fixture.live.typing_since("!r", began, began), None, "not told before it is due");
    let records = fixture.views.log.len();
    fixture.writer.set_typing("!r", "@a:x", None).expect("appends nothing");
    assert_eq!(fixture.views.log.len(), records);
    type_for(100_000);
    assert_eq!(fixture.live.next_typing_expiry(), Some(TimestampMs(125_000)), "the limit is 120 seconds");
}

#[test]
fn presence_is_told_when_it_changes() {
    let fixture = fixture();
    let set = |user: &str, presence: &str| fixture.writer.set_presence(user, presence, None).expect("appends");
    set("@a:x", "online");
    set("@b:x", "online");
    let both = fixture.live.presence_since(Offset::ZERO);
    assert_eq!(both.iter().map(|(user, _)| user.as_str()).collect::<Vec<_>>(), ["@a:x", "@b:x"]);
    let last = both[1].1.changed;
    set("@a:x", "online");
    assert!(fixture.live.presence_since(last).is_empty(), "the same again is not written");
    fixture.now.store(2_000, Ordering::Relaxed);
    set("@a:x", "unavailable");
    let changed = fixture.live.presence_since(last);
    assert_eq!(changed.len(), 1);
    assert_eq!((changed[0].1.presence.as_str(), changed[0].1.last_active), ("unavailable", TimestampMs(1_000)));
    fixture.now.store(90_000, Ordering::Relaxed);
    set("@b:x", "online");
    assert_eq!(fixture.live.presence("@b:x").map(|presence| presence.last_active), Some(TimestampMs(90_000)));
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
