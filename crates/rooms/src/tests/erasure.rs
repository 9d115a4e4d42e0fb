//! Redacted events whose content is taken out of the log: nothing that was decided changes, now or when it is decided
//! anew.

use engram_log::{Erasure, Input, Log as _, Offset, PayloadState, TimestampMs};
use engram_log_format::v1;
use engram_matrix::build::Draft;
use engram_matrix::redact;
use engram_matrix::room_version::RoomVersion;
use engram_views::testing::{MemoryLog, TestViews};
use proptest::prelude::*;

use super::rig::{ALICE, BOB, CAROL, Made, Rig, rows};
use crate::projector::RoomsProjector;
use crate::query::Verdict;
use crate::tables::DUE;

const SECRET: &str = "forget-me";

/// A rig, and its log as it would be had nothing been erased.
struct World {
    rig: Rig,
    whole: MemoryLog,
    /// What later events may follow.
    sent: Vec<Made>,
    /// What may be redacted, or come again.
    known: Vec<v1::Pdu>,
}

impl World {
    fn new(version: &str) -> Self {
        let mut rig = Rig::room(version);
        rig.state(ALICE, "m.room.join_rules", "", r#"{"join_rule":"public"}"#);
        let mut world = Self { rig, whole: MemoryLog::new(), sent: Vec::new(), known: Vec::new() };
        world.copy();
        for offset in 1..=world.whole.len() as u64 {
            let pdu = pdu(&world.whole, Offset(offset));
            let made = Made { event_id: pdu.event_id.clone(), offset: Offset(offset), depth: offset };
            world.sent.push(made);
            world.known.push(pdu);
        }
        world
    }

    /// Takes over what the log has got, payloads as they were written.
    fn copy(&mut self) {
        for offset in self.whole.len() as u64 + 1..=self.rig.views.log.durable_end().0 {
            let record = self.rig.views.log.read(Offset(offset)).unwrap();
            assert_eq!(record.state(), PayloadState::Whole, "what is new is whole");
            self.whole.journal(record.input().unwrap().to_owned(), 1);
        }
    }

    fn sent(&mut self, made: Made) {
        self.copy();
        self.known.push(pdu(&self.whole, made.offset));
        self.sent.push(made);
    }

    /// Has everything erased that is due; how much that was.
    fn erase(&mut self) -> usize {
        self.copy();
        let due = DUE.after(&*self.rig.snapshot(), None, usize::MAX).unwrap();
        let erasures: Vec<Erasure> = due.iter().map(|due| self.erasure(due.record)).collect();
        if self.rig.views.log.erase(&erasures, "redacted", TimestampMs(1)).unwrap().is_some() {
            self.copy();
        }
        erasures.len()
    }

    fn erasure(&self, offset: Offset) -> Erasure {
        let pdu = pdu(&self.rig.views.log, offset);
        let json = redact::prune(RoomVersion::parse(&pdu.room_version).unwrap(), &pdu.json).unwrap();
        assert_ne!(json, pdu.json, "what has nothing to lose is not listed");
        Erasure { offset, replacement: Some(Input::from(v1::Pdu { json, ..pdu }).encode().to_vec()) }
    }

    /// Live, rebuilt over the erased log, and rebuilt over a log that was never erased: the same rows, and so the same
    /// verdicts.
    fn check(&mut self) {
        self.copy();
        let live = rows(&*self.rig.snapshot());
        let erased = rows(&*replayed(self.rig.views.log.prefix(usize::MAX)).settle());
        let whole = rows(&*replayed(self.whole.clone()).settle());
        for (live, erased) in live.iter().zip(&erased) {
            assert_eq!(live, erased, "the view over the erased log differs");
        }
        assert!(live.len() == erased.len() && live == whole, "the view over the whole log differs");
    }
}

fn pdu(log: &MemoryLog, offset: Offset) -> v1::Pdu {
    match log.read(offset).unwrap().input().unwrap().to_owned() {
        Input::Pdu(pdu) => pdu,
        other => panic!("no event at {offset}: {other:?}"),
    }
}

fn replayed(log: MemoryLog) -> TestViews {
    TestViews::over(log, vec![Box::new(RoomsProjector::default())], Vec::new())
}

/// Whether any record still holds a text.
fn is_in_log(log: &MemoryLog, text: &str) -> bool {
    let has = |offset| {
        let record = log.read(Offset(offset)).unwrap();
        record.payload().windows(text.len()).any(|window| window == text.as_bytes())
    };
    (1..=log.durable_end().0).any(has)
}

#[test]
fn the_content_of_redacted_events_is_not_in_the_log_any_more() {
    for version in ["10", "11", "12"] {
        let mut world = World::new(version);
        let message = world.rig.message(ALICE, SECRET);
        let topic = world.rig.state(ALICE, "m.room.topic", "", &format!(r#"{{"topic":"{SECRET}"}}"#));
        let member = format!(r#"{{"displayname":"{SECRET}","membership":"join"}}"#);
        let member = world.rig.state(BOB, "m.room.member", BOB, &member);
        for made in [&message, &topic, &member] {
            world.rig.redact(ALICE, &made.event_id);
        }
        assert!(is_in_log(&world.rig.views.log, SECRET));
        assert_eq!(world.erase(), 3);
        assert!(!is_in_log(&world.rig.views.log, SECRET));
        assert_eq!(world.erase(), 0, "once is enough");
        assert_eq!(world.rig.membership(BOB), Some("join"));
        assert_eq!(world.rig.render(&message, ALICE, None)["content"], serde_json::json!({}));
        world.rig.message(BOB, "goes on");
        world.check();
    }
}

#[test]
fn copies_of_a_redacted_event_go_too() {
    let mut world = World::new("11");
    let parents = [world.rig.last.clone().unwrap()];
    let content = format!(r#"{{"body":"{SECRET}"}}"#);
    let draft =
        Draft { sender: ALICE, event_type: "m.room.message", state_key: None, content: &content, redacts: None };
    let event = world.rig.build(&parents, &draft);
    world.rig.append(v1::Pdu { source: v1::PduSource::Outlier, ..event.clone() });
    world.rig.append(event.clone());
    world.rig.append(event.clone());
    world.rig.redact(ALICE, &event.event_id);
    // Whoever has not heard of the redaction may send it again.
    world.rig.append(event);
    assert_eq!(world.erase(), 4);
    assert!(!is_in_log(&world.rig.views.log, SECRET));
    world.check();
}

#[test]
fn rules_judge_by_what_was_redacted_as_before() {
    // The level for invitations is taken by redaction to version 10; the events after it must not become allowed by
    // that.
    let mut world = World::new("10");
    world.rig.join(BOB);
    let levels = format!(r#"{{"invite":60,"note":"{SECRET}","users":{{"{ALICE}":100,"{BOB}":50}}}}"#);
    let power = world.rig.state(ALICE, "m.room.power_levels", "", &levels);
    let refused = world.rig.state(BOB, "m.room.member", CAROL, r#"{"membership":"invite"}"#);
    assert_eq!(world.rig.verdict(&refused), Verdict::Rejected);
    world.rig.redact(ALICE, &power.event_id);
    let message = world.rig.message(BOB, "redacted by a redaction that is redacted");
    let redaction = world.rig.redact(BOB, &message.event_id);
    world.rig.redact(ALICE, &redaction.event_id);
    assert!(world.erase() >= 2);
    assert!(!is_in_log(&world.rig.views.log, SECRET));
    let after = world.rig.state(BOB, "m.room.member", CAROL, r#"{"membership":"invite"}"#);
    assert_eq!(world.rig.verdict(&after), Verdict::Rejected);
    world.check();
}

fn step(world: &mut World, (action, who, back): (u8, u8, usize)) {
    let sender = [ALICE, BOB, CAROL][usize::from(who)];
    let at = world.sent.len() - 1 - back % world.sent.len();
    let parent = world.sent[at].clone();
    let copy = world.known[world.known.len() - 1 - back % world.known.len()].clone();
    let rig = &mut world.rig;
    let made = match action {
        0 => rig.message(sender, SECRET),
        1 => {
            rig.state(sender, "m.room.member", sender, &format!(r#"{{"displayname":"{SECRET}","membership":"join"}}"#))
        }
        2 => rig.state(sender, "m.room.topic", "", &format!(r#"{{"topic":"{SECRET}"}}"#)),
        3 => {
            let levels = format!(r#"{{"invite":{},"notifications":{{"room":{back}}},"x":"{SECRET}",{}"#, back * 10, {
                let users = rig.levels(&[(BOB, 50), (CAROL, i64::try_from(back).unwrap() * 10)]);
                users[1..].to_owned()
            });
            rig.state(sender, "m.room.power_levels", "", &levels)
        }
        4 => rig.state(sender, "m.room.member", CAROL, r#"{"membership":"invite","reason":"forget-me"}"#),
        5 => rig.state_on(&[&parent], sender, "m.room.member", BOB, r#"{"membership":"ban","reason":"forget-me"}"#),
        6 => rig.message_on(&[&parent], sender, SECRET),
        7 => {
            let source = [v1::PduSource::Federation, v1::PduSource::Backfill, v1::PduSource::Outlier][usize::from(who)];
            rig.append(v1::Pdu { source, ..copy });
            return;
        }
        8 => {
            let newest = rig.last.clone().unwrap();
            let parents: Vec<&Made> =
                if newest.event_id == parent.event_id { vec![&newest] } else { vec![&parent, &newest] };
            let joined = rig.message_on(&parents, sender, SECRET);
            if rig.verdict(&joined) == Verdict::Accepted {
                rig.last = Some(joined.clone());
            }
            joined
        }
        9..=12 => rig.redact(sender, &copy.event_id),
        13 => {
            let content = format!(r#"{{"topic":"{SECRET}"}}"#);
            let draft =
                Draft { sender, event_type: "m.room.topic", state_key: Some(""), content: &content, redacts: None };
            let event = rig.build(&[parent], &draft);
            rig.append(v1::Pdu { source: v1::PduSource::Outlier, ..event.clone() });
            world.known.push(event);
            return;
        }
        _ => {
            world.erase();
            return;
        }
    };
    world.sent(made);
}

/// How many histories: a few, or as many as `ENGRAM_ERASURE_CASES` says.
#[expect(clippy::disallowed_methods, reason = "a long run is asked for by the environment, not by the test")]
fn cases() -> u32 {
    std::env::var("ENGRAM_ERASURE_CASES").ok().map_or(24, |cases| cases.parse().expect("a whole number"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    /// Any history, redacted and erased at any time.
    #[test]
    fn an_erased_log_makes_the_same_view(
        version in prop::sample::select(vec!["6", "8", "10", "11", "12"]),
        steps in proptest::collection::vec((0u8..16, 0u8..3, 0usize..12), 1..40),
    ) {
        let mut world = World::new(version);
        for step in steps {
            self::step(&mut world, step);
        }
        world.erase();
        world.check();
    }
}
