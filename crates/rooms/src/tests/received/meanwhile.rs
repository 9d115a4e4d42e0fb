//! Events from other servers that arrive while something else is under way: states of which little is known, outliers
//! that are missed, and local senders who wait.

use engram_log::{Log as _, TimestampMs};
use engram_log_format::v1;
use engram_views::testing::block_on;

use super::{Here, Origin};
use crate::query::{self, Place};
use crate::tests::rig::{ALICE, CAROL};
use crate::writer::{GivenState, Order, Outcome, Received, SendRequest};

#[test]
fn states_that_were_given_count_only_what_is_known_of_the_room() {
    let mut origin = Origin::new("10");
    let join = origin.keep(|rig| rig.join(CAROL));
    let here = Here::new(&origin);
    let (mut state, events) = origin.state_before(&join);
    state.push("$unknown".to_owned());
    let given = GivenState { event_id: &join.event_id, state: &state, server: "one.test", anew: true };
    here.receive(Order::Live, &events, &[origin.verified(&join)], &[given]).unwrap();
    assert_eq!(here.current(), origin.current());
    // In the log, whoever wrote it: other rooms' events, unknown rooms, unknown events.
    for (room_id, state) in [("!nowhere:x", vec![]), (here.room_id.as_str(), vec!["$nothing".to_owned()])] {
        let record = v1::StateGiven {
            room_id: room_id.to_owned(),
            event_id: "$e".to_owned(),
            state,
            server: "x".to_owned(),
            anew: false,
        };
        here.views.log.append(engram_log::Lane::Journal, &[record.into()], TimestampMs(0)).unwrap();
    }
    assert_eq!(here.current(), origin.current());
    here.rebuilds();
}

/// An event may come as part of a state and on its own at once: its parents are missed all the same.
#[test]
fn an_outlier_whose_parents_are_missing_as_an_event_is_missed_and_known() {
    let mut origin = Origin::new("10");
    let join = origin.keep(|rig| rig.join(CAROL));
    origin.keep(|rig| rig.message(ALICE, "not sent along"));
    let topic = origin.keep(|rig| rig.state(ALICE, "m.room.topic", "", r#"{"topic":"third"}"#));
    let gap = origin.made[origin.made.len() - 2].event_id.clone();
    let here = Here::new(&origin);
    here.join(&origin, &join);
    let both = [origin.verified(&topic)];
    let outcomes = here.receive(Order::Live, &both, &both, &[]).unwrap();
    assert_eq!(outcomes[&topic.event_id], Outcome::Missing(vec![gap]));
    // It is known from now on, and has no place.
    let (room, offset) = query::locate(&*here.snapshot(), &topic.event_id).unwrap().expect("as an outlier");
    assert_eq!(query::meta(&*here.snapshot(), room, offset).unwrap().unwrap().place, Place::Apart);
    // With what was missing it gets its place.
    let rest = origin.all(origin.made.len() - 2..);
    let outcomes = here.receive(Order::Live, &[], &rest, &[]).unwrap();
    assert!(matches!(outcomes[&topic.event_id], Outcome::Taken(_)), "{outcomes:?}");
    here.rebuilds();
}

/// What was sent a moment ago may be followed by what another server sends: nobody waits for the disk to find that out.
#[test]
fn events_on_what_was_just_sent_are_taken_before_it_is_applied_and_senders_wait_without_a_thread() {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};
    let mut origin = Origin::new("10");
    let join = origin.keep(|rig| rig.join(CAROL));
    let here = Here::new(&origin);
    here.join(&origin, &join);
    let request = SendRequest {
        room_id: &here.room_id,
        sender: CAROL,
        event_type: "m.room.message",
        state_key: None,
        content: r#"{"body":"first"}"#,
        redacts: None,
        transaction: None,
        timestamp_ms: None,
    };
    let mut context = Context::from_waker(Waker::noop());
    let message = origin.keep(|rig| rig.message(ALICE, "from afar"));
    let events = [origin.verified(&message)];
    let received = Received {
        room_id: &here.room_id,
        version: here.version,
        outliers: &[],
        events: &events,
        order: Order::Live,
        states: &[],
        without_missing_auth: false,
    };
    // Given up at once, as by a server that hangs up: what is appended stays, and holds nobody up.
    let taken = pin!(here.server.receive(&received)).poll(&mut context).is_ready();
    let sent = block_on(here.server.send(&request)).expect("Carol is in the room");
    here.views.wait(sent.offset);
    let parents = query::pdu(&*here.snapshot(), sent.offset).unwrap().prev_events.clone();
    assert_eq!(parents.iter().map(ToString::to_string).collect::<Vec<_>>(), [message.event_id], "{taken}");
}
