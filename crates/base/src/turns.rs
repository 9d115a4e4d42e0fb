//! In which order decisions about the same thing are taken, and what each of them must have seen.
//!
//! Whoever is to decide about a thing lines up under its key: an account, a device's one-time keys. At the front of the
//! line, a decision is taken in one go, without waiting for anything, and its place is left. What it appended may not
//! be applied by then: the line keeps the record's offset as its **fence**, and the next in line does not decide before
//! the views have come so far. So every decision sees all earlier ones, and nobody is held up by whoever waits for the
//! disk, or has given up.
//!
//! ```text
//! key "alice":  fence 17 │ place 4 (decides once 17 is applied) ◀─ place 6 ◀─ place 9
//! ```
//!
//! **Invariants:** lines are fair: places leave the front in the order in which they came. A place that is dropped
//! anywhere in its lines is gone from them. A key takes memory only while somebody is in its line or its fence is not
//! applied.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use engram_log_format::Offset;

use crate::parts::Key;
use crate::sync::Mutex;

/// The lines of all keys. One mutex guards them: it is held for a few look-ups, and places in several lines need it for
/// all.
#[derive(Debug, Default)]
pub struct Turns {
    lines: Mutex<Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    by_key: HashMap<Key, Line>,
    waiting: HashMap<Ticket, Waiting>,
    last_ticket: Ticket,
    /// Every fence that was set, about in the order of offsets: what may be forgotten once it is applied.
    fences: VecDeque<(Offset, Key)>,
}

/// In order of arrival.
type Ticket = u64;

#[derive(Debug, Default)]
struct Line {
    /// Ascending.
    places: VecDeque<Ticket>,
    /// The last record that was decided under this key; zero for none.
    fence: Offset,
}

#[derive(Debug)]
struct Waiting {
    /// In how many of its lines it is not at the front.
    behind: usize,
    waker: Option<Waker>,
}

impl Turns {
    /// Nobody in any line.
    pub fn new() -> Self {
        Self::default()
    }

    /// A place at the end of the lines of all these keys at once, so that no two wait for each other. `applied` is how
    /// far the views are.
    pub fn line_up(&self, keys: impl IntoIterator<Item = Key>, applied: Offset) -> Place<'_> {
        let keys: BTreeSet<Key> = keys.into_iter().collect();
        let mut lines = self.lines.lock();
        lines.forget(applied);
        lines.last_ticket += 1;
        let ticket = lines.last_ticket;
        let mut behind = 0;
        for key in &keys {
            let line = lines.by_key.entry(key.clone()).or_default();
            assert!(line.places.back().is_none_or(|last| *last < ticket), "tickets ascend in a line");
            behind += usize::from(!line.places.is_empty());
            line.places.push_back(ticket);
        }
        lines.waiting.insert(ticket, Waiting { behind, waker: None });
        drop(lines);
        Place { turns: self, ticket, keys }
    }

    /// Forgets fences that are applied.
    pub fn forget(&self, applied: Offset) {
        self.lines.lock().forget(applied);
    }

    /// How many keys take memory.
    pub fn keys(&self) -> usize {
        self.lines.lock().by_key.len()
    }
}

impl Lines {
    /// Takes away the fences that are applied, and the lines that nothing else keeps.
    fn forget(&mut self, applied: Offset) {
        while self.fences.front().is_some_and(|(fence, _)| *fence <= applied) {
            let (_, key) = self.fences.pop_front().expect("there is a first one");
            // A line that had two fences is gone with the second.
            if let Some(line) = self.by_key.get_mut(&key).filter(|line| line.fence <= applied) {
                line.fence = Offset::ZERO;
                self.forget_if_idle(&key);
            }
        }
    }

    fn forget_if_idle(&mut self, key: &Key) {
        let idle = |line: &Line| line.places.is_empty() && line.fence == Offset::ZERO;
        if self.by_key.get(key).is_some_and(idle) {
            self.by_key.remove(key);
        }
    }

    fn poll_front(&mut self, ticket: Ticket, keys: &BTreeSet<Key>, waker: &Waker) -> Poll<Offset> {
        let waiting = self.waiting.get_mut(&ticket).expect("a place is known until it is left");
        if waiting.behind > 0 {
            waiting.waker = Some(waker.clone());
            return Poll::Pending;
        }
        let fences = keys.iter().map(|key| {
            let line = self.by_key.get(key).expect("a line is there as long as somebody is in it");
            assert_eq!(line.places.front(), Some(&ticket), "it is at the front of all its lines");
            line.fence
        });
        Poll::Ready(fences.max().unwrap_or(Offset::ZERO))
    }

    /// Takes a place out of its lines; who is to be woken. A fence is left by whoever was at the front of all.
    fn leave(&mut self, ticket: Ticket, keys: &BTreeSet<Key>, decided: Option<Offset>) -> Vec<Waker> {
        let place = self.waiting.remove(&ticket).expect("a place is left once");
        assert!(decided.is_none() || place.behind == 0, "nobody decides out of turn");
        let mut woken = Vec::new();
        for key in keys {
            let line = self.by_key.get_mut(key).expect("a line is there as long as somebody is in it");
            let at = line.places.binary_search(&ticket).expect("it is in all its lines");
            line.places.remove(at);
            if let Some(fence) = decided {
                assert!(fence > line.fence, "what is decided later is appended later");
                line.fence = fence;
                self.fences.push_back((fence, key.clone()));
            }
            let next = line.places.front().filter(|_| at == 0);
            if let Some(next) = next.and_then(|next| self.waiting.get_mut(next)) {
                next.behind -= 1;
                woken.extend(if next.behind == 0 { next.waker.take() } else { None });
            }
            self.forget_if_idle(key);
        }
        woken
    }
}

