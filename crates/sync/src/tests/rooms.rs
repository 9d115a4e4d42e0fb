//! Rooms in answers.

use engram_rooms::writer::{Change, SendRequest};
use serde_json::{Value, json};

use super::rig::{ALICE, BOB, CAROL, Rig, ids, joined, keys, next, request};
use crate::SyncRequest;

#[tokio::test]
async fn an_initial_sync_has_the_room_and_the_next_one_nothing() {
    let rig = Rig::new();
    let room = rig.room();
    let answer = rig.sync(ALICE, None).await;
    let shown = joined(&answer, &room);
    assert_eq!(keys(&shown["timeline"]["events"])[..2], [("m.room.create", ""), ("m.room.member", ALICE)]);
    assert_eq!(shown["timeline"]["limited"], false);
    assert_eq!(shown["state"]["events"], json!([]), "the whole room is in the timeline (SYNC-01)");
    assert_eq!(shown["summary"], json!({"m.heroes": [], "m.joined_member_count": 1, "m.invited_member_count": 0}));
    assert_eq!(shown["unread_notifications"], json!({"highlight_count": 0, "notification_count": 0}));
    assert!(answer.get("device_lists").is_none(), "device lists are for incremental answers (SYNC-08)");
    assert_eq!(answer["device_unused_fallback_key_types"], json!([]));

    let again = rig.sync(ALICE, Some(next(&answer))).await;
    assert_eq!(again.get("rooms"), None);
    assert_eq!(next(&again), next(&answer));
    let full = rig.ask(SyncRequest { full_state: true, ..request(ALICE, Some(next(&answer))) }).await;
    assert!(keys(&joined(&full, &room)["state"]["events"]).contains(&("m.room.create", "")));
    assert_eq!(joined(&full, &room)["timeline"]["events"], json!([]));
}

/// Removes what is not the same in two answers to one question: nothing, but the ages.
fn without_ages(mut answer: Value) -> Value {
    fn walk(value: &mut Value) {
        match value {
            Value::Object(object) => {
                object.remove("age");
                object.remove("account_data");
                object.values_mut().for_each(walk);
            }
            Value::Array(list) => list.iter_mut().for_each(walk),
            _ => {}
        }
    }
    walk(&mut answer);
    answer
}

#[tokio::test]
async fn answers_from_memory_and_from_the_views_agree() {
    let rig = Rig::new();
    let room = rig.room();
    rig.join(&room, BOB);
    let (alice, bob) = (rig.sync(ALICE, None).await, rig.sync(BOB, None).await);
    let first = rig.message(&room, ALICE, "one");
    let second = rig.message(&room, BOB, "two");
    let mut quick = Vec::new();
    for (user_id, before) in [(ALICE, &alice), (BOB, &bob)] {
        let answer = rig.sync(user_id, Some(next(before))).await;
        let events = &joined(&answer, &room)["timeline"]["events"];
        assert_eq!(ids(events), [first.as_str(), second.as_str()]);
        let transactions: Vec<_> = [0, 1].map(|index| events[index]["unsigned"]["transaction_id"].as_str()).into();
        let own = if user_id == ALICE { vec![Some("one"), None] } else { vec![None, Some("two")] };
        assert_eq!(transactions, own, "a transaction ID is for the device that sent");
        quick.push(without_ages(answer));
    }
    let fresh = rig.restarted();
    for ((user_id, before), quick) in [(ALICE, &alice), (BOB, &bob)].into_iter().zip(quick) {
        let general = without_ages(fresh.sync(user_id, Some(next(before))).await);
        assert_eq!(joined(&general, &room)["timeline"], joined(&quick, &room)["timeline"]);
        assert_eq!(joined(&general, &room)["state"], joined(&quick, &room)["state"]);
        assert_eq!(next(&general), next(&quick));
    }
}

#[tokio::test]
async fn a_gap_is_limited_and_its_state_changes_are_in_state() {
    let rig = Rig::new();
    let room = rig.room();
    rig.join(&room, BOB);
    let before = rig.sync(BOB, None).await;
    rig.state(&room, ALICE, "m.room.topic", &json!({"topic": "old"}));
    let topic = rig.state(&room, ALICE, "m.room.topic", &json!({"topic": "new"}));
    let sent: Vec<_> = (0..8).map(|count| rig.message(&room, ALICE, &format!("m{count}"))).collect();
    let name = rig.state(&room, ALICE, "m.room.name", &json!({"name": "late"}));
    let filter = r#"{"room":{"timeline":{"limit":3}}}"#;
    let answer = rig.filtered(BOB, Some(next(&before)), filter).await;
    let shown = joined(&answer, &room);
    assert_eq!(shown["timeline"]["limited"], true);
    assert_eq!(ids(&shown["timeline"]["events"]), [&sent[6], &sent[7], &name]);
    assert_eq!(ids(&shown["state"]["events"]), [&topic], "the state before the timeline (SYNC-02)");

    let request = SyncRequest { use_state_after: true, ..request(BOB, Some(next(&before))) };
    let answer = rig.ask(SyncRequest { filter: crate::Filter::parse(filter).expect("valid"), ..request }).await;
    let shown = joined(&answer, &room);
    assert!(shown.get("state").is_none());
    let mut after = ids(&shown["state_after"]["events"]);
    after.sort_unstable();
    let mut expected = [topic.as_str(), name.as_str()];
    expected.sort_unstable();
    assert_eq!(after, expected, "the state after the timeline (SYNC-03)");
}

