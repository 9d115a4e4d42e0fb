//! The writer of receipts, typing and presence.
//!
//! Decisions about the same thing are taken in turn, and nobody holds a turn or a thread while they are written
//! ([`engram_views::Decider`]). What travels on the ephemeral lane is applied as soon as what precedes it is: nobody
//! waits for the disk on its account.

mod marks;
mod presence;
mod subjects;

use std::sync::Arc;
use std::time::Duration;

use engram_base::Clock;
use engram_log::{Input, Log, TimestampMs};
use engram_log_format::v1::TypingSet;
use engram_views::{Decider, Decision, Unapplied, Views, WriteError};

pub use self::marks::{MarkError, Marks, NewReceipt};
use crate::limits::TYPING_MAX;
use crate::live::Live;

/// The writer of receipts, typing and presence of one server.
pub struct Ephemeral {
    live: Arc<Live>,
    decider: Decider,
}

impl Ephemeral {
    /// A writer that appends to `log` and decides by `views` and `live`.
    pub fn new(log: Arc<dyn Log>, views: Arc<Views>, live: Arc<Live>, clock: Clock) -> Self {
        Self { live, decider: Decider::new(log, views, clock) }
    }

    /// Marks a user as typing for `timeout` (at most [`TYPING_MAX`]), or as no longer typing.
    pub async fn set_typing(&self, room_id: &str, user_id: &str, timeout: Option<Duration>) -> Result<(), WriteError> {
        let decided = self.decider.decide([subjects::typing(room_id, user_id)], |_, now| -> Result<_, WriteError> {
            if timeout.is_none() && !self.live.is_typing(room_id, user_id) {
                return Ok(Decision::nothing(()));
            }
            let until = timeout.map(|timeout| TimestampMs(now.0 + timeout.min(TYPING_MAX).as_millis() as u64));
            Ok(Decision::ephemeral([typing(room_id, user_id, until)], ()))
        });
        decided.await?.applied().await
    }

    /// Does what time alone brings about: ends the typing of those whose time is over, and tells whose presence has
    /// changed or changes by itself. How many records that took. To be called several times a second; without anything
    /// due it costs nothing.
    pub async fn keep_time(&self) -> Result<usize, WriteError> {
        Ok(self.end_typing().await? + self.tell_presence().await?)
    }

    async fn end_typing(&self) -> Result<usize, WriteError> {
        let mut decided = Vec::new();
        for (room_id, user_id) in self.live.typing_expired(self.decider.now()) {
            decided.push(self.end_typing_of(&room_id, &user_id).await?);
        }
        let mut records = 0;
        for ended in decided {
            records += usize::from(ended.applied().await?);
        }
        Ok(records)
    }

    /// Ends somebody's typing if its time is over. They may have typed on in the meantime.
    async fn end_typing_of(&self, room_id: &str, user_id: &str) -> Result<Unapplied<'_, bool>, WriteError> {
        let subject = subjects::typing(room_id, user_id);
        let decided = self.decider.decide([subject], |_, now| -> Result<_, WriteError> {
            let is_over = self.live.typing_until(room_id, user_id).is_some_and(|until| until <= now);
            Ok(Decision::ephemeral(is_over.then(|| typing(room_id, user_id, None)), is_over))
        });
        decided.await
    }
}

fn typing(room_id: &str, user_id: &str, until: Option<TimestampMs>) -> Input {
    let set =
        TypingSet { room_id: room_id.to_owned(), user_id: user_id.to_owned(), until_ms: until.map(|until| until.0) };
    set.into()
}
