//! Receipts, and the mark up to which everything was read.

use engram_base::block_on;
use engram_log::{InputRef, Lanes, Log, Offset};
use engram_views::{Snapshot, ViewError};
use serde_json::{Value, json};

use super::{Fixture, fixture};
use crate::{MarkError, Marks, NewReceipt, query};

/// `$1` precedes `$2`; other events are unknown.
#[expect(clippy::unnecessary_wraps, reason = "a place may have to be read, which may fail")]
fn place(_: &Snapshot, event_id: &str) -> Result<Option<u64>, ViewError> {
    Ok(event_id.strip_prefix('$').and_then(|number| number.parse().ok()))
}

fn receipt(receipt_type: &str, event_id: &str, thread_id: Option<&str>) -> NewReceipt {
    NewReceipt {
        receipt_type: receipt_type.to_owned(),
        event_id: event_id.to_owned(),
        thread_id: thread_id.map(str::to_owned),
    }
}

fn marks(fully_read: Option<&str>, receipts: Vec<NewReceipt>) -> Marks {
    let fully_read = fully_read.map(str::to_owned);
    Marks { room_id: "!r".to_owned(), user_id: "@a:x".to_owned(), fully_read, receipts }
}

impl Fixture {
    fn mark(&self, fully_read: Option<&str>, receipts: Vec<NewReceipt>) -> Result<(), MarkError> {
        block_on(self.writer.mark_read(&marks(fully_read, receipts), place))
    }

    fn read(&self, receipt_type: &str, event_id: &str, thread_id: Option<&str>) {
        self.mark(None, vec![receipt(receipt_type, event_id, thread_id)]).expect("the receipt is well formed");
    }

    fn contents(&self, viewer: &str, since: Offset) -> Vec<Value> {
        let view = self.views.settle();
        let contents = query::receipts_since(&*view, "!r", viewer, since, Offset(u64::MAX)).expect("reads");
        contents.iter().map(|content| serde_json::from_str(content.get()).expect("valid")).collect()
    }
}

#[test]
fn receipts_move_forward_only() {
    let fixture = fixture();
    fixture.read("m.read", "$2", None);
    fixture.read("m.read", "$1", None);
    fixture.read("m.read", "$2", None);
    assert_eq!(fixture.views.log.len(), 1);
    assert_eq!(fixture.contents("@b:x", Offset::ZERO), [json!({"$2": {"m.read": {"@a:x": {"ts": 1000}}}})]);
    assert!(fixture.contents("@b:x", Offset(1)).is_empty());
    fixture.read("m.read", "$3", None);
    let expected = [json!({"$3": {"m.read": {"@a:x": {"ts": 1000}}}})];
    assert_eq!(fixture.contents("@b:x", Offset::ZERO), expected, "the earlier one is gone");
}

#[test]
fn threads_are_apart_and_private_receipts_are_private() {
    let fixture = fixture();
    fixture.read("m.read", "$5", None);
    fixture.read("m.read", "$4", Some("main"));
    fixture.read("m.read.private", "$6", None);
    let expected = json!({
        "$4": {"m.read": {"@a:x": {"ts": 1000, "thread_id": "main"}}},
        "$5": {"m.read": {"@a:x": {"ts": 1000}}},
    });
    assert_eq!(fixture.contents("@b:x", Offset::ZERO), [expected]);
    let own = fixture.contents("@a:x", Offset::ZERO);
    assert!(own[0]["$6"]["m.read.private"]["@a:x"].is_object(), "EPH-04: {own:?}");
    assert!(fixture.contents("@b:x", Offset(2)).is_empty(), "of a private receipt others hear nothing");
    assert_eq!(query::receipts_of(&*fixture.views.settle(), "!r", "@a:x").expect("reads").len(), 3);
}

/// EPH-03, EPH-07: a user has a receipt for each thread, and some may stand at one event.
#[test]
fn receipts_of_several_threads_at_one_event_are_all_told() {
    let fixture = fixture();
    fixture.read("m.read", "$5", None);
    fixture.read("m.read", "$5", Some("main"));
    fixture.read("m.read", "$5", Some("$root"));
    fixture.read("m.read.private", "$5", None);
    let contents = fixture.contents("@a:x", Offset::ZERO);
    let at = |content: &Value, receipt_type: &str| content["$5"][receipt_type]["@a:x"].clone();
    assert_eq!(
        contents.iter().map(|content| at(content, "m.read")).collect::<Vec<_>>(),
        [json!({"ts": 1000}), json!({"ts": 1000, "thread_id": "main"}), json!({"ts": 1000, "thread_id": "$root"})]
    );
    assert_eq!(at(&contents[0], "m.read.private"), json!({"ts": 1000}), "another type has a place of its own");
}

#[test]
fn what_is_no_event_of_the_room_is_refused() {
    let fixture = fixture();
    let long = format!("${}", "1".repeat(300));
    for event_id in ["unknown", "", long.as_str()] {
        let attempts = [
            marks(Some(event_id), Vec::new()),
            marks(None, vec![receipt("m.read", event_id, None)]),
            marks(None, vec![receipt("m.read.private", event_id, None)]),
            // All or nothing, whichever of them is wrong.
            marks(Some("$1"), vec![receipt("m.read", "$1", None), receipt("m.read.private", event_id, None)]),
            marks(Some(event_id), vec![receipt("m.read", "$1", None)]),
        ];
        for attempt in attempts {
            let refused = block_on(fixture.writer.mark_read(&attempt, place));
            assert!(matches!(refused, Err(MarkError::UnknownEvent | MarkError::Invalid(_))), "{attempt:?}");
        }
    }
    for wrong in [receipt("m.other", "$1", None), receipt("m.read", "$1", Some(""))] {
        let refused = fixture.mark(Some("$1"), vec![wrong]);
        assert!(matches!(refused, Err(MarkError::Invalid(_))));
    }
    assert!(fixture.views.log.is_empty());
}

/// A follower gets whole appends only: of two records that fit, the one that begins another append has to wait for the
/// other half of that.
#[test]
fn marks_of_one_request_are_one_append() {
    let fixture = fixture();
    fixture.read("m.read", "$1", None);
    fixture.mark(Some("$1"), vec![receipt("m.read", "$2", None)]).expect("good");
    let mut follower = fixture.views.log.follow(Offset::ZERO, Lanes::Journal).expect("follows");
    let mut next = || {
        let mut records = Vec::new();
        follower.next(&mut records, 2, std::time::Duration::ZERO).expect("reads");
        records
    };
    assert_eq!(next().len(), 1, "the receipt of the first request comes alone");
    let both = next();
    assert!(matches!(both[0].input(), Ok(InputRef::AccountDataSet(set)) if set.event_type == "m.fully_read"));
    assert!(matches!(both[1].input(), Ok(InputRef::ReceiptSent(_))));
    fixture.mark(None, Vec::new()).expect("nothing is wrong with nothing");
    assert_eq!(fixture.views.log.len(), 3);
}