#[tokio::test]
async fn a_filter_holds_back_what_it_does_not_name() {
    let rig = Rig::new();
    let room = rig.room();
    let wanted = rig.message(&room, ALICE, "wanted");
    let before = rig.sync(ALICE, None).await;
    let filter = r#"{"room":{"timeline":{"limit":1,"types":["m.room.message"]},"state":{"types":[]}}}"#;
    let answer = rig.filtered(ALICE, None, filter).await;
    let shown = joined(&answer, &room);
    assert_eq!(ids(&shown["timeline"]["events"]), [wanted.as_str()]);
    assert_eq!(shown["timeline"]["limited"], false, "no other message is there");
    assert_eq!(shown["state"]["events"], json!([]));
    rig.state(&room, ALICE, "m.room.topic", &json!({"topic": "x"}));
    let answer = rig.filtered(ALICE, Some(next(&before)), filter).await;
    assert_eq!(answer.get("rooms"), None);
    let other = rig.filtered(ALICE, None, r#"{"room":{"rooms":["!other:test"]}}"#).await;
    assert_eq!(other.get("rooms"), None);
}

#[tokio::test]
async fn a_room_newly_joined_comes_whole() {
    let rig = Rig::new();
    let room = rig.room();
    let before = rig.sync(BOB, None).await;
    assert_eq!(before.get("rooms"), None);
    for count in 0..30 {
        rig.message(&room, ALICE, &format!("m{count}"));
    }
    let join = rig.join(&room, BOB);
    let answer = rig.sync(BOB, Some(next(&before))).await;
    let shown = joined(&answer, &room);
    assert_eq!(ids(&shown["timeline"]["events"]).last(), Some(&join.as_str()));
    assert_eq!(shown["timeline"]["limited"], true);
    assert!(keys(&shown["state"]["events"]).contains(&("m.room.create", "")));
    assert_eq!(shown["summary"]["m.heroes"], json!([ALICE]));
    assert_eq!(answer["device_lists"]["changed"], json!([ALICE, BOB]), "their own other devices may be new to them");
}

#[tokio::test]
async fn a_left_room_is_shown_once_up_to_the_leave() {
    let rig = Rig::new();
    let room = rig.room();
    rig.join(&room, BOB);
    let before = rig.sync(BOB, None).await;
    let last = rig.message(&room, ALICE, "last");
    let kick = rig.change(&room, ALICE, BOB, Change::Kick);
    rig.message(&room, ALICE, "not for bob");
    for rig in [&rig, &rig.restarted()] {
        let answer = rig.sync(BOB, Some(next(&before))).await;
        assert_eq!(answer["rooms"].get("join"), None);
        let shown = &answer["rooms"]["leave"][&room];
        assert_eq!(
            ids(&shown["timeline"]["events"]),
            [last.as_str(), kick.as_str()],
            "it ends with the leave (SYNC-11)"
        );
        assert_eq!(answer["device_lists"]["left"], json!([ALICE]));
        assert_eq!(rig.sync(BOB, Some(next(&answer))).await.get("rooms"), None, "left rooms come once (SYNC-10)");
        assert_eq!(rig.sync(BOB, None).await.get("rooms"), None);
        let all = rig.filtered(BOB, None, r#"{"room":{"include_leave":true}}"#).await;
        assert_eq!(ids(&all["rooms"]["leave"][&room]["timeline"]["events"]).last(), Some(&kick.as_str()));
    }
}

#[tokio::test]
async fn invitations_come_with_stripped_state_unless_ignored() {
    let rig = Rig::new();
    let room = rig.room();
    let before = rig.sync(BOB, None).await;
    rig.change(&room, ALICE, BOB, Change::Invite);
    let answer = rig.sync(BOB, Some(next(&before))).await;
    let state = &answer["rooms"]["invite"][&room]["invite_state"]["events"];
    assert!(keys(state).contains(&("m.room.create", "")), "SYNC-12");
    assert!(keys(state).contains(&("m.room.member", BOB)));
    let leave = rig.change(&room, BOB, BOB, Change::Leave);
    let declined = rig.sync(BOB, Some(next(&answer))).await;
    let shown = &declined["rooms"]["leave"][&room];
    assert_eq!(ids(&shown["timeline"]["events"]), [leave.as_str()]);
    assert_eq!(shown["state"]["events"], json!([]), "who was never in the room learns nothing of its state");

    rig.record(engram_log_format::v1::AccountDataSet {
        user_id: BOB.to_owned(),
        room_id: None,
        event_type: "m.ignored_user_list".to_owned(),
        content: json!({"ignored_users": {ALICE: {}}}).to_string().into_bytes(),
    });
    rig.change(&room, ALICE, BOB, Change::Invite);
    let answer = rig.sync(BOB, Some(next(&declined))).await;
    assert_eq!(answer.get("rooms"), None);
    assert_eq!(answer["account_data"]["events"][0]["type"], "m.ignored_user_list");
}

#[tokio::test]
async fn ignored_users_send_state_only() {
    let rig = Rig::new();
    let room = rig.room();
    rig.join(&room, BOB);
    rig.record(engram_log_format::v1::AccountDataSet {
        user_id: BOB.to_owned(),
        room_id: None,
        event_type: "m.ignored_user_list".to_owned(),
        content: json!({"ignored_users": {ALICE: {}}}).to_string().into_bytes(),
    });
    let before = rig.sync(BOB, None).await;
    rig.message(&room, ALICE, "unheard");
    let answer = rig.sync(BOB, Some(next(&before))).await;
    assert_eq!(answer.get("rooms"), None);
    let topic = rig.state(&room, ALICE, "m.room.topic", &json!({"topic": "seen"}));
    let answer = rig.sync(BOB, Some(next(&before))).await;
    assert_eq!(ids(&joined(&answer, &room)["timeline"]["events"]), [topic.as_str()]);
}

#[tokio::test]
async fn a_redacted_event_is_not_shown_from_memory() {
    let rig = Rig::new();
    let room = rig.room();
    rig.join(&room, BOB);
    let before = rig.sync(BOB, None).await;
    let secret = rig.message(&room, ALICE, "secret");
    let first = rig.sync(BOB, Some(next(&before))).await;
    assert_eq!(joined(&first, &room)["timeline"]["events"][0]["content"]["body"], "secret");
    rig.send(SendRequest {
        room_id: &room,
        sender: ALICE,
        event_type: "m.room.redaction",
        state_key: None,
        content: &json!({"redacts": secret}).to_string(),
        redacts: None,
        transaction: None,
        timestamp_ms: None,
    });
    let answer = rig.sync(BOB, Some(next(&before))).await;
    let events = &joined(&answer, &room)["timeline"]["events"];
    assert_eq!(events[0]["event_id"], secret.as_str());
    assert_eq!(events[0]["content"], json!({}));
    assert_eq!(events[1]["type"], "m.room.redaction");
}

#[tokio::test]
async fn lazy_loading_sends_a_member_once() {
    let rig = Rig::new();
    let room = rig.room();
    rig.state(&room, ALICE, "m.room.name", &json!({"name": "named"}));
    rig.join(&room, BOB);
    rig.join(&room, CAROL);
    for count in 0..10 {
        rig.message(&room, BOB, &format!("b{count}"));
    }
    let lazy = r#"{"room":{"state":{"lazy_load_members":true}}}"#;
    let members = |answer: &Value| -> Vec<String> {
        let state = &joined(answer, &room)["state"]["events"];
        let members = keys(state).into_iter().filter(|(event_type, _)| *event_type == "m.room.member");
        let mut members: Vec<_> = members.map(|(_, user_id)| user_id.to_owned()).collect();
        members.sort();
        members
    };
    let first = rig.filtered(ALICE, None, lazy).await;
    assert_eq!(members(&first), [ALICE, BOB], "oneself and the senders (FIL-05, FIL-06)");
    rig.message(&room, CAROL, "c0");
    let second = rig.filtered(ALICE, Some(next(&first)), lazy).await;
    assert_eq!(members(&second), [CAROL]);
    rig.message(&room, CAROL, "c1");
    rig.message(&room, BOB, "b10");
    let third = rig.filtered(ALICE, Some(next(&second)), lazy).await;
    assert!(members(&third).is_empty(), "they are redundant by now");
    let repeated = rig.filtered(ALICE, Some(next(&first)), lazy).await;
    assert_eq!(members(&repeated), [CAROL], "whoever repeats a token may not have got the answer (SYNC-18)");
    let redundant = r#"{"room":{"state":{"lazy_load_members":true,"include_redundant_members":true}}}"#;
    let all = rig.filtered(ALICE, Some(next(&second)), redundant).await;
    assert_eq!(members(&all), [BOB, CAROL]);
}
