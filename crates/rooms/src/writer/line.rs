//! The line before a room: whoever wants to decide there waits for those who came before, without holding a thread.
//!
//! A place is left as soon as the decision is taken, or when it is dropped: somebody who has given up holds nobody up.
//! Whoever is at the front may wait for the views to catch up; those behind would have to wait for the same.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Poll, Waker};

use parking_lot::Mutex;

/// Who waits, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Line(Mutex<Places>);

#[derive(Debug, Default)]
struct Places {
    last_ticket: u64,
    /// Tickets ascend.
    waiting: VecDeque<(u64, Option<Waker>)>,
}

/// A place in the line.
#[must_use = "a place that is dropped is given up"]
pub(super) struct Place<'a> {
    line: &'a Line,
    ticket: u64,
}

impl Line {
    /// A place at the end.
    pub(super) fn line_up(&self) -> Place<'_> {
        let mut places = self.0.lock();
        places.last_ticket += 1;
        let ticket = places.last_ticket;
        places.waiting.push_back((ticket, None));
        Place { line: self, ticket }
    }
}

impl Place<'_> {
    /// Resolves at the front.
    pub(super) async fn front(&mut self) {
        poll_fn(|context| {
            let mut places = self.line.0.lock();
            let at = places.position(self.ticket);
            if at == 0 {
                return Poll::Ready(());
            }
            places.waiting[at].1 = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Places {
    fn position(&self, ticket: u64) -> usize {
        let found = self.waiting.binary_search_by_key(&ticket, |(ticket, _)| *ticket);
        found.expect("a place is in its line until it is dropped")
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut places = self.line.0.lock();
        let at = places.position(self.ticket);
        places.waiting.remove(at);
        let next = if at == 0 { places.waiting.front_mut().and_then(|(_, waker)| waker.take()) } else { None };
        drop(places);
        // Woken after the lock is free: a waker may run code of a runtime.
        if let Some(waker) = next {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::Context;

    use super::*;

    fn is_at_front(place: &mut Place<'_>) -> bool {
        pin!(place.front()).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn who_came_first_goes_first_and_who_gives_up_holds_nobody_up() {
        let line = Line::default();
        let mut places: Vec<Place<'_>> = (0..4).map(|_| line.line_up()).collect();
        assert_eq!(places.iter_mut().map(is_at_front).collect::<Vec<_>>(), [true, false, false, false]);
        drop(places.remove(1));
        assert_eq!(places.iter_mut().map(is_at_front).collect::<Vec<_>>(), [true, false, false]);
        drop(places.remove(0));
        assert_eq!(places.iter_mut().map(is_at_front).collect::<Vec<_>>(), [true, false]);
        drop(places);
        assert!(line.0.lock().waiting.is_empty());
        assert!(is_at_front(&mut line.line_up()));
    }

    #[test]
    fn the_next_in_line_is_woken() {
        use std::sync::Arc;
        use std::sync::atomic::{AtomicUsize, Ordering};
        use std::task::Wake;
        #[derive(Default)]
        struct Count(AtomicUsize);
        impl Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let (line, count) = (Line::default(), Arc::new(Count::default()));
        let waker = Waker::from(Arc::clone(&count));
        let (first, mut second, mut third) = (line.line_up(), line.line_up(), line.line_up());
        for place in [&mut second, &mut third] {
            assert!(pin!(place.front()).poll(&mut Context::from_waker(&waker)).is_pending());
        }
        drop(first);
        assert_eq!(count.0.load(Ordering::Relaxed), 1, "one of two");
        assert!(is_at_front(&mut second) && !is_at_front(&mut third));
    }
}
