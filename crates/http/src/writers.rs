//! Waiting for the disk: until a record is applied, with writers that hold a thread meanwhile, and with password
//! hashes.
//!
//! A disk that stands still holds up everybody who writes. Here is what keeps them from holding up the rest: writers
//! that block have slots and threads of their own; further ones wait in a bounded line; and a request that waits for
//! its record is answered after a while, though the record may still come to be. To be called on the writers' runtime.

use std::future::Future;
use std::panic::resume_unwind;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::error::{ApiError, ApiResult};
use crate::limits;

/// Runs a call that blocks on a thread of this runtime that may.
pub async fn blocking<T, F>(call: F) -> T
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    match tokio::task::spawn_blocking(call).await {
        Ok(value) => value,
        // Blocking tasks are never aborted, so it panicked: the panic belongs to the request that caused it.
        Err(error) => resume_unwind(error.into_panic()),
    }
}

/// The outcome of a future, on a thread that may block: for long decisions that would stall the runtime's threads, and
/// wait in between.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Handle::current().block_on(future)
}

/// How many calls of a kind run at once; some more wait in line, and the rest is told to come back.
struct Slots {
    running: Arc<Semaphore>,
    /// One for each that runs or waits.
    admitted: Arc<Semaphore>,
    retry_ms: u64,
}

impl Slots {
    fn new(running: usize, waiting: usize, retry_ms: u64) -> Self {
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        Self { running: semaphore(running), admitted: semaphore(running + waiting), retry_ms }
    }

    /// Runs a call. Its slot is free when the call has ended, however long ago the request was given up.
    async fn run<T, F>(&self, call: F) -> ApiResult<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let place = self.admitted.clone().try_acquire_owned();
        let place = place.map_err(|_| ApiError::limit_exceeded(self.retry_ms))?;
        let slot = self.running.clone().acquire_owned().await.map_err(|_| ApiError::busy())?;
        let held = move || {
            let _held = (place, slot);
            call()
        };
        Ok(blocking(held).await)
    }
}

/// Says whether the disk is full, so that what was taken waits for space.
pub type DiskFull = Box<dyn Fn() -> bool + Send + Sync>;

/// Everybody who waits for the disk.
pub struct Writers {
    blocking: Slots,
    hashing: Slots,
    disk_full: DiskFull,
    /// How long to wait for a confirmation, and how often to look at the disk meanwhile.
    confirmation_max: Duration,
    confirmation_look: Duration,
}

impl Writers {
    /// Writers on a machine with that many cores.
    pub fn new(cores: usize, disk_full: DiskFull) -> Self {
        let cores = cores.max(1);
        let hashes = cores * limits::PASSWORD_HASHES_PER_CORE;
        let waiting = cores * limits::PASSWORD_HASHES_WAITING_PER_CORE;
        Self {
            blocking: Slots::new(limits::WRITERS_BLOCKED_MAX, limits::WRITERS_WAITING_MAX, limits::WRITERS_RETRY_MS),
            hashing: Slots::new(hashes, waiting, limits::PASSWORD_RETRY_MS),
            disk_full,
            confirmation_max: limits::CONFIRMATION_MAX,
            confirmation_look: limits::CONFIRMATION_LOOK,
        }
    }

    /// Runs a writer's call that holds a lock until its record is durable and applied.
    pub async fn write<T, E, F>(self: Arc<Self>, call: F) -> ApiResult<T>
    where
        F: FnOnce() -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
        ApiError: From<E>,
    {
        Ok(self.confirmed(self.blocking.run(call)).await???)
    }

    /// Runs a call that hashes a password, and perhaps writes. Each takes tens of MiB of memory and a core.
    pub async fn hash<T, E, F>(self: Arc<Self>, call: F) -> ApiResult<T>
    where
        F: FnOnce() -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
        ApiError: From<E>,
    {
        Ok(self.confirmed(self.hashing.run(call)).await???)
    }

    /// Waits for what says that a record is durable and applied, but not for ever, and not while the disk is full.
    /// After an error it may still come to be.
    pub async fn confirmed<T>(&self, outcome: impl Future<Output = T>) -> ApiResult<T> {
        let mut outcome = pin!(outcome);
        let mut waited = Duration::ZERO;
        loop {
            if let Ok(outcome) = timeout(self.confirmation_look, &mut outcome).await {
                return Ok(outcome);
            }
            waited += self.confirmation_look;
            if (self.disk_full)() {
                return Err(ApiError::unconfirmed("The server's disk is full. This will be done once there is space."));
            }
            if waited >= self.confirmation_max {
                return Err(ApiError::unconfirmed("The server's disk does not keep up. This may still be done."));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    /// Writers who are not patient.
    fn writers(disk_full: bool) -> Arc<Writers> {
        let writers = Writers::new(1, Box::new(move || disk_full));
        let (confirmation_max, confirmation_look) = (Duration::from_millis(4), Duration::from_millis(1));
        Arc::new(Writers { confirmation_max, confirmation_look, ..writers })
    }

    #[tokio::test]
    async fn a_request_is_answered_though_the_disk_stands_still_and_its_call_keeps_its_slot() {
        let writers = writers(false);
        let (release, held) = channel::<()>();
        let call = move || held.recv().map_err(|_| ApiError::busy());
        let error = writers.clone().write(call).await.expect_err("not confirmed");
        assert_eq!((error.status.as_u16(), error.errcode), (503, "M_UNKNOWN"));
        let slots = &writers.blocking.running;
        assert_eq!(slots.available_permits(), limits::WRITERS_BLOCKED_MAX - 1, "the call goes on");
        release.send(()).expect("it waits");
        let all = u32::try_from(limits::WRITERS_BLOCKED_MAX).expect("few");
        assert!(slots.acquire_many(all).await.is_ok(), "when the call has ended its slot is free");
    }

    #[tokio::test]
    async fn a_full_disk_is_told() {
        assert_eq!(writers(true).confirmed(std::future::ready(7)).await.expect("ready"), 7);
        let error = writers(true).confirmed(std::future::pending::<()>()).await.expect_err("full");
        assert!(error.message.contains("full"), "{error:?}");
    }

    #[tokio::test]
    async fn whoever_finds_the_line_full_is_told_to_come_back() {
        let slots = Slots::new(1, 0, 100);
        let held = slots.admitted.clone().try_acquire_owned();
        assert_eq!(slots.run(|| ()).await.expect_err("no place").status.as_u16(), 429);
        drop(held);
        slots.run(|| ()).await.expect("a place");
    }
}
