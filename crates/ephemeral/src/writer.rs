//! The writer of receipts, typing and presence. The methods that are not async block.

use std::sync::Arc;
use std::time::Duration;

use engram_base::{Clock, Key, is_identifier};
use engram_log::{Input, Lane, Log, TimestampMs};
use engram_log_format::v1::{PresenceSet, ReceiptSent, TypingSet};
use engram_views::{Decider, Decision, Views, WriteError};
use parking_lot::{Mutex, MutexGuard};

use crate::live::Live;
use crate::query;

/// Longest time for which one request marks a user as typing: a client that goes away stops typing by itself.
pub const TYPING_MAX: Duration = Duration::from_secs(120);

/// How often a presence that stays the same is written again, for the time of the last activity.
pub const PRESENCE_REFRESH: Duration = Duration::from_secs(60);

const SHARDS: usize = 64;

/// A receipt to be sent.
#[derive(Clone, Copy, Debug)]
pub struct ReceiptRequest<'a> {
    /// The room.
    pub room_id: &'a str,
    /// Who has read.
    pub user_id: &'a str,
    /// `m.read` or `m.read.private`.
    pub receipt_type: &'a str,
    /// The event.
    pub event_id: &'a str,
    /// The thread (`main` or a root's event ID), or none for an unthreaded receipt.
    pub thread_id: Option<&'a str>,
}

