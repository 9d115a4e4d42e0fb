//! Typing and presence: who is told what, and whose sleep it ends.

use engram_log::Offset;
use engram_log_format::v1;
use engram_rooms::writer::Change;
use serde_json::{Value, json};

use super::rig::{ALICE, BOB, CAROL, NOW_MS, Rig, joined, next, request};

impl Rig {
    fn present(&self, user_id: &str, presence: &str) -> Offset {
        self.ephemeral(v1::PresenceSet {
            user_id: user_id.to_owned(),
            presence: presence.to_owned(),
            status_msg: None,
            last_active_ms: NOW_MS,
            currently_active: presence == "online",
        })
    }

    fn typing(&self, room_id: &str, user_id: &str, typing: bool) -> Offset {
        let until_ms = typing.then_some(NOW_MS + 30_000);
        self.ephemeral(v1::TypingSet { room_id: room_id.to_owned(), user_id: user_id.to_owned(), until_ms })
    }
}

/// Who types in a room, by an answer; none if it does not say.
fn typists(answer: &Value, room_id: &str) -> Option<Value> {
    let events = joined(answer, room_id)["ephemeral"]["events"].as_array()?;
    events.iter().find(|event| event["type"] == "m.typing").map(|event| event["content"]["user_ids"].clone())
}

/// The second long poll of a new user once ended at once, with nothing but their own presence.
#[tokio::test]
async fn ones_own_presence_alone_ends_no_poll() {
    let rig = Rig::new();
    let room = rig.room();
    rig.join(&room, BOB);
    let before = rig.sync(BOB, None).await;
    rig.present(BOB, "online");
    rig.present(CAROL, "online");
    assert!(rig.server.sleeps(request(BOB, Some(next(&before)))).await, "and Carol is nobody to them");
    rig.present(ALICE, "online");
    assert!(!rig.server.sleeps(request(BOB, Some(next(&before)))).await);
    let answer = rig.sync(BOB, Some(next(&before))).await;
    let senders: Vec<_> =
        answer["presence"]["events"].as_array().into_iter().flatten().map(|event| &event["sender"]).collect();
    assert_eq!(senders, [BOB, ALICE], "there it is told too: other devices show it");
}

#[tokio::test]
async fn after_typing_has_ended_nobody_is_said_to_type() {
    let rig = Rig::new();
    let (room, still) = (rig.room(), rig.room());
    rig.join(&room, BOB);
    let before = rig.sync(BOB, None).await;
    assert_eq!(typists(&before, &room), None, "nobody ever has");
    rig.typing(&room, ALICE, true);
    let during = rig.sync(BOB, Some(next(&before))).await;
    assert_eq!(typists(&during, &room), Some(json!([ALICE])));
    rig.typing(&room, ALICE, true);
    assert!(rig.server.sleeps(request(BOB, Some(next(&during)))).await, "a renewal is no news");
    rig.typing(&room, ALICE, false);
    assert_eq!(typists(&rig.sync(BOB, Some(next(&during))).await, &room), Some(json!([])));
    let anew = rig.sync(ALICE, None).await;
    assert_eq!(typists(&anew, &room), Some(json!([])), "also where a client begins anew");
    assert_eq!(typists(&anew, &still), None);
}

#[tokio::test]
async fn who_leaves_or_is_not_there_does_not_type() {
    let rig = Rig::new();
    let room = rig.room();
    rig.join(&room, BOB);
    // Bob is known to nobody's sync, Carol has never been in the room.
    let mut since = next(&rig.sync(ALICE, None).await).to_owned();
    for change in [Change::Leave, Change::Kick, Change::Ban] {
        let by = if matches!(change, Change::Leave) { BOB } else { ALICE };
        rig.typing(&room, BOB, true);
        let during = rig.sync(ALICE, Some(&since)).await;
        assert_eq!(typists(&during, &room), Some(json!([BOB])));
        let ended = matches!(change, Change::Ban);
        rig.change(&room, by, BOB, change);
        let after = rig.sync(ALICE, Some(next(&during))).await;
        assert_eq!(typists(&after, &room), Some(json!([])));
        rig.typing(&room, BOB, true);
        assert!(rig.live.typing(&room).is_empty(), "what was on its way comes too late");
        if !ended {
            rig.join(&room, BOB);
        }
        next(&rig.sync(ALICE, Some(next(&after))).await).clone_into(&mut since);
    }
    rig.typing(&room, CAROL, true);
    assert!(rig.live.typing(&room).is_empty());
}

#[tokio::test]
async fn to_ignore_oneself_has_no_effect() {
    let rig = Rig::new();
    let room = rig.room();
    rig.record(v1::AccountDataSet {
        user_id: ALICE.to_owned(),
        room_id: None,
        event_type: "m.ignored_user_list".to_owned(),
        content: json!({"ignored_users": {ALICE: {}}}).to_string().into_bytes(),
    });
    let before = rig.sync(ALICE, None).await;
    rig.message(&room, ALICE, "heard");
    rig.typing(&room, ALICE, true);
    for rig in [&rig, &rig.restarted()] {
        let answer = rig.sync(ALICE, Some(next(&before))).await;
        assert_eq!(joined(&answer, &room)["timeline"]["events"][0]["content"]["body"], "heard");
    }
}
