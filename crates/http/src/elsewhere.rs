//! Polling a future on threads that may block, without keeping one of them while it waits.
//!
//! For writers whose decision grows with what a client sends: it reads rows for each of a thousand devices, which is
//! too long for a thread of the runtime; but most of its time it waits for the disk, which should hold up no thread at
//! all.

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use tokio::sync::Notify;

use crate::writers::blocking;

/// The output of a future that is polled on blocking threads only. If this is dropped while a poll is under way, the
/// future is dropped when that has ended.
pub async fn elsewhere<F>(future: F) -> F::Output
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let woken = Arc::new(Woken(Notify::new()));
    let waker = Waker::from(Arc::clone(&woken));
    let mut future = Box::pin(future);
    loop {
        let waker = waker.clone();
        let polled = blocking(move || {
            let poll = future.as_mut().poll(&mut Context::from_waker(&waker));
            (poll, future)
        });
        match polled.await {
            (Poll::Ready(output), _) => return output,
            (Poll::Pending, pending) => future = pending,
        }
        // One that came while the poll was under way is remembered.
        woken.0.notified().await;
    }
}

struct Woken(Notify);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::thread;

    use super::*;

    #[tokio::test]
    async fn a_future_is_polled_on_other_threads_and_woken_also_while_it_is() {
        let here = thread::current().id();
        let mut polls = 0;
        let counted = elsewhere(poll_fn(move |context| {
            assert_ne!(thread::current().id(), here, "not on the runtime's thread");
            polls += 1;
            if polls == 4 {
                return Poll::Ready(polls);
            }
            if polls % 2 == 0 {
                context.waker().wake_by_ref();
            } else {
                let waker = context.waker().clone();
                thread::spawn(move || waker.wake());
            }
            Poll::Pending
        }));
        assert_eq!(counted.await, 4);
    }
}
