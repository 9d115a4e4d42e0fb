//! Catching the panic of one request, so that it costs nobody else's answer.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

/// What a panic carried.
pub(crate) type Panic = Box<dyn Any + Send>;

/// Runs a future to its end or its panic. What it worked on is dropped with it; locks of the server are not poisoned,
/// and guard what is whole between any two steps.
pub(crate) async fn caught<T>(future: impl Future<Output = T>) -> Result<T, Panic> {
    let mut future = pin!(future);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

/// [`caught`] for a call that is not async.
pub(crate) fn caught_now<T>(call: impl FnOnce() -> T) -> Result<T, Panic> {
    catch_unwind(AssertUnwindSafe(call))
}

/// What a panic says.
pub(crate) fn message(panic: &Panic) -> &str {
    let message = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    message.unwrap_or("no message")
}
