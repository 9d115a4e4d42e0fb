//! Redactions: who may, before and after their target, and what clients see of it.

use engram_log_format::v1;

use super::rig::{ALICE, BOB, CAROL, ERASED, Rig, VERSIONS};
use crate::query::Verdict;

#[test]
fn a_redacted_event_is_served_without_its_content() {
    for version in VERSIONS {
        let mut rig = Rig::room(version);
        rig.join(BOB);
        let message = rig.message(BOB, "secret");
        assert_eq!(rig.render(&message, ALICE, None)["content"]["body"], "secret");
        let redaction = rig.redact(ALICE, &message.event_id);
        let rendered = rig.render(&message, ALICE, None);
        assert_eq!(rendered["content"], serde_json::json!({}));
        assert!(!rendered.to_string().contains("secret"));
        let because = &rendered["unsigned"]["redacted_because"];
        assert_eq!(because["event_id"], redaction.event_id);
        // Both places, in every version (RV-14).
        assert_eq!(
            (&because["redacts"], &because["content"]["redacts"]),
            (&rendered["event_id"], &rendered["event_id"])
        );
        assert!(rig.timeline().contains(&redaction.offset));
    }
}

#[test]
fn only_those_may_redact_who_have_the_power_or_are_of_the_same_server() {
    let mut rig = Rig::room("11");
    rig.join(BOB);
    rig.join(CAROL);
    let message = rig.message(BOB, "mine");
    let foreign = rig.redact(CAROL, &message.event_id);
    assert_eq!(rig.verdict(&foreign), Verdict::Accepted, "the auth rules let it pass");
    assert!(rig.stored(&foreign).meta.is_withheld);
    assert!(!rig.timeline().contains(&foreign.offset), "it is not shown (AUTH-19)");
    assert_eq!(rig.stored(&message).meta.redacted_by, None);
    let own = rig.redact(BOB, &message.event_id);
    assert_eq!(rig.stored(&message).meta.redacted_by, Some(own.offset));
    let again = rig.redact(ALICE, &message.event_id);
    assert_eq!(rig.stored(&message).meta.redacted_by, Some(own.offset), "the first one counts");
    assert!(rig.timeline().contains(&again.offset));
}

#[test]
fn a_redaction_waits_for_its_target() {
    let mut rig = Rig::room("12");
    rig.join(BOB);
    rig.join(CAROL);
    let parents = [rig.last.clone().unwrap()];
    let draft = engram_matrix::build::Draft {
        sender: BOB,
        event_type: "m.room.message",
        state_key: None,
        content: r#"{"body":"late"}"#,
        redacts: None,
    };
    let late = rig.build(&parents, &draft);
    let foreign = rig.redact(CAROL, &late.event_id);
    let rightful = rig.redact(ALICE, &late.event_id);
    assert!(rig.stored(&rightful).meta.is_withheld);
    let late = rig.append(late);
    assert_eq!(rig.stored(&late).meta.redacted_by, Some(rightful.offset), "not the first, but the first that may");
    assert!(rig.stored(&foreign).meta.is_withheld);
    assert!(rig.timeline().contains(&rightful.offset));
    assert_eq!(rig.render(&late, ALICE, None)["content"], serde_json::json!({}));
    let unrelated = rig.message(ALICE, "after");
    assert_eq!(rig.stored(&unrelated).meta.redacted_by, None);
}