/// Why a receipt was refused.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// `M_INVALID_PARAM`: the type is neither `m.read` nor `m.read.private`, or the thread is empty or an identifier too long.
    #[error("{0}")]
    Invalid(&'static str),
    /// It could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// The writer of receipts, typing and presence of one server.
pub struct Ephemeral {
    log: Arc<dyn Log>,
    views: Arc<Views>,
    live: Arc<Live>,
    clock: Clock,
    /// Takes the decisions about receipts.
    decider: Decider,
    /// Held from a decision until it is applied. By room or user, in shards: what meets in a shard only waits.
    shards: Box<[Mutex<()>]>,
}

impl Ephemeral {
    /// A writer that appends to `log` and decides by `views` and `live`.
    pub fn new(log: Arc<dyn Log>, views: Arc<Views>, live: Arc<Live>, clock: Clock) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::new(())).collect();
        let decider = Decider::new(Arc::clone(&log), Arc::clone(&views), Arc::clone(&clock));
        Self { log, views, live, clock, decider, shards }
    }

    /// Marks a user as typing for `timeout` (at most [`TYPING_MAX`]), or as no longer typing.
    pub fn set_typing(&self, room_id: &str, user_id: &str, timeout: Option<Duration>) -> Result<(), WriteError> {
        let _decision = self.lock(user_id);
        let now = (self.clock)();
        let until = timeout.map(|timeout| TimestampMs(now.0 + timeout.min(TYPING_MAX).as_millis() as u64));
        if until.is_none() && !self.live.is_typing(room_id, user_id) {
            return Ok(());
        }
        self.append_typing(room_id, user_id, until, now)
    }

    fn append_typing(
        &self,
        room_id: &str,
        user_id: &str,
        until: Option<TimestampMs>,
        now: TimestampMs,
    ) -> Result<(), WriteError> {
        let set = TypingSet {
            room_id: room_id.to_owned(),
            user_id: user_id.to_owned(),
            until_ms: until.map(|until| until.0),
        };
        self.commit(Lane::Ephemeral, set.into(), now)
    }

    /// Sets a user's presence: `online`, `unavailable` or `offline`, which the caller has checked. No status message takes
    /// away the one before.
    ///
    /// What changes nothing that others see is written at most every [`PRESENCE_REFRESH`].
    pub fn set_presence(&self, user_id: &str, presence: &str, status_msg: Option<&str>) -> Result<(), WriteError> {
        let _decision = self.lock(user_id);
        let now = (self.clock)();
        let before = self.live.presence(user_id);
        let online = presence == "online";
        if let Some(before) = &before {
            let same = before.presence == presence && before.status_msg.as_deref() == status_msg;
            let recent = now.0.saturating_sub(before.last_active.0) < PRESENCE_REFRESH.as_millis() as u64;
            if same && (recent || !online) {
                return Ok(());
            }
        }
        let last_active = if online { now } else { before.map_or(now, |before| before.last_active) };
        let set = PresenceSet {
            user_id: user_id.to_owned(),
            presence: presence.to_owned(),
            status_msg: status_msg.map(str::to_owned),
            last_active_ms: last_active.0,
            currently_active: online,
        };
        self.commit(Lane::Ephemeral, set.into(), now)
    }

    /// Records a receipt, unless the one before is as far or further.
    ///
    /// `position` gives an event's place in the order of the room, if it is known; a receipt whose event or whose
    /// predecessor's event has no place is recorded.
    pub async fn send_receipt(
        &self,
        request: ReceiptRequest<'_>,
        position: impl Fn(&str) -> Option<u64>,
    ) -> Result<(), ReceiptError> {
        check(&request)?;
        let ReceiptRequest { room_id, user_id, receipt_type, event_id, thread_id } = request;
        let subject = Key::new().text(room_id).text(user_id);
        let sent = self.decider.decide([subject], |snapshot, now| -> Result<_, WriteError> {
            let before = query::receipt(snapshot, room_id, user_id, receipt_type, thread_id)?;
            if before.is_some_and(|before| !moves_forward(&before.event_id, event_id, &position)) {
                return Ok(Decision::nothing(()));
            }
            let sent = ReceiptSent {
                room_id: room_id.to_owned(),
                user_id: user_id.to_owned(),
                receipt_type: receipt_type.to_owned(),
                event_id: event_id.to_owned(),
                thread_id: thread_id.map(str::to_owned),
                at_ms: now.0,
            };
            Ok(Decision::journal([sent.into()], ()))
        });
        Ok(sent.await?.applied().await?)
    }

    /// Ends the typing of those whose time is over; how many those were.
    pub fn expire(&self, now: TimestampMs) -> Result<usize, WriteError> {
        let expired = self.live.typing_expired(now);
        for (room_id, user_id) in &expired {
            let _decision = self.lock(user_id);
            // They may have typed on in the meantime.
            if self.live.typing_until(room_id, user_id).is_some_and(|until| until <= now) {
                self.append_typing(room_id, user_id, None, now)?;
            }
        }
        Ok(expired.len())
    }

    fn commit(&self, lane: Lane, input: Input, now: TimestampMs) -> Result<(), WriteError> {
        let appended = self.log.append(lane, &[input], now)?;
        self.views.wait_applied_blocking(appended.last)?;
        Ok(())
    }

    fn lock(&self, user_id: &str) -> MutexGuard<'_, ()> {
        let hash = user_id.bytes().fold(0_usize, |hash, byte| hash.wrapping_mul(31).wrapping_add(usize::from(byte)));
        self.shards[hash % SHARDS].lock()
    }
}

fn check(request: &ReceiptRequest<'_>) -> Result<(), ReceiptError> {
    if !matches!(request.receipt_type, query::READ | query::READ_PRIVATE) {
        return Err(ReceiptError::Invalid("a receipt is m.read or m.read.private"));
    }
    if !is_identifier(request.room_id) || !is_identifier(request.event_id) {
        return Err(ReceiptError::Invalid("a room ID and an event ID have 1 to 255 bytes"));
    }
    if !request.thread_id.is_none_or(is_identifier) {
        return Err(ReceiptError::Invalid("a thread ID has 1 to 255 bytes"));
    }
    Ok(())
}

fn moves_forward(before: &str, after: &str, position: &dyn Fn(&str) -> Option<u64>) -> bool {
    match (position(before), position(after)) {
        (Some(before), Some(after)) => after > before,
        _ => before != after,
    }
}
