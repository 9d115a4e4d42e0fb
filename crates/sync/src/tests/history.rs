//! Paging.

use engram_rooms::writer::Change;
use serde_json::{Value, json};

use super::rig::{ALICE, BOB, CAROL, NOW_MS, Rig, joined, next};
use crate::event::viewer;
use crate::filter::RoomEventFilter;
use crate::messages::{self, HistoryError, Page, PageRequest};
use crate::token::Token;

fn page(
    rig: &Rig,
    user_id: &str,
    room: &str,
    from: Option<Token>,
    to: Option<Token>,
    backwards: bool,
    limit: u64,
) -> Page {
    try_page(rig, user_id, room, from, to, backwards, limit).expect("history is open")
}

fn try_page(
    rig: &Rig,
    user_id: &str,
    room: &str,
    from: Option<Token>,
    to: Option<Token>,
    backwards: bool,
    limit: u64,
) -> Result<Page, HistoryError> {
    let viewer = viewer(user_id, None, NOW_MS);
    let filter = RoomEventFilter::default();
    let request =
        PageRequest { viewer, room: rig.number(room), from, to, backwards, limit: Some(limit), filter: &filter };
    messages::messages(&*rig.snapshot(), request)
}

fn ids(events: &[String]) -> Vec<String> {
    let id =
        |event: &String| serde_json::from_str::<Value>(event).expect("valid")["event_id"].as_str().map(str::to_owned);
    events.iter().filter_map(id).collect()
}

#[tokio::test]
async fn a_gap_can_be_filled() {
    let rig = Rig::new();
    let room = rig.room();
    let before = rig.sync(ALICE, None).await;
    let mut sent: Vec<_> = (0..30).map(|count| rig.message(&room, ALICE, &format!("m{count}"))).collect();
    let answer = rig.sync(ALICE, Some(next(&before))).await;
    let timeline = &joined(&answer, &room)["timeline"];
    assert_eq!(timeline["limited"], true);
    let shown = timeline["events"].as_array().expect("a list").len();
    let mut from = timeline["prev_batch"].as_str().map(|token| token.parse().expect("a token"));
    let to = Some(next(&before).parse().expect("a token"));
    let mut filled = Vec::new();
    while filled.len() < sent.len() - shown {
        let page = page(&rig, ALICE, &room, from, to, true, 4);
        assert!(!page.chunk.is_empty(), "the gap has {} more", sent.len() - shown - filled.len());
        filled.extend(ids(&page.chunk));
        from = page.end;
    }
    sent.truncate(sent.len() - shown);
    sent.reverse();
    assert_eq!(filled, sent, "SYNC-05");
}

#[tokio::test]
async fn both_directions_show_the_same_and_end() {
    let rig = Rig::new();
    let room = rig.room();
    (0..7).for_each(|count| _ = rig.message(&room, ALICE, &format!("m{count}")));
    let mut backwards = Vec::new();
    let mut from = None;
    loop {
        let page = page(&rig, ALICE, &room, from, None, true, 3);
        backwards.extend(ids(&page.chunk));
        from = page.end;
        if from.is_none() {
            break;
        }
    }
    let forwards = page(&rig, ALICE, &room, Some(Token::sync(engram_log::Offset::ZERO)), None, false, 100);
    let mut reversed = ids(&forwards.chunk);
    reversed.reverse();
    assert_eq!(backwards, reversed);
    let rest = page(&rig, ALICE, &room, forwards.end, None, false, 100);
    assert!(rest.chunk.is_empty() && rest.end.is_none());
    let late = rig.message(&room, ALICE, "late");
    assert_eq!(ids(&page(&rig, ALICE, &room, forwards.end, None, false, 100).chunk), [late]);
}

#[tokio::test]
async fn who_left_sees_what_was_there_until_then() {
    let rig = Rig::new();
    let room = rig.room();
    rig.state(&room, ALICE, "m.room.history_visibility", &json!({"history_visibility": "joined"}));
    rig.message(&room, ALICE, "before");
    let join = rig.join(&room, BOB);
    let heard = rig.message(&room, ALICE, "heard");
    let leave = rig.change(&room, BOB, BOB, Change::Leave);
    rig.message(&room, ALICE, "after");
    let seen = ids(&page(&rig, BOB, &room, None, None, true, 100).chunk);
    assert_eq!(seen[..3], [leave, heard, join]);
    assert!(seen.iter().all(|event_id| !event_id.is_empty()));
    let refused = try_page(&rig, CAROL, &room, None, None, true, 100);
    assert!(matches!(refused, Err(HistoryError::Forbidden)));
}

#[tokio::test]
async fn a_context_has_both_sides() {
    let rig = Rig::new();
    let room = rig.room();
    let sent: Vec<_> = (0..9).map(|count| rig.message(&room, ALICE, &format!("m{count}"))).collect();
    let viewer = viewer(ALICE, None, NOW_MS);
    let (snapshot, number) = (rig.snapshot(), rig.number(&room));
    let lazy = RoomEventFilter { lazy_load_members: true, ..RoomEventFilter::default() };
    let context = messages::context(&*snapshot, viewer, number, &sent[4], Some(4), &lazy).expect("visible");
    assert_eq!(ids(&context.before), [sent[3].clone(), sent[2].clone()]);
    assert_eq!(ids(&context.after), [sent[5].clone(), sent[6].clone()]);
    assert_eq!(ids(&page(&rig, ALICE, &room, Some(context.start), None, true, 1).chunk), [sent[1].clone()]);
    assert_eq!(ids(&page(&rig, ALICE, &room, Some(context.end), None, false, 1).chunk), [sent[7].clone()]);
    let alone = messages::context(&*snapshot, viewer, number, &sent[4], Some(0), &lazy).expect("visible");
    assert!(alone.before.is_empty() && alone.after.is_empty(), "HIST-09");
    let unknown = messages::context(&*snapshot, viewer, number, "$none", None, &lazy);
    assert!(matches!(unknown, Err(HistoryError::NotFound)));
}