#[test]
fn redacted_state_is_not_served_as_previous_content() {
    let mut rig = Rig::room("10");
    let topic = rig.state(ALICE, "m.room.topic", "", r#"{"topic":"secret"}"#);
    let next = rig.state(ALICE, "m.room.topic", "", r#"{"topic":"public"}"#);
    let rendered = rig.render(&next, ALICE, None);
    assert_eq!(rendered["unsigned"]["prev_content"]["topic"], "secret");
    assert_eq!(rendered["unsigned"]["replaces_state"], topic.event_id);
    assert_eq!(rendered["unsigned"]["prev_sender"], ALICE);
    rig.redact(ALICE, &topic.event_id);
    assert_eq!(rig.render(&next, ALICE, None)["unsigned"]["prev_content"], serde_json::json!({}));
}

#[test]
fn an_outlier_stays_redacted_when_it_gets_its_place() {
    let mut rig = Rig::room("11");
    let parents = [rig.last.clone().unwrap()];
    let draft = engram_matrix::build::Draft {
        sender: ALICE,
        event_type: "m.room.message",
        state_key: None,
        content: r#"{"body":"secret"}"#,
        redacts: None,
    };
    let pdu = rig.build(&parents, &draft);
    rig.append(v1::Pdu { source: v1::PduSource::Outlier, ..pdu.clone() });
    let redaction = rig.redact(ALICE, &pdu.event_id);
    let placed = rig.append(pdu);
    assert_eq!(rig.verdict(&placed), Verdict::Accepted);
    assert_eq!(rig.stored(&placed).meta.redacted_by, Some(redaction.offset));
    assert_eq!(rig.render(&placed, ALICE, None)["content"], serde_json::json!({}));
}

#[test]
fn who_was_not_there_sees_nothing_of_an_erased_user() {
    let mut rig = Rig::room("11");
    rig.join(ERASED);
    rig.join(BOB);
    rig.power(ALICE, &[(ERASED, 50)]);
    let message = rig.message(ERASED, "secret");
    let former = rig.state(ERASED, "m.room.topic", "", r#"{"topic":"secret"}"#);
    let topic = rig.state(ERASED, "m.room.topic", "", r#"{"topic":"to be kept"}"#);
    rig.join(CAROL);
    for made in [&message, &former] {
        assert!(rig.render(made, BOB, None).to_string().contains("secret"));
        let shown = rig.render(made, CAROL, None);
        assert_eq!(shown["content"], serde_json::json!({}));
        assert_eq!((&shown["sender"], shown["unsigned"].get("redacted_because")), (&ERASED.into(), None));
    }
    assert_eq!(rig.render(&topic, CAROL, None)["content"]["topic"], "to be kept", "it is state to this day");
    assert!(!rig.render(&topic, CAROL, None).to_string().contains("secret"), "not even as what it replaced");
    let later = rig.message(ERASED, "heard by all");
    assert_eq!(rig.render(&later, CAROL, None)["content"]["body"], "heard by all");
}

#[test]
fn few_redactions_wait_for_one_event_and_the_rightful_ones_are_among_them() {
    let mut rig = Rig::room("12");
    rig.power(ALICE, &[(BOB, 50)]);
    rig.join(BOB);
    rig.join(CAROL);
    let parents = [rig.last.clone().unwrap()];
    let draft = engram_matrix::build::Draft {
        sender: CAROL,
        event_type: "m.room.message",
        state_key: None,
        content: r#"{"body":"late"}"#,
        redacts: None,
    };
    let late = rig.build(&parents, &draft);
    // Many of one server, then one each of more servers than may wait.
    let mallory: Vec<String> = (0..8).map(|server| format!("@mallory:{server}.test")).collect();
    let first_of_author = rig.redact(CAROL, &late.event_id);
    for user in &mallory {
        rig.join(user);
        for _ in 0..3 {
            rig.redact(user, &late.event_id);
        }
    }
    let rightful = rig.redact(BOB, &late.event_id);
    rig.redact(ALICE, &late.event_id);
    let mut waiting = 0;
    let mut visit = |_: &[u8], _: &[u8]| {
        waiting += 1;
        std::ops::ControlFlow::Continue(())
    };
    let table = &crate::tables::PENDING_REDACTIONS;
    let snapshot = rig.snapshot();
    engram_views::ReadExt::scan_prefix(&*snapshot, table, &[], &mut visit).unwrap();
    assert_eq!(waiting, crate::limits::PENDING_REDACTIONS_MAX + 1);
    drop(snapshot);
    let late = rig.append(late);
    assert_eq!(rig.stored(&late).meta.redacted_by, Some(first_of_author.offset), "its author's server may");
    assert!(rig.timeline().contains(&rightful.offset), "who has the power was not shut out");
}
