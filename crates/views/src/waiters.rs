//! Who waits for which offset, and why nobody is waited for any longer.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Wake, Waker};

use engram_log::Offset;

use crate::error::Stopped;
use crate::sync::thread::{self, Thread};
use crate::sync::{AtomicU64, Mutex};

/// The last applied offset and those who wait for a later one.
///
/// Invariant: `applied` changes only under the lock, so nobody can register between the look at it
/// and the waking.
#[derive(Default)]
pub(crate) struct Waiters {
    applied: AtomicU64,
    registry: Mutex<Registry>,
}

#[derive(Default)]
struct Registry {
    stopped: Option<Stopped>,
    /// By offset waited for, then in order of arrival.
    wakers: BTreeMap<(u64, u64), Waker>,
    tickets: u64,
}

impl Waiters {
    /// The last applied offset.
    pub(crate) fn applied(&self) -> Offset {
        Offset(self.applied.load(Ordering::Acquire))
    }

    /// Moves the applied offset forward and wakes everybody who waits for no more than that.
    pub(crate) fn advance(&self, offset: Offset) {
        let woken = {
            let mut registry = self.registry.lock();
            assert!(self.applied() <= offset, "the applied offset does not go back");
            self.applied.store(offset.0, Ordering::Release);
            if registry.wakers.is_empty() {
                return;
            }
            let later = registry.wakers.split_off(&(offset.0 + 1, 0));
            assert!(later.keys().all(|(waited_for, _)| *waited_for > offset.0), "who has what they wait for is woken");
            std::mem::replace(&mut registry.wakers, later)
        };
        woken.into_values().for_each(Waker::wake);
    }

    /// Tells everybody, now and later, that nothing more will be applied. The first reason stays.
    pub(crate) fn stop(&self, reason: &str) {
        let woken = {
            let mut registry = self.registry.lock();
            registry.stopped.get_or_insert_with(|| Stopped(reason.into()));
            std::mem::take(&mut registry.wakers)
        };
        woken.into_values().for_each(Waker::wake);
    }

    /// Why the pipeline has stopped, if it has.
    pub(crate) fn stopped(&self) -> Option<Stopped> {
        self.registry.lock().stopped.clone()
    }

    fn poll(&self, offset: Offset, ticket: &mut Option<u64>, waker: &Waker) -> Poll<Result<(), Stopped>> {
        if offset <= self.applied() {
            return Poll::Ready(Ok(()));
        }
        let mut registry = self.registry.lock();
        if offset <= self.applied() {
            return Poll::Ready(Ok(()));
        }
        if let Some(stopped) = &registry.stopped {
            return Poll::Ready(Err(stopped.clone()));
        }
        let ticket = *ticket.get_or_insert_with(|| {
            registry.tickets += 1;
            registry.tickets
        });
        registry.wakers.insert((offset.0, ticket), waker.clone());
        Poll::Pending
    }

    fn forget(&self, offset: Offset, ticket: u64) {
        self.registry.lock().wakers.remove(&(offset.0, ticket));
    }
}

/// Future of [`crate::Views::wait_applied`].
pub struct WaitApplied {
    waiters: Arc<Waiters>,
    offset: Offset,
    ticket: Option<u64>,
}

impl WaitApplied {
    pub(crate) fn new(waiters: Arc<Waiters>, offset: Offset) -> Self {
        Self { waiters, offset, ticket: None }
    }

    /// Parks the thread until the future is ready.
    pub(crate) fn block(mut self) -> Result<(), Stopped> {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            match Pin::new(&mut self).poll(&mut context) {
                Poll::Ready(result) => return result,
                // Others may unpark this thread too: look again.
                Poll::Pending => thread::park(),
            }
        }
    }
}

impl Future for WaitApplied {
    type Output = Result<(), Stopped>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let poll = this.waiters.poll(this.offset, &mut this.ticket, context.waker());
        if poll.is_ready() {
            // Taken out by whoever made it ready, or replaced there: nothing is left to forget but a stale waker.
            if let Some(ticket) = this.ticket.take() {
                this.waiters.forget(this.offset, ticket);
            }
        }
        poll
    }
}

impl Drop for WaitApplied {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.waiters.forget(self.offset, ticket);
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn poll(waiting: &mut WaitApplied, count: &Arc<Count>) -> Poll<bool> {
        let waker = Waker::from(Arc::clone(count));
        Pin::new(waiting).poll(&mut Context::from_waker(&waker)).map(|result| result.is_ok())
    }

    #[test]
    fn only_those_whose_offset_is_reached_are_woken_and_only_once() {
        let waiters = Arc::new(Waiters::default());
        let mut all: Vec<_> = (1..=200)
            .map(|offset| (WaitApplied::new(Arc::clone(&waiters), Offset(offset)), Arc::new(Count::default())))
            .collect();
        for (waiting, count) in &mut all {
            assert_eq!(poll(waiting, count), Poll::Pending);
        }
        for applied in [0, 1, 77, 77, 150] {
            waiters.advance(Offset(applied));
            for (offset, (_, count)) in (1..).zip(&all) {
                assert_eq!(count.0.load(Ordering::Relaxed), usize::from(offset <= applied), "{offset} at {applied}");
            }
        }
        for (offset, (waiting, count)) in (1..).zip(&mut all) {
            let expected = if offset <= 150 { Poll::Ready(true) } else { Poll::Pending };
            assert_eq!(poll(waiting, count), expected);
        }
        waiters.stop("the end");
        waiters.stop("not the reason");
        assert_eq!(poll(&mut all[199].0, &Arc::default()), Poll::Ready(false));
        assert_eq!(&*waiters.stopped().unwrap().0, "the end");
        assert_eq!(poll(&mut WaitApplied::new(Arc::clone(&waiters), Offset(150)), &Arc::default()), Poll::Ready(true));
    }

    #[test]
    fn a_dropped_future_leaves_nothing_behind() {
        let waiters = Arc::new(Waiters::default());
        let count = Arc::new(Count::default());
        let mut waiting = WaitApplied::new(Arc::clone(&waiters), Offset(3));
        assert_eq!(poll(&mut waiting, &count), Poll::Pending);
        // Polled again with another waker: the last one counts.
        let other = Arc::new(Count::default());
        assert_eq!(poll(&mut waiting, &other), Poll::Pending);
        assert_eq!(waiters.registry.lock().wakers.len(), 1);
        drop(waiting);
        assert!(waiters.registry.lock().wakers.is_empty());
        waiters.advance(Offset(3));
        assert_eq!((count.0.load(Ordering::Relaxed), other.0.load(Ordering::Relaxed)), (0, 0));
    }
}
