//! History that came from other servers, and rooms that were judged anew.

use engram_log_format::v1;
use engram_matrix::received::VerifiedPdu;
use engram_rooms::query::{self, Position};
use engram_rooms::writer::{GivenState, Order, Received};
use engram_views::testing::block_on;
use serde_json::Value;

use super::rig::{ALICE, BOB, CAROL, NOW_MS, Rig, ids, joined, keys, next};
use crate::event::viewer;
use crate::filter::RoomEventFilter;
use crate::messages::{self, PageRequest};
use crate::token::Token;

/// What one server tells another of a room.
fn told(rig: &Rig, room: &str) -> Vec<VerifiedPdu> {
    let snapshot = rig.snapshot();
    let arrivals = query::arrivals(&*snapshot, rig.number(room), usize::MAX).expect("readable");
    let verified = arrivals.iter().map(|(offset, _)| {
        let event = query::pdu(&*snapshot, *offset).expect("readable");
        VerifiedPdu { event, verified_keys: Vec::new() }
    });
    verified.collect()
}

/// The IDs of everything that a user can page back to from a token, newest first.
fn paged(rig: &Rig, user_id: &str, room: &str, mut from: Option<Token>, limit: u64) -> Vec<String> {
    let (filter, mut all) = (RoomEventFilter::default(), Vec::new());
    loop {
        let viewer = viewer(user_id, None, NOW_MS);
        let room = rig.number(room);
        let request =
            PageRequest { viewer, room, from, to: None, backwards: true, limit: Some(limit), filter: &filter };
        let page = messages::messages(&*rig.snapshot(), request).expect("history is open");
        let id = |event: &String| serde_json::from_str::<Value>(event).expect("JSON")["event_id"].to_string();
        all.extend(page.chunk.iter().map(id));
        match page.end.filter(|_| !page.chunk.is_empty()) {
            // As a client has it.
            Some(end) => from = Some(end.to_string().parse().expect("a token")),
            None => return all,
        }
    }
}

#[tokio::test]
async fn pages_go_back_into_what_other_servers_told_and_sync_never_does() {
    let origin = Rig::new();
    let room = origin.room();
    for count in 0..5 {
        origin.message(&room, ALICE, &format!("before {count}"));
    }
    origin.join(&room, BOB);
    origin.message(&room, ALICE, "hello");
    let told = told(&origin, &room);
    let (past, join) = (&told[..told.len() - 2], &told[told.len() - 2]);

    let rig = Rig::new();
    let first = rig.sync(BOB, None).await;
    let state = query::state_ids_before(&*origin.snapshot(), origin.number(&room), join.event.event_id.as_str());
    let state = state.expect("readable").expect("known").state;
    let state: Vec<String> = state.values().map(|event| event.event_id.to_string()).collect();
    let outliers: Vec<_> = past.iter().filter(|pdu| pdu.event.is_state()).cloned().collect();
    let event_id = join.event.event_id.as_str();
    let given = GivenState { event_id, state: &state, server: "origin.test", anew: true };
    let received = Received {
        room_id: &room,
        version: join.event.version(),
        outliers: &outliers,
        events: &told[told.len() - 2..],
        order: Order::Live,
        states: &[given],
        without_missing_auth: false,
    };
    block_on(rig.rooms.receive(&received)).expect("a good join");
    let answer = rig.sync(BOB, Some(next(&first))).await;
    let shown = joined(&answer, &room);
    assert_eq!(ids(&shown["timeline"]["events"]).len(), 2);
    assert!(keys(&shown["state"]["events"]).contains(&("m.room.create", "")), "{shown}");
    let previous: Token = shown["timeline"]["prev_batch"].as_str().expect("a token").parse().expect("a token");
    assert_eq!(paged(&rig, BOB, &room, None, 3).len(), 2);

    let past = Received { outliers: &[], events: past, order: Order::Past, states: &[], ..received };
    block_on(rig.rooms.receive(&past)).expect("a good past");
    let again = rig.sync(BOB, Some(next(&answer))).await;
    assert_eq!(again.get("rooms"), None, "the past is no news");
    let mut expected: Vec<_> = told.iter().map(|pdu| format!("{:?}", pdu.event.event_id.as_str())).collect();
    expected.reverse();
    for limit in [1, 2, 3, 100] {
        assert_eq!(paged(&rig, BOB, &room, None, limit), expected, "pages of {limit}");
    }
    let before: Vec<_> = expected
        .iter()
        .filter(|id| !ids(&shown["timeline"]["events"]).contains(&id.trim_matches('"')))
        .cloned()
        .collect();
    assert_eq!(paged(&rig, BOB, &room, Some(previous), 2), before);
    // Around an event of the past is what was around it.
    let filter = RoomEventFilter::default();
    let middle = told[told.len() - 4].event.event_id.as_str();
    let bob = viewer(BOB, None, NOW_MS);
    let context = messages::context(&*rig.snapshot(), bob, rig.number(&room), middle, Some(4), &filter).expect("seen");
    let id = |event: &String| serde_json::from_str::<Value>(event).expect("JSON")["event_id"].to_string();
    let around: Vec<_> =
        context.after.iter().rev().map(id).chain([id(&context.event)]).chain(context.before.iter().map(id)).collect();
    assert_eq!(around, expected[1..6]);
    let newer = paged(&rig, BOB, &room, Some(context.start), 100);
    assert_eq!(newer, expected[6..]);
    assert!(Position::live(context.end.after) < context.end.cut());
}

#[tokio::test]
async fn a_room_that_was_judged_anew_is_shown_anew_to_whoever_had_it_before() {
    for restart in [false, true] {
        let mut rig = Rig::new();
        let room = rig.room();
        let other = rig.room();
        rig.join(&room, BOB);
        rig.change(&room, ALICE, CAROL, engram_rooms::writer::Change::Ban);
        rig.message(&room, ALICE, "old");
        let alice = rig.sync(ALICE, None).await;
        let token = next(&alice).to_owned();
        let carol = next(&rig.sync(CAROL, None).await).to_owned();
        assert_eq!(rig.sync(ALICE, Some(&token)).await.get("rooms"), None);
        rig.record(v1::RoomsRejudged { room_ids: vec![room.clone(), "!unknown:test".to_owned()], view_version: 9 });
        if restart {
            rig = rig.restarted();
        }
        let answer = rig.sync(ALICE, Some(&token)).await;
        let shown = joined(&answer, &room);
        assert_eq!(shown["timeline"]["limited"], true);
        let last = shown["timeline"]["events"].as_array().and_then(|events| events.last().cloned()).expect("events");
        assert_eq!(last["content"]["body"], "old", "what she has may be wrong");
        assert!(answer["rooms"]["join"].get(&other).is_none(), "nothing is wrong there");
        let has = |section: &str, key: (&str, &str)| keys(&shown[section]["events"]).contains(&key);
        let all_state =
            has("state", ("m.room.create", "")) || shown["timeline"]["events"][0]["type"] == "m.room.create";
        assert!(all_state, "{shown}");
        // Once.
        assert_eq!(rig.sync(ALICE, Some(next(&answer))).await.get("rooms"), None);
        let banned = rig.sync(CAROL, Some(&carol)).await;
        assert!(banned["rooms"]["leave"].get(&room).is_some(), "{banned}");
    }
}
