//! Long polls, restarts, tokens.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::rig::{ALICE, BOB, LONG, Rig, ids, joined, next, request};
use crate::SyncRequest;

#[tokio::test]
async fn a_sleeping_request_is_woken_by_a_message() {
    let rig = Rig::new();
    let room = rig.room();
    rig.join(&room, BOB);
    let mut token = next(&rig.sync(BOB, None).await).to_owned();
    for count in 0..20 {
        let server = Arc::clone(&rig.server);
        let asked = SyncRequest { timeout: LONG, ..request(BOB, Some(&token)) };
        let asleep = tokio::spawn(async move { server.sync(asked).await });
        if count % 2 == 0 {
            // Half of the messages come when the request sleeps, half before it is looked at.
            tokio::task::yield_now().await;
        }
        let sent = rig.message(&room, ALICE, &format!("m{count}"));
        let body = asleep.await.expect("no panic").expect("an answer");
        let answer: serde_json::Value = serde_json::from_slice(&body).expect("valid");
        assert_eq!(ids(&joined(&answer, &room)["timeline"]["events"]), [sent.as_str()]);
        next(&answer).clone_into(&mut token);
    }
}

#[tokio::test]
async fn a_request_without_news_ends_where_the_server_is() {
    let rig = Rig::new();
    let room = rig.room();
    let before = rig.sync(BOB, None).await;
    rig.message(&room, ALICE, "not for bob");
    let asked = SyncRequest { timeout: Duration::from_millis(1), ..request(BOB, Some(next(&before))) };
    let answer = rig.ask(asked).await;
    assert_eq!(answer.get("rooms"), None);
    assert_eq!(next(&answer), rig.server.position().to_string());
}

#[tokio::test]
async fn stopping_ends_sleeping_requests() {
    let rig = Rig::new();
    let before = rig.sync(BOB, None).await;
    let asked = SyncRequest { timeout: LONG, ..request(BOB, Some(next(&before))) };
    let server = Arc::clone(&rig.server);
    let asleep = tokio::spawn(async move { server.sync(asked.clone()).await });
    tokio::task::yield_now().await;
    rig.server.stop();
    asleep.await.expect("no panic").expect("an answer");
    rig.ask(SyncRequest { timeout: LONG, ..request(BOB, Some(next(&before))) }).await;
}

#[tokio::test]
async fn a_token_from_before_a_restart_skips_nothing() {
    let rig = Rig::new();
    let room = rig.room();
    rig.join(&room, BOB);
    let before = rig.sync(BOB, None).await;
    let mut sent = vec![rig.message(&room, ALICE, "one")];
    rig.log.skip(1_000);
    let rig = rig.restarted();
    sent.push(rig.message(&room, ALICE, "two"));
    let answer = rig.sync(BOB, Some(next(&before))).await;
    assert_eq!(ids(&joined(&answer, &room)["timeline"]["events"]), sent);
    let repeated = rig.sync(BOB, Some(next(&before))).await;
    assert_eq!(ids(&joined(&repeated, &room)["timeline"]["events"]), sent);
}

#[tokio::test]
async fn a_token_from_a_lost_future_begins_anew() {
    let rig = Rig::new();
    let room = rig.room();
    let answer = rig.sync(ALICE, Some("s999999999")).await;
    assert_eq!(joined(&answer, &room)["timeline"]["events"][0]["type"], json!("m.room.create"));
    assert_eq!(next(&answer), rig.server.position().to_string());
}
