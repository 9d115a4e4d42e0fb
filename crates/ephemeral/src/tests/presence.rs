//! Presence: what devices say, what others are told, and when.

use std::sync::atomic::Ordering;

use engram_base::block_on;
use engram_log::{Offset, TimestampMs};

use super::{Fixture, START_MS, fixture};
use crate::limits::{AWAY_AFTER, IDLE_AFTER, PRESENCE_BATCH_MAX, SETTLE};
use crate::{Attending, Availability};

const A: &str = "@a:x";

fn ms(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).expect("short")
}

impl Fixture {
    fn poll(&self, user_id: &str, device_id: &str, says: Availability) -> Attending {
        self.live.attend(user_id, device_id, says, self.clock())
    }

    fn told(&self, user_id: &str) -> Option<Availability> {
        self.live.presence(user_id).map(|presence| presence.availability)
    }

    fn set(&self, device_id: &str, says: Availability, status: Option<&str>) {
        block_on(self.writer.set_presence(A, device_id, says, status)).expect("appends");
    }
}

#[test]
fn words_are_those_of_the_specification() {
    for word in ["offline", "unavailable", "online"] {
        assert_eq!(Availability::parse(word).map(Availability::as_str), Some(word));
    }
    assert_eq!(Availability::parse("Online"), None);
    assert!(Availability::Offline < Availability::Unavailable && Availability::Unavailable < Availability::Online);
}

/// Two devices that contradict each other once made a record, and woke everybody, with every poll.
#[test]
fn the_most_present_device_speaks_and_idle_loops_write_nothing() {
    let fixture = fixture();
    let mut polls = [fixture.poll(A, "ONE", Availability::Online), fixture.poll(A, "TWO", Availability::Unavailable)];
    assert_eq!(fixture.pass(0), 1);
    assert_eq!(fixture.told(A), Some(Availability::Online));
    let mut written = 0;
    for _ in 0..8 {
        written += fixture.pass(30_000);
        polls = [fixture.poll(A, "ONE", Availability::Online), fixture.poll(A, "TWO", Availability::Unavailable)];
    }
    drop(polls);
    assert_eq!(written, 0, "an idle pair causes nothing");
}

#[test]
fn polls_of_one_device_that_contradict_each_other_write_nothing() {
    let fixture = fixture();
    let mut active = fixture.poll(A, "ONE", Availability::Online);
    let _idle = fixture.poll(A, "ONE", Availability::Unavailable);
    assert_eq!(fixture.pass(0), 1);
    for _ in 0..10 {
        drop(active);
        assert_eq!(fixture.pass(1), 0, "the moment between two polls is nobody's concern");
        active = fixture.poll(A, "ONE", Availability::Online);
        assert_eq!(fixture.pass(10_000), 0);
    }
    drop(active);
    assert_eq!(fixture.pass(0) + fixture.pass(ms(SETTLE)), 1, "but what lasts is told");
    assert_eq!(fixture.told(A), Some(Availability::Unavailable));
}

#[test]
fn who_does_nothing_is_idle_after_a_while_and_back_with_the_first_activity() {
    let fixture = fixture();
    let mut poll = fixture.poll(A, "ONE", Availability::Online);
    assert_eq!(fixture.pass(0), 1);
    let rounds = ms(IDLE_AFTER) / 30_000;
    for round in 1..rounds {
        assert_eq!(fixture.pass(30_000), 0, "round {round}");
        poll = fixture.poll(A, "ONE", Availability::Online);
    }
    assert_eq!(fixture.pass(30_000) + fixture.pass(ms(SETTLE)), 1);
    let idle = fixture.live.presence(A).expect("seen");
    assert_eq!((idle.availability, idle.currently_active), (Availability::Unavailable, false), "EPH-10");
    assert_eq!(idle.last_active, TimestampMs(START_MS), "polling is no activity");
    drop(poll);
    let _poll = fixture.poll(A, "ONE", Availability::Online);
    assert_eq!(fixture.pass(10_000), 0, "nor does the next poll bring them back");
    let now = fixture.now();
    fixture.live.act(A, "TWO", now);
    assert_eq!(fixture.pass(0), 1);
    let back = fixture.live.presence(A).expect("seen");
    assert_eq!((back.availability, back.currently_active, back.last_active), (Availability::Online, true, now));
}

#[test]
fn the_time_of_the_last_activity_is_known_though_it_is_not_told() {
    let fixture = fixture();
    let _poll = fixture.poll(A, "ONE", Availability::Online);
    fixture.pass(0);
    fixture.now.store(90_000, Ordering::Relaxed);
    fixture.live.act(A, "ONE", TimestampMs(90_000));
    assert_eq!(fixture.pass(0), 0, "while somebody counts as active nothing is told");
    assert_eq!(fixture.live.presence(A).map(|presence| presence.last_active), Some(TimestampMs(90_000)));
    let told = fixture.live.presence_since(Offset::ZERO);
    assert_eq!(told[0].1.last_active, TimestampMs(90_000));
}

