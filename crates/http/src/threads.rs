//! Where calls run: the threads beside the main runtime, and who may wait for them.
//!
//! ```text
//!     main runtime     connections, memory, long polls      as many threads as cores, none ever blocked
//!     readers          one call after the other, views      a few per core, nicer than all others, a bounded line
//!     writers          async, views, never the disk         a small runtime; its blocking threads are for those who
//!                                                           still wait for the disk with a thread in hand
//! ```
//!
//! A call that is still in line when its client goes away is dropped. One that has begun runs to its end, for half a
//! decision is none.

use std::io;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::error::{ApiError, ApiResult};
use crate::limits;
use crate::panics::{Panic, caught_now};

/// The threads of one server.
pub struct Threads {
    readers: Readers,
    writers: Handle,
    writes: Arc<Semaphore>,
    /// Ended with the server, or when this is dropped.
    owned: Mutex<Vec<Runtime>>,
}

impl Threads {
    /// Threads for a machine with that many cores.
    pub fn start(cores: usize) -> io::Result<Arc<Self>> {
        let cores = cores.max(1);
        // This runtime is driven by nobody: its blocking threads are all that is wanted of it.
        let readers = Builder::new_current_thread()
            .thread_name("reader")
            .max_blocking_threads(cores * limits::READERS_PER_CORE)
            .on_thread_start(stand_back)
            .build()?;
        let writers = Builder::new_multi_thread()
            .thread_name("writer")
            .worker_threads(cores.max(limits::WRITER_THREADS_MIN))
            .max_blocking_threads(limits::WRITERS_BLOCKED_MAX)
            .enable_all()
            .build()?;
        Ok(Arc::new(Self {
            readers: Readers {
                threads: readers.handle().clone(),
                line: Arc::new(Semaphore::new(limits::READS_WAITING_MAX)),
            },
            writers: writers.handle().clone(),
            writes: Arc::new(Semaphore::new(limits::WRITES_MAX)),
            owned: Mutex::new(vec![writers, readers]),
        }))
    }

    /// The readers.
    pub fn readers(&self) -> Readers {
        self.readers.clone()
    }

    /// Where writers run.
    pub fn writers(&self) -> &Handle {
        &self.writers
    }

    /// A place among the writers, and the way back from there.
    pub(crate) fn writer(&self) -> ApiResult<(Reply<Response>, Awaited<Response>)> {
        let permit = self.writes.clone().try_acquire_owned();
        let permit = permit.map_err(|_| ApiError::limit_exceeded(limits::WRITERS_RETRY_MS))?;
        Ok(Reply::new(permit))
    }

    /// Ends all threads. Calls that are under way get so long to end; what waits is dropped.
    pub fn shut_down(&self, patience: Duration) {
        for runtime in std::mem::take(&mut *self.owned.lock()) {
            runtime.shutdown_timeout(patience);
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // A runtime that is dropped waits for its threads, which a thread of another runtime must not do.
        for runtime in std::mem::take(&mut *self.owned.lock()) {
            runtime.shutdown_background();
        }
    }
}

/// Threads for what reads the views: bounded in number, with a bounded line in front.
#[derive(Clone)]
pub struct Readers {
    threads: Handle,
    /// One for each that runs or waits.
    line: Arc<Semaphore>,
}

impl Readers {
    /// Runs a call that reads. It is dropped if it has not begun when the returned future is.
    pub async fn read<T, F>(&self, call: F) -> ApiResult<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let permit = self.line.clone().try_acquire_owned();
        let permit = permit.map_err(|_| ApiError::limit_exceeded(limits::READERS_RETRY_MS))?;
        let (reply, awaited) = Reply::new(permit);
        drop(self.threads.spawn_blocking(move || {
            if !reply.is_unwanted() {
                reply.send(caught_now(call));
            }
        }));
        awaited.outcome().await
    }

    /// For parts of the server that have a line of their own.
    pub fn handle(&self) -> &Handle {
        &self.threads
    }
}

/// The way back from another thread: whoever holds it owes an answer.
pub(crate) struct Reply<T> {
    sender: oneshot::Sender<Result<T, Panic>>,
    _place: OwnedSemaphorePermit,
}

impl<T: Send + 'static> Reply<T> {
    fn new(place: OwnedSemaphorePermit) -> (Self, Awaited<T>) {
        let (sender, receiver) = oneshot::channel();
        (Self { sender, _place: place }, Awaited { receiver })
    }

    /// Whether nobody waits for it any more.
    pub(crate) fn is_unwanted(&self) -> bool {
        self.sender.is_closed()
    }

    /// Answers.
    pub(crate) fn send(self, outcome: Result<T, Panic>) {
        // Whoever asked may have left since it began.
        drop(self.sender.send(outcome));
    }
}

/// The other end of a [`Reply`].
pub(crate) struct Awaited<T> {
    receiver: oneshot::Receiver<Result<T, Panic>>,
}

impl<T> Awaited<T> {
    /// The answer, once it is there. A panic over there belongs to the request that caused it.
    pub(crate) async fn outcome(self) -> ApiResult<T> {
        match self.receiver.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(panic)) => resume_unwind(panic),
            // The threads have ended before they came to it: the server is stopping.
            Err(_) => Err(ApiError::busy()),
        }
    }
}

/// What readers do takes long and can wait: other threads that have something to do go first.
fn stand_back() {
    // Where that is not allowed readers are as quick as everybody else, and no less right.
    let _ = rustix::process::nice(limits::READERS_NICENESS);
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::sync::mpsc::channel;

    use super::*;

    #[tokio::test]
    async fn a_read_whose_client_has_gone_before_it_began_is_dropped() {
        let threads = Threads::start(1).expect("threads");
        let readers = threads.readers();
        let (release, held) = channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let mut running = Vec::new();
        for _ in 0..limits::READERS_PER_CORE {
            let (readers, held) = (readers.clone(), Arc::clone(&held));
            running.push(tokio::spawn(async move { readers.read(move || held.lock().recv().is_ok()).await }));
        }
        let (begun, begins) = channel();
        let mut abandoned = Box::pin(readers.read(move || begun.send(())));
        let waiting = std::future::poll_fn(|context| std::task::Poll::Ready(abandoned.as_mut().poll(context))).await;
        assert!(waiting.is_pending(), "all readers are taken");
        drop(abandoned);
        drop(release);
        for read in running {
            assert!(!read.await.expect("runs").expect("a reader"), "it was held until then");
        }
        readers.read(|| ()).await.expect("the line has moved on");
        assert!(begins.try_recv().is_err(), "nobody waits for it, so it never began");
    }

    #[tokio::test]
    async fn a_panic_of_a_reader_is_its_request_s_and_the_line_is_bounded() {
        let threads = Threads::start(1).expect("threads");
        let readers = threads.readers();
        let panicking = readers.clone();
        let panicked = tokio::spawn(async move { panicking.read(|| panic!("a bug")).await }).await;
        assert!(panicked.expect_err("it panicked").is_panic());
        let all = u32::try_from(limits::READS_WAITING_MAX).expect("few");
        let _taken = readers.line.acquire_many(all).await.expect("never closed");
        assert_eq!(readers.read(|| ()).await.expect_err("no place").status.as_u16(), 429);
    }
}
