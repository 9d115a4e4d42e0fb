//! Running calls that block: writers that hold a lock until their record is applied, and password hashes.

use std::panic::resume_unwind;

use tokio::sync::Semaphore;

use crate::error::{ApiError, ApiResult};
use crate::limits;

/// Runs a call that may block for about as long as one sync of the disk, without stalling the runtime's threads.
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

/// How many password hashes run at once; the rest wait in line. Each takes tens of MiB of memory and a core.
pub struct HashSlots {
    running: Semaphore,
    /// One for each that runs or waits.
    admitted: Semaphore,
}

impl HashSlots {
    /// Slots for a machine with that many cores.
    pub fn new(cores: usize) -> Self {
        let cores = cores.max(1);
        let running = cores * limits::PASSWORD_HASHES_PER_CORE;
        let admitted = running + cores * limits::PASSWORD_HASHES_WAITING_PER_CORE;
        Self { running: Semaphore::new(running), admitted: Semaphore::new(admitted) }
    }

    /// Runs a call that hashes a password. If too many wait already it is refused at once.
    pub async fn hashing<T, F>(&self, call: F) -> ApiResult<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let _place = self.admitted.try_acquire().map_err(|_| ApiError::limit_exceeded(limits::PASSWORD_RETRY_MS))?;
        let _slot = self.running.acquire().await.map_err(|_| ApiError::busy())?;
        Ok(blocking(call).await)
    }
}
