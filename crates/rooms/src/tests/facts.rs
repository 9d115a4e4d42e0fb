//! What the published examples of state resolution say must come of small conflicts (RES-02 to RES-08): the room is
//! forked, in either order of arrival, and an event that joins the branches finds the state that all servers find.

use engram_matrix::OwnedEventId;
use engram_matrix::resolve::{self, State};

use super::resolution::fetch;
use super::rig::{ALICE, BOB, CAROL, Made, Rig, VERSIONS};

const ZARA: &str = "@zara:four.test";
const EVE: &str = "@eve:five.test";

/// One event that somebody sends on a branch.
type Action = (&'static str, &'static str, &'static str, fn(&Rig) -> String);

/// A public room in which Alice has 100 and Bob 50.
fn room(version: &str) -> (Rig, Made) {
    let mut rig = Rig::room(version);
    rig.join(BOB);
    let base = rig.power(ALICE, &[(BOB, 50)]);
    (rig, base)
}

fn play(rig: &mut Rig, base: &Made, branch: &[Action]) -> Made {
    branch.iter().fold(base.clone(), |last, (sender, event_type, state_key, content)| {
        let content = content(rig);
        rig.state_on(&[&last], sender, event_type, state_key, &content)
    })
}

/// Forks a room, joins the branches, and tells which event of theirs holds an entry then, as (branch, event), counted
/// from 1.
#[track_caller]
fn check(left: &[Action], right: &[Action], entry: (&str, &str), expected: Option<(usize, usize)>) {
    for version in VERSIONS {
        for swapped in [false, true] {
            let (mut rig, base) = room(version);
            let before = rig.current(entry.0, entry.1);
            let first = rig.views.log.len() as u64;
            let (one, other) = if swapped { (right, left) } else { (left, right) };
            let tips = [play(&mut rig, &base, one), play(&mut rig, &base, other)];
            let joined = rig.message_on(&[&tips[0], &tips[1]], ALICE, "joined");
            let snapshot = rig.snapshot();
            let root = rig.root_after(&joined);
            let found = crate::query::state_entry(&*snapshot, root, entry.0, entry.1).unwrap();
            let position = |(branch, event): (usize, usize)| {
                let earlier = if (branch == 1) == swapped { one.len() } else { 0 };
                engram_log::Offset(first + (earlier + event) as u64)
            };
            assert_eq!(found, expected.map(position).or(before), "version {version}, swapped: {swapped}");
        }
    }
}

fn content(text: &'static str) -> String {
    text.to_owned()
}

const BAN_BOB: Action = (ALICE, "m.room.member", BOB, |_| content(r#"{"membership":"ban"}"#));
const POWER: (&str, &str) = ("m.room.power_levels", "");
const TOPIC: (&str, &str) = ("m.room.topic", "");

#[test]
fn a_ban_supersedes_power_levels_of_the_banned() {
    let levels: Action = (BOB, "m.room.power_levels", "", |rig| rig.levels(&[(BOB, 50), (CAROL, 1)]));
    check(&[BAN_BOB], &[levels], POWER, None);
    check(&[BAN_BOB], &[levels], ("m.room.member", BOB), Some((1, 1)));
}

#[test]
fn a_ban_supersedes_a_topic_of_the_banned() {
    let topic: Action = (BOB, "m.room.topic", "", |_| content(r#"{"topic":"Bob's"}"#));
    check(&[BAN_BOB], &[topic], TOPIC, None);
}

#[test]
fn a_demotion_supersedes_what_the_demoted_does() {
    let alices: Action = (ALICE, "m.room.topic", "", |_| content(r#"{"topic":"Alice's"}"#));
    let demotion: Action = (ALICE, "m.room.power_levels", "", |rig| rig.levels(&[(BOB, 0)]));
    let bobs: Action = (BOB, "m.room.topic", "", |_| content(r#"{"topic":"Bob's"}"#));
    check(&[alices, demotion], &[bobs], TOPIC, Some((1, 1)));
    let levels: Action = (BOB, "m.room.power_levels", "", |rig| rig.levels(&[(BOB, 50), (CAROL, 1)]));
    check(&[demotion], &[levels], POWER, Some((1, 1)));
}

#[test]
fn join_rules_supersede_a_join_that_they_forbid() {
    let closed: Action = (ALICE, "m.room.join_rules", "", |_| content(r#"{"join_rule":"invite"}"#));
    let join: Action = (CAROL, "m.room.member", CAROL, |_| content(r#"{"membership":"join"}"#));
    check(&[closed], &[join], ("m.room.member", CAROL), None);
    check(&[closed], &[join], ("m.room.join_rules", ""), Some((1, 1)));
}

#[test]
fn joins_at_the_same_time_both_hold() {
    let carol: Action = (CAROL, "m.room.member", CAROL, |_| content(r#"{"membership":"join"}"#));
    let zara: Action = (ZARA, "m.room.member", ZARA, |_| content(r#"{"membership":"join"}"#));
    check(&[carol], &[zara], ("m.room.member", CAROL), Some((1, 1)));
    check(&[carol], &[zara], ("m.room.member", ZARA), Some((2, 1)));
}

#[test]
fn of_equals_the_later_holds() {
    // The rig's clock goes on with every event: what comes second is the later one, whichever branch that is.
    for version in VERSIONS {
        let (mut rig, base) = room(version);
        let rules = [r#"{"join_rule":"restricted","allow":[]}"#, r#"{"join_rule":"public"}"#];
        let [first, second] = rules.map(|rules| rig.state_on(&[&base], ALICE, "m.room.join_rules", "", rules));
        let joined = rig.message_on(&[&first, &second], ALICE, "joined");
        let root = rig.root_after(&joined);
        let held = crate::query::state_entry(&*rig.snapshot(), root, "m.room.join_rules", "").unwrap();
        assert_eq!(held, Some(second.offset), "version {version}");
    }
}

/// The resolution of states that are put together by hand, as a server may have them that saw parts of a room only.
fn resolved(rig: &Rig, states: [&[&Made]; 2]) -> State {
    let snapshot = rig.snapshot();
    let fetch = |id: &engram_matrix::EventId| fetch(&snapshot, id);
    let entry = |made: &&Made| {
        let pdu = rig.stored(made).pdu;
        ((pdu.event_type.clone(), pdu.state_key.clone().unwrap()), pdu.event_id.clone())
    };
    let states: Vec<State> = states.map(|events| events.iter().map(entry).collect()).into();
    let chains = states.iter().map(|state| resolve::auth_chain(state.values(), &fetch)).collect();
    resolve::resolve(rig.version, &states, chains, &fetch).unwrap()
}

fn held<'a>(state: &'a State, event_type: &str, state_key: &str) -> Option<&'a OwnedEventId> {
    state.get(&(event_type.to_owned(), state_key.to_owned()))
}

fn event(rig: &Rig, event_type: &str, state_key: &str) -> Made {
    let offset = rig.current(event_type, state_key).expect("it is there");
    let pdu = crate::query::pdu(&*rig.snapshot(), offset).unwrap();
    Made { event_id: pdu.event_id.to_string(), offset, depth: pdu.depth }
}

fn named(rig: &mut Rig, user: &str) -> Made {
    let last = rig.last.clone().unwrap();
    rig.state_on(&[&last], user, "m.room.member", user, r#"{"membership":"join","displayname":"more"}"#)
}

#[test]
fn version_2_1_does_not_lose_join_rules_whose_sender_has_left() {
    for (version, keeps) in [("11", false), ("12", true)] {
        let mut rig = Rig::room(version);
        let (bob, carol) = (rig.join(BOB), rig.join(CAROL));
        let [create, power, public] =
            ["m.room.create", "m.room.power_levels", "m.room.join_rules"].map(|kind| event(&rig, kind, ""));
        let invite = rig.state(ALICE, "m.room.join_rules", "", r#"{"join_rule":"invite"}"#);
        let left = rig.member(ALICE, ALICE, "leave");
        let (bob_more, carol_more) = (named(&mut rig, BOB), named(&mut rig, CAROL));
        let state = resolved(
            &rig,
            [
                &[&create, &power, &carol, &invite, &left, &bob_more],
                &[&create, &power, &public, &bob, &left, &carol_more],
            ],
        );
        assert_eq!(held(&state, "m.room.member", BOB).unwrap().as_str(), bob_more.event_id);
        assert_eq!(held(&state, "m.room.member", CAROL).unwrap().as_str(), carol_more.event_id);
        let rules = held(&state, "m.room.join_rules", "").map(|id| id.as_str());
        assert_eq!(rules, keeps.then_some(invite.event_id.as_str()), "version {version}");
    }
}

#[test]
fn version_2_1_does_not_reset_power_levels_to_older_ones() {
    for (version, keeps) in [("11", false), ("12", true)] {
        let mut rig = Rig::room(version);
        let (bob, carol) = (rig.join(BOB), rig.join(CAROL));
        let [create, power, rules] =
            ["m.room.create", "m.room.power_levels", "m.room.join_rules"].map(|kind| event(&rig, kind, ""));
        let alice = event(&rig, "m.room.member", ALICE);
        rig.power(ALICE, &[(BOB, 50)]);
        let newer = rig.power(BOB, &[(BOB, 50), (CAROL, 50)]);
        let zara = rig.state_on(&[&newer], ZARA, "m.room.member", ZARA, r#"{"membership":"join"}"#);
        rig.last = Some(rig.state_on(&[&newer], EVE, "m.room.member", EVE, r#"{"membership":"join"}"#));
        let eve = named(&mut rig, EVE);
        let state = resolved(
            &rig,
            [
                &[&create, &alice, &power, &rules, &bob, &carol, &eve],
                &[&create, &alice, &newer, &rules, &bob, &carol, &zara],
            ],
        );
        assert_eq!(held(&state, "m.room.member", EVE).unwrap().as_str(), eve.event_id);
        assert_eq!(held(&state, "m.room.member", ZARA).unwrap().as_str(), zara.event_id);
        let levels = held(&state, "m.room.power_levels", "").unwrap().as_str();
        assert_eq!(levels, if keeps { &newer.event_id } else { &power.event_id }, "version {version}");
    }
}
