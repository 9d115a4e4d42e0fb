//! Forward extremities, and a policy against their build-up.
//!
//! An event names at most 20 parents (RES-10), so a room with more ends than that has to choose. The deepest lead the
//! conversation on, and other servers are most likely to know them; the oldest have waited longest. Half of each: no
//! end waits for ever, and each event leaves nineteen ends less. What is chosen is also what counts: the room's current
//! state is that before the event which names them, so that a writer judges by exactly what its event will be judged
//! by, and one event never resolves more than 20 states.

use engram_matrix::limits::PREV_EVENTS_MAX;

use crate::limits::EXTREMITIES_MAX;
use crate::query::Extremity;

/// The type of events that only join branches. No client is shown one.
pub(crate) const DUMMY_EVENT: &str = "org.matrix.dummy_event";

/// The extremities that the next event names, as positions in the list, ascending.
pub(crate) fn parents(extremities: &[Extremity]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..extremities.len()).collect();
    if order.len() <= PREV_EVENTS_MAX {
        return order;
    }
    order.sort_by_key(|at| (std::cmp::Reverse(extremities[*at].depth), extremities[*at].offset));
    let (deepest, others) = order.split_at_mut(PREV_EVENTS_MAX / 2);
    others.sort_by_key(|at| extremities[*at].offset);
    let oldest = &others[..PREV_EVENTS_MAX - deepest.len()];
    let mut chosen = [deepest, oldest].concat();
    chosen.sort_unstable();
    chosen
}

/// The extremity to forget if there are too many: of the least depth, and of those the oldest.
pub(crate) fn surplus(extremities: &[Extremity]) -> Option<usize> {
    if extremities.len() <= EXTREMITIES_MAX {
        return None;
    }
    // The last one is the event that has just come.
    let known = extremities[..extremities.len() - 1].iter().enumerate();
    known.min_by_key(|(_, extremity)| (extremity.depth, extremity.offset)).map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use engram_log::Offset;

    use super::*;

    fn extremities(depths: impl IntoIterator<Item = u64>) -> Vec<Extremity> {
        let make = |(offset, depth)| Extremity { offset: Offset(offset), event_id: format!("${offset}"), depth };
        (1..).zip(depths).map(make).collect()
    }

    #[test]
    fn up_to_twenty_are_all_named() {
        assert_eq!(parents(&extremities(1..=20)), (0..20).collect::<Vec<_>>());
        assert!(parents(&[]).is_empty());
    }

    #[test]
    fn of_more_the_deepest_and_the_oldest_are_named() {
        let rising = parents(&extremities(1..=50));
        assert_eq!(rising, (0..10).chain(40..50).collect::<Vec<_>>());
        let falling = parents(&extremities((1..=50).rev()));
        assert_eq!(falling, (0..20).collect::<Vec<_>>(), "the deepest are the oldest, then the next ones");
    }

    #[test]
    fn every_end_is_named_before_long() {
        // Whatever a hostile server adds between two events of others, an old end is never passed over for good.
        let mut ends = extremities(std::iter::repeat_n(5, 60));
        let mut next = 61;
        for round in 0..10 {
            let chosen = parents(&ends);
            assert!(chosen.len() == ends.len().min(20) && chosen.is_sorted());
            let mut at = 0;
            ends.retain(|_| (chosen.binary_search(&at).is_err(), at += 1).0);
            for _ in 0..10 {
                ends.push(Extremity { offset: Offset(next), event_id: format!("${next}"), depth: 1000 + round });
                next += 1;
            }
        }
        assert!(ends.iter().all(|end| end.offset.0 > 60), "{ends:?}");
    }

    #[test]
    fn what_is_too_much_is_forgotten_from_the_shallow_end() {
        assert_eq!(surplus(&extremities(std::iter::repeat_n(3, EXTREMITIES_MAX))), None);
        let mut many = extremities(std::iter::repeat_n(3, EXTREMITIES_MAX));
        many[7].depth = 2;
        many.push(Extremity { offset: Offset(9999), event_id: "$new".to_owned(), depth: 1 });
        assert_eq!(surplus(&many), Some(7), "the new one stays, or an attack would shut the others out");
    }
}
