//! Running calls that block: writers that hold a lock until their record is applied, and password hashes.

use std::panic::resume_unwind;

use tokio::sync::Semaphore;

use crate::error::{ApiError, ApiResult};

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
pub struct HashSlots(Semaphore);

impl HashSlots {
    /// Slots for a machine with that many cores.
    pub fn new(cores: usize) -> Self {
        Self(Semaphore::new(cores.max(1) * crate::limits::PASSWORD_HASHES_PER_CORE))
    }

    /// Runs a call that hashes a password.
    pub async fn hashing<T, F>(&self, call: F) -> ApiResult<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let _slot = self.0.acquire().await.map_err(|_| ApiError::busy())?;
        Ok(blocking(call).await)
    }
}