#[test]
fn whose_last_poll_has_ended_is_gone_after_a_while() {
    let fixture = fixture();
    let poll = fixture.poll(A, "ONE", Availability::Online);
    fixture.pass(0);
    drop(poll);
    assert_eq!(fixture.pass(ms(AWAY_AFTER) - 1), 0);
    assert_eq!(fixture.pass(1) + fixture.pass(ms(SETTLE)), 1);
    assert_eq!(fixture.told(A), Some(Availability::Offline));
    assert!(!fixture.live.is_due(TimestampMs(u64::MAX)), "nothing is remembered of who is gone");
}

#[test]
fn an_idle_device_and_one_that_is_not_to_be_seen() {
    let fixture = fixture();
    let _hidden = fixture.poll(A, "HIDDEN", Availability::Offline);
    assert_eq!(fixture.pass(10_000), 0, "SYNC-16");
    fixture.live.act(A, "HIDDEN", TimestampMs(11_000));
    assert_eq!(fixture.pass(0), 0, "nor does activity show them");
    let _idle = fixture.poll(A, "IDLE", Availability::Unavailable);
    assert_eq!(fixture.pass(0), 1);
    assert_eq!(fixture.told(A), Some(Availability::Unavailable));
    fixture.live.act(A, "IDLE", TimestampMs(12_000));
    assert_eq!(fixture.pass(1_000), 1, "whoever writes there is there");
    assert_eq!(fixture.told(A), Some(Availability::Online));
}

#[test]
fn what_is_set_is_told_at_once_and_keeps_its_message() {
    let fixture = fixture();
    let _poll = fixture.poll(A, "ONE", Availability::Online);
    fixture.set("ONE", Availability::Unavailable, Some("out"));
    assert_eq!(fixture.told(A), Some(Availability::Unavailable), "the poll that is under way said otherwise before");
    let _poll = fixture.poll(A, "ONE", Availability::Online);
    assert_eq!(fixture.pass(0), 1);
    let back = fixture.live.presence(A).expect("seen");
    assert_eq!((back.availability, back.status_msg.as_deref()), (Availability::Online, Some("out")));
    let records = fixture.views.log.len();
    fixture.set("ONE", Availability::Online, Some("out"));
    assert_eq!(fixture.views.log.len(), records, "the same again is not written");
    fixture.set("TWO", Availability::Unavailable, Some("out"));
    assert_eq!(fixture.told(A), Some(Availability::Online), "the other device is there");
    fixture.set("ONE", Availability::Online, None);
    assert_eq!(fixture.live.presence(A).and_then(|presence| presence.status_msg), None);
}

#[test]
fn devices_that_are_no_more_count_no_more() {
    let fixture = fixture();
    let one = fixture.poll(A, "ONE", Availability::Online);
    let _two = fixture.poll(A, "TWO", Availability::Unavailable);
    fixture.pass(0);
    fixture.live.remove_devices(A, Some(&["ONE".to_owned()]), fixture.now());
    fixture.pass(0);
    fixture.pass(ms(SETTLE));
    assert_eq!(fixture.told(A), Some(Availability::Unavailable));
    drop(one);
    fixture.live.remove_devices(A, None, fixture.now());
    fixture.pass(0);
    fixture.pass(ms(SETTLE));
    assert_eq!(fixture.told(A), Some(Availability::Offline));
}

#[test]
fn who_was_there_before_a_restart_and_does_not_come_back_is_told_to_be_gone() {
    let before = fixture();
    let _polls = [before.poll(A, "ONE", Availability::Online), before.poll("@b:x", "ONE", Availability::Online)];
    assert_eq!(before.pass(0), 2);
    let shown = before.live.presence("@b:x").expect("seen").changed;
    let after = Fixture::over(before.views.log.clone(), 10_000);
    assert_eq!((after.told(A), after.pass(0)), (Some(Availability::Online), 0));
    let _poll = after.poll(A, "ONE", Availability::Online);
    assert_eq!(after.pass(ms(AWAY_AFTER)) + after.pass(ms(SETTLE)), 1);
    let news = after.live.presence_since(shown);
    assert_eq!(news.len(), 1, "who comes back is no news: {news:?}");
    assert_eq!((news[0].0.as_str(), news[0].1.availability), ("@b:x", Availability::Offline));
}

#[test]
fn a_crowd_is_told_of_in_parts() {
    let fixture = fixture();
    let crowd = PRESENCE_BATCH_MAX + 10;
    let names: Vec<String> = (0..crowd).map(|number| format!("@{number}:x")).collect();
    let polls: Vec<Attending> = names.iter().map(|name| fixture.poll(name, "ONE", Availability::Online)).collect();
    assert_eq!((fixture.pass(0), fixture.pass(0), fixture.pass(0)), (PRESENCE_BATCH_MAX, 10, 0));
    assert_eq!(fixture.live.seen_count(), crowd);
    assert!(names.iter().all(|name| fixture.told(name) == Some(Availability::Online)), "nobody is left out");
    drop(polls);
    assert_eq!((fixture.pass(ms(AWAY_AFTER)), fixture.pass(0), fixture.pass(0)), (PRESENCE_BATCH_MAX, 10, 0));
    assert!(names.iter().all(|name| fixture.told(name) == Some(Availability::Offline)), "as they go too");
}
