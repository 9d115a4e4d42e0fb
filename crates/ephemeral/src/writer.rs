//! The writer of receipts, typing and presence. Every method blocks.

mod marks;
mod presence;

use std::sync::Arc;
use std::time::Duration;

use engram_log::{AppendError, Input, Lane, Log, TimestampMs};
use engram_log_format::v1::TypingSet;
use engram_views::{Stopped, ViewError, Views};
use parking_lot::{Mutex, MutexGuard};

pub use self::marks::{MarkError, Marks, NewReceipt};
use crate::limits::TYPING_MAX;
use crate::live::Live;

const SHARDS: usize = 64;

/// The writer's clock.
pub type Clock = Arc<dyn Fn() -> TimestampMs + Send + Sync>;

/// A record could not be written or its effect not be seen; the request has failed.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The log took nothing.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The views have stopped; whether the record is on disk is not known.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The views could not be read; nothing was written.
    #[error(transparent)]
    View(#[from] ViewError),
}

/// The writer of receipts, typing and presence of one server.
pub struct Ephemeral {
    log: Arc<dyn Log>,
    views: Arc<Views>,
    live: Arc<Live>,
    clock: Clock,
    /// Held from a decision until it is applied. By user, in shards: what meets in a shard only waits.
    shards: Box<[Mutex<()>]>,
}

impl Ephemeral {
    /// A writer that appends to `log` and decides by `views` and `live`.
    pub fn new(log: Arc<dyn Log>, views: Arc<Views>, live: Arc<Live>, clock: Clock) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::new(())).collect();
        Self { log, views, live, clock, shards }
    }

    /// Marks a user as typing for `timeout` (at most [`TYPING_MAX`]), or as no longer typing.
    pub fn set_typing(&self, room_id: &str, user_id: &str, timeout: Option<Duration>) -> Result<(), WriteError> {
        let _decision = self.lock(user_id);
        let now = (self.clock)();
        let until = timeout.map(|timeout| TimestampMs(now.0 + timeout.min(TYPING_MAX).as_millis() as u64));
        if until.is_none() && !self.live.is_typing(room_id, user_id) {
            return Ok(());
        }
        self.commit(Lane::Ephemeral, &[typing(room_id, user_id, until)], now)
    }

    /// Does what time alone brings about: ends the typing of those whose time is over, and tells whose presence has changed
    /// or changes by itself. How many records that took. To be called several times a second; without anything due it costs nothing.
    pub fn keep_time(&self, now: TimestampMs) -> Result<usize, WriteError> {
        Ok(self.end_typing(now)? + self.tell_presence(now)?)
    }

    fn end_typing(&self, now: TimestampMs) -> Result<usize, WriteError> {
        let expired = self.live.typing_expired(now);
        for (room_id, user_id) in &expired {
            let _decision = self.lock(user_id);
            // They may have typed on in the meantime.
            if self.live.typing_until(room_id, user_id).is_some_and(|until| until <= now) {
                self.commit(Lane::Ephemeral, &[typing(room_id, user_id, None)], now)?;
            }
        }
        Ok(expired.len())
    }

    fn commit(&self, lane: Lane, inputs: &[Input], now: TimestampMs) -> Result<(), WriteError> {
        let appended = self.log.append(lane, inputs, now)?;
        self.views.wait_applied_blocking(appended.last)?;
        Ok(())
    }

    fn lock(&self, user_id: &str) -> MutexGuard<'_, ()> {
        let hash = user_id.bytes().fold(0_usize, |hash, byte| hash.wrapping_mul(31).wrapping_add(usize::from(byte)));
        self.shards[hash % SHARDS].lock()
    }

    /// Locks all users. Whoever holds one lock asks for no second, and here they are taken in order: nobody waits in a circle.
    fn lock_all(&self) -> Vec<MutexGuard<'_, ()>> {
        self.shards.iter().map(Mutex::lock).collect()
    }
}

fn typing(room_id: &str, user_id: &str, until: Option<TimestampMs>) -> Input {
    let set =
        TypingSet { room_id: room_id.to_owned(), user_id: user_id.to_owned(), until_ms: until.map(|until| until.0) };
    set.into()
}
