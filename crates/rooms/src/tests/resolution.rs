//! Resolution of differences against the resolution of whole states: the same result, on any graph.

use std::sync::Arc;

use engram_log::Offset;
use engram_matrix::EventId;
use engram_matrix::pdu::Pdu;
use engram_matrix::resolve::{self, State};
use engram_views::Snapshot;
use proptest::prelude::*;

use super::rig::{ALICE, BOB, CAROL, Made, Rig};
use crate::query::{self, Verdict};
use crate::state::{self, Root};

/// A whole state as the specification has it.
pub(super) fn whole(snapshot: &Snapshot, root: Root) -> State {
    let entries = state::entries(snapshot, root).unwrap();
    let named = entries.into_iter().map(|(pair, offset)| {
        let id = query::pdu(snapshot, offset).unwrap().event_id.clone();
        (state::pair_name(snapshot, pair).unwrap(), id)
    });
    named.collect()
}

pub(super) fn fetch(snapshot: &Snapshot, id: &EventId) -> Option<Arc<Pdu>> {
    let (room, offset) = query::locate(snapshot, id.as_str()).unwrap()?;
    let event = query::event(snapshot, room, offset).unwrap()?;
    Some(match event.meta.verdict {
        Verdict::Rejected => Arc::new(Pdu::clone(&event.pdu).into_rejected()),
        _ => event.pdu,
    })
}

/// The current state by the book: all of every branch's state, all of its auth chain.
pub(super) fn by_the_book(rig: &Rig) -> State {
    let snapshot = rig.snapshot();
    let after = |offset: Offset| {
        let meta = query::meta(&*snapshot, rig.number(), offset).unwrap().unwrap();
        query::state_after(&*snapshot, rig.number(), offset, &meta).unwrap()
    };
    let states: Vec<State> = rig.head().extremities.iter().map(|tip| whole(&snapshot, after(tip.offset))).collect();
    let fetch = |id: &EventId| fetch(&snapshot, id);
    let chains = states.iter().map(|state| resolve::auth_chain(state.values(), &fetch)).collect();
    resolve::resolve(rig.version, &states, chains, &fetch).unwrap()
}

/// One thing that somebody may try on some earlier event.
type Attempt = (u8, u8, u8, u8);

fn attempt(rig: &mut Rig, made: &[Made], (action, who, whom, back): Attempt) -> Made {
    let people = [ALICE, BOB, CAROL];
    let (sender, target) = (people[usize::from(who)], people[usize::from(whom)]);
    let parent = made[made.len().saturating_sub(1 + usize::from(back))].clone();
    let on = [&parent];
    match action {
        0 => rig.message_on(&on, sender, "x"),
        1 => rig.state_on(&on, sender, "m.room.member", sender, r#"{"membership":"join"}"#),
        2 => rig.state_on(&on, sender, "m.room.member", target, r#"{"membership":"ban"}"#),
        3 => rig.state_on(&on, sender, "m.room.member", target, r#"{"membership":"leave"}"#),
        4 => rig.state_on(&on, sender, "m.room.topic", "", r#"{"topic":"t"}"#),
        5 => rig.state_on(&on, sender, "m.room.join_rules", "", r#"{"join_rule":"invite"}"#),
        _ => {
            let levels = rig.levels(&[(BOB, 40 + 10 * i64::from(whom)), (CAROL, 20 * i64::from(back))]);
            rig.state_on(&on, sender, "m.room.power_levels", "", &levels)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn differences_resolve_like_whole_states(
        version in prop_oneof![Just("10"), Just("11"), Just("12")],
        attempts in proptest::collection::vec((0u8..7, 0u8..3, 0u8..3, 0u8..5), 4..24),
    ) {
        let mut rig = Rig::room(version);
        rig.power(ALICE, &[(BOB, 60), (CAROL, 20)]);
        rig.join(BOB);
        let mut made = vec![rig.join(CAROL)];
        for step in attempts {
            let event = attempt(&mut rig, &made, step);
            if rig.verdict(&event) == Verdict::Accepted {
                made.push(event);
            }
            let head = rig.head();
            if head.extremities.len() > 1 {
                prop_assert_eq!(whole(&rig.snapshot(), head.state), by_the_book(&rig));
            }
        }
    }
}