/// A place in the lines of some keys. Dropping it leaves them; so does [`Place::leave`], with what was decided.
#[derive(Debug)]
#[must_use = "a place that is dropped is given up"]
pub struct Place<'a> {
    turns: &'a Turns,
    ticket: Ticket,
    keys: BTreeSet<Key>,
}

impl Place<'_> {
    /// Resolves at the front of all lines, to the offset that must be applied before the decision.
    pub async fn front(&mut self) -> Offset {
        poll_fn(|context| self.poll_front(context)).await
    }

    pub(crate) fn poll_front(&self, context: &Context<'_>) -> Poll<Offset> {
        self.turns.lines.lock().poll_front(self.ticket, &self.keys, context.waker())
    }

    /// Leaves the lines after a decision whose last record has this offset: nobody else decides before that is applied.
    pub fn leave(mut self, decided: Offset) {
        assert!(decided > Offset::ZERO, "no record has the offset zero");
        self.step_out(Some(decided));
    }

    fn step_out(&mut self, decided: Option<Offset>) {
        let ticket = std::mem::take(&mut self.ticket);
        if ticket != 0 {
            // Woken after the lock is free: a waker may run code of a runtime, or drop a task that has a place itself.
            let woken = self.turns.lines.lock().leave(ticket, &self.keys, decided);
            woken.into_iter().for_each(Waker::wake);
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.step_out(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: u8) -> Key {
        Key::new().byte(name)
    }

    fn front(place: &Place<'_>) -> Option<u64> {
        match place.poll_front(&Context::from_waker(Waker::noop())) {
            Poll::Ready(fence) => Some(fence.0),
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_fence_is_told_to_the_next_in_line_until_it_is_applied() {
        let turns = Turns::new();
        let first = turns.line_up([key(1), key(2)], Offset::ZERO);
        assert_eq!(front(&first), Some(0));
        first.leave(Offset(7));
        let second = turns.line_up([key(2)], Offset(6));
        assert_eq!(front(&second), Some(7));
        drop(second);
        assert_eq!(turns.keys(), 2, "whoever gave up has not taken the fence along");
        let third = turns.line_up([key(2), key(3)], Offset(7));
        assert_eq!((front(&third), turns.keys()), (Some(0), 2), "what is applied is forgotten");
        drop(third);
        assert_eq!(turns.keys(), 0);
    }

    #[test]
    fn who_came_first_decides_first_also_in_several_lines() {
        let turns = Turns::new();
        let both = turns.line_up([key(1), key(2)], Offset::ZERO);
        let one = turns.line_up([key(1)], Offset::ZERO);
        let other = turns.line_up([key(2), key(3)], Offset::ZERO);
        let last = turns.line_up([key(3), key(1)], Offset::ZERO);
        assert_eq!([&both, &one, &other, &last].map(front), [Some(0), None, None, None]);
        both.leave(Offset(4));
        assert_eq!([&one, &other, &last].map(front), [Some(4), Some(4), None]);
        drop(one);
        assert_eq!(front(&last), None, "the other is still in front");
        drop(other);
        assert_eq!(front(&last), Some(4));
    }

    /// Every order in which four places in two lines can end, each by a decision if it is at the front, or by giving
    /// up: whoever is first in all lines may decide, nobody else may, and nothing is left in the end.
    #[test]
    fn any_order_of_leaving_leaves_the_lines_as_they_should_be() {
        let kinds: [&[u8]; 3] = [&[1], &[2], &[1, 2]];
        let mut tried = 0;
        for code in 0..81_usize {
            let sets: Vec<&[u8]> = (0..4).map(|place| kinds[code / 3_usize.pow(place) % 3]).collect();
            for order in orders(4) {
                for gives_up in 0..16 {
                    run(&sets, &order, gives_up);
                    tried += 1;
                }
            }
        }
        assert_eq!(tried, 81 * 24 * 16);
    }

    fn run(sets: &[&[u8]], order: &[usize], gives_up: u32) {
        let turns = Turns::new();
        let lined_up = |names: &&[u8]| turns.line_up(names.iter().map(|name| key(*name)), Offset::ZERO);
        let mut places: Vec<Option<Place<'_>>> = sets.iter().map(|names| Some(lined_up(names))).collect();
        let mut fences = [0_u64; 3];
        for (step, &at) in order.iter().enumerate() {
            for (index, place) in places.iter().enumerate() {
                let Some(place) = place else { continue };
                let shares = |other: &usize| sets[*other].iter().any(|name| sets[index].contains(name));
                let first = (0..index).filter(|other| places[*other].is_some()).all(|other| !shares(&other));
                let fence = sets[index].iter().map(|name| fences[usize::from(*name)]).max();
                assert_eq!(front(place), if first { fence } else { None }, "{sets:?} {order:?} {step}");
            }
            let place = places[at].take().expect("it leaves once");
            if front(&place).is_some() && gives_up & (1 << at) == 0 {
                let offset = step as u64 + 1;
                place.leave(Offset(offset));
                sets[at].iter().for_each(|name| fences[usize::from(*name)] = offset);
            }
        }
        turns.forget(Offset(5));
        assert_eq!(turns.keys(), 0, "{sets:?} {order:?} {gives_up}");
    }

    /// All orders of so many things.
    fn orders(count: usize) -> Vec<Vec<usize>> {
        let Some(last) = count.checked_sub(1) else { return vec![Vec::new()] };
        let inserted = |order: Vec<usize>| {
            (0..=order.len()).map(move |at| {
                let mut order = order.clone();
                order.insert(at, last);
                order
            })
        };
        orders(last).into_iter().flat_map(inserted).collect()
    }
}
