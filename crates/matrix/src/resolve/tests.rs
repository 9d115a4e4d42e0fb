//! Resolution of small forks.

use std::{collections::BTreeMap, sync::Arc};

use ruma::{EventId, OwnedEventId};

use super::{ResolveError, State, auth_chain, conflicted_subgraph, resolve};
use crate::{
    Pdu,
    testing::{ALICE, BOB, TestRoom},
};

pub(super) fn ids(room: &TestRoom) -> State {
    room.state.iter().map(|(key, pdu)| (key.clone(), pdu.event_id.clone())).collect()
}

pub(super) fn resolve_branches(branches: &[&TestRoom]) -> Result<State, ResolveError> {
    let events: BTreeMap<OwnedEventId, Arc<Pdu>> =
        branches.iter().flat_map(|room| room.events.values()).map(|pdu| (pdu.event_id.clone(), pdu.clone())).collect();
    let fetch = |id: &EventId| events.get(id).cloned();
    let states: Vec<_> = branches.iter().map(|room| ids(room)).collect();
    let chains = states.iter().map(|state| auth_chain(state.values(), &fetch)).collect();
    resolve(branches[0].version, &states, chains, &fetch)
}

pub(super) fn joined_room(version: &str) -> TestRoom {
    let mut room = TestRoom::new(version);
    room.state(BOB, "m.room.member", BOB, r#"{"membership":"join"}"#);
    room
}

#[test]
fn a_ban_wins_over_what_the_banned_does_meanwhile() {
    for version in ["2", "6", "9", "11", "12"] {
        let mut base = joined_room(version);
        // Of the moderator Bob Alice is the senior.
        let levels = if version == "12" {
            r#"{"users":{"@bob:x.org":50}}"#
        } else {
            r#"{"users":{"@alice:x.org":100,"@bob:x.org":50}}"#
        };
        base.state(ALICE, "m.room.power_levels", "", levels);
        let (mut one, mut other) = (base.clone(), base);
        other.ts += 100; // The branches share a clock, which names events in version 2.
        let ban = one.state(ALICE, "m.room.member", BOB, r#"{"membership":"ban"}"#);
        other.state(BOB, "m.room.topic", "", r#"{"topic":"mine"}"#);
        for branches in [[&one, &other], [&other, &one]] {
            let resolved = resolve_branches(&branches).expect("resolves");
            assert_eq!(resolved[&("m.room.member".to_owned(), BOB.to_owned())], ban.event_id, "version {version}");
            assert!(!resolved.contains_key(&("m.room.topic".to_owned(), String::new())), "version {version}");
        }
    }
}

#[test]
fn equal_states_need_no_algorithm() {
    let one = joined_room("1");
    assert_eq!(resolve_branches(&[&one, &one]).expect("equal"), ids(&one));
    let nothing = resolve(one.version, &[], Vec::new(), &|_: &EventId| None).expect("nothing to do");
    assert!(nothing.is_empty());
}

#[test]
fn the_subgraph_is_what_lies_between() {
    let room = joined_room("12");
    let fetch = |id: &EventId| room.events.get(id.as_str()).cloned();
    let id = |event_type: &str, key: &str| room.state[&(event_type.to_owned(), key.to_owned())].event_id.clone();
    let (levels, alice, rules) =
        (id("m.room.power_levels", ""), id("m.room.member", ALICE), id("m.room.join_rules", ""));
    // Join rules are permitted by the power levels, these by Alice's membership.
    let ends = [rules.clone(), alice.clone()].into_iter().collect();
    assert_eq!(conflicted_subgraph(&ends, &fetch), [levels, rules, alice.clone()].into_iter().collect());
    let alone = [alice].into_iter().collect();
    assert_eq!(conflicted_subgraph(&alone, &fetch), alone);
}
