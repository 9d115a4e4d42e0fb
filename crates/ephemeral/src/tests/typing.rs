//! Typing: begun, renewed, over, left, and what a restart makes of it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use engram_base::block_on;
use engram_log::TimestampMs;

use super::{Fixture, fixture};

impl Fixture {
    fn type_for(&self, user_id: &str, seconds: u64) {
        block_on(self.writer.set_typing("!r", user_id, Some(Duration::from_secs(seconds)))).expect("appends");
    }
}

#[test]
fn typing_begins_is_renewed_and_expires() {
    let fixture = fixture();
    fixture.type_for("@a:x", 10);
    let began = fixture.live.typing_changed("!r");
    assert_eq!(fixture.live.typing("!r"), ["@a:x"]);
    fixture.now.store(5_000, Ordering::Relaxed);
    fixture.type_for("@a:x", 10);
    assert_eq!(fixture.live.typing_changed("!r"), began, "a renewal is no change");
    assert_eq!(fixture.live.next_typing_expiry(), Some(TimestampMs(15_000)));
    assert_eq!(fixture.pass(9_999), 0);
    assert_eq!(fixture.pass(1), 1);
    let ended = fixture.live.typing_changed("!r");
    assert_eq!(fixture.live.typing_since("!r", began, ended), Some(Vec::new()));
    assert_eq!(fixture.live.typing_since("!r", ended, ended), None);
    assert_eq!(fixture.live.typing_since("!r", began, began), None, "not told before it is due");
    let records = fixture.views.log.len();
    block_on(fixture.writer.set_typing("!r", "@a:x", None)).expect("appends nothing");
    assert_eq!(fixture.views.log.len(), records);
    fixture.type_for("@a:x", 100_000);
    assert_eq!(fixture.live.next_typing_expiry(), Some(TimestampMs(135_000)), "the limit is 120 seconds");
}

#[test]
fn who_leaves_types_no_longer_and_who_comes_back_may_type_again() {
    let fixture = fixture();
    fixture.type_for("@a:x", 10);
    let typed = fixture.live.typing_changed("!r");
    let leave = typed.next();
    assert!(fixture.live.left("!r", "@a:x", leave));
    assert!(fixture.live.typing("!r").is_empty());
    assert_eq!(fixture.live.typing_since("!r", typed, leave), Some(Vec::new()), "it is told");
    assert!(!fixture.live.left("!r", "@a:x", leave), "nothing is left to end");
    fixture.type_for("@a:x", 10);
    fixture.type_for("@a:x", 10);
    assert!(!fixture.live.left("!r", "@a:x", leave), "what was said after the leave stands");
    assert_eq!(fixture.live.typing("!r"), ["@a:x"]);
}

#[test]
fn who_typed_before_a_restart_is_told_to_have_stopped() {
    let before = fixture();
    before.type_for("@a:x", 10);
    before.type_for("@gone:x", 100);
    let shown = before.live.typing_changed("!r");
    let after = Fixture::over(before.views.log.clone(), 60_000);
    assert_eq!(after.live.typing("!r"), ["@a:x"], "who has left since is not there");
    assert_eq!(after.pass(0), 1);
    let ended = after.live.typing_changed("!r");
    assert!(shown < ended);
    assert_eq!(after.live.typing_since("!r", shown, ended), Some(Vec::new()));
}
