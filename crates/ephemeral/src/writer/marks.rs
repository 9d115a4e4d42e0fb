//! How far somebody has read: receipts, and the mark up to which everything was read.
//!
//! One request may set several. They are checked together and appended together, so that either all of them come to be
//! or none does.

use engram_base::is_identifier;
use engram_log::{Input, TimestampMs};
use engram_log_format::v1::{AccountDataSet, ReceiptSent};
use engram_views::{Decision, Snapshot, ViewError, WriteError};

use super::{Ephemeral, subjects};
use crate::query::{self, READ, READ_PRIVATE};

/// The type of the account data that holds the mark.
const FULLY_READ: &str = "m.fully_read";

/// How far a user has read in a room. Nothing is set where there is nothing.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    /// The room.
    pub room_id: String,
    /// Who has read.
    pub user_id: String,
    /// The event up to which everything was read, `m.fully_read`.
    pub fully_read: Option<String>,
    /// Receipts.
    pub receipts: Vec<NewReceipt>,
}

/// A receipt to be sent.
#[derive(Clone, Debug)]
pub struct NewReceipt {
    /// `m.read` or `m.read.private`.
    pub receipt_type: String,
    /// The event.
    pub event_id: String,
    /// The thread (`main` or a root's event ID), or none for an unthreaded receipt.
    pub thread_id: Option<String>,
}

/// Why nothing was marked.
#[derive(Debug, thiserror::Error)]
pub enum MarkError {
    /// `M_INVALID_PARAM`: the type is neither `m.read` nor `m.read.private`, or the thread is empty or an identifier
    /// too long.
    #[error("{0}")]
    Invalid(&'static str),
    /// `M_NOT_FOUND`: the room has no such event, or none that the user may see.
    #[error("there is no such event in this room")]
    UnknownEvent,
    /// It could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl From<ViewError> for MarkError {
    fn from(error: ViewError) -> Self {
        Self::Write(error.into())
    }
}

impl Ephemeral {
    /// Marks how far somebody has read. A receipt that is not beyond the one before changes nothing.
    ///
    /// `place` gives an event's place in the order of the room; none if it is not there, or the user may not see it.
    pub async fn mark_read<P: Ord>(
        &self,
        marks: &Marks,
        place: impl Fn(&Snapshot, &str) -> Result<Option<P>, ViewError>,
    ) -> Result<(), MarkError> {
        check(marks)?;
        let subject = subjects::marks(&marks.room_id, &marks.user_id);
        let decided = self.decider.decide([subject], |snapshot, now| -> Result<_, MarkError> {
            Ok(Decision::journal(records(marks, snapshot, now, place)?, ()))
        });
        Ok(decided.await?.applied().await?)
    }
}

/// What is to be recorded. A mark that names no event refuses all of them.
fn records<P: Ord>(
    marks: &Marks,
    snapshot: &Snapshot,
    now: TimestampMs,
    place: impl Fn(&Snapshot, &str) -> Result<Option<P>, ViewError>,
) -> Result<Vec<Input>, MarkError> {
    let mut inputs = Vec::new();
    if let Some(event_id) = &marks.fully_read {
        place(snapshot, event_id)?.ok_or(MarkError::UnknownEvent)?;
        inputs.push(fully_read(marks, event_id));
    }
    for receipt in &marks.receipts {
        let reaches = place(snapshot, &receipt.event_id)?.ok_or(MarkError::UnknownEvent)?;
        let NewReceipt { receipt_type, thread_id, .. } = receipt;
        let before = query::receipt(snapshot, &marks.room_id, &marks.user_id, receipt_type, thread_id.as_deref())?;
        // What the last receipt names may be gone from the room's order, and then it is behind everything.
        let reached = before.map(|before| place(snapshot, &before.event_id)).transpose()?.flatten();
        if reached.is_none_or(|reached| reaches > reached) {
            inputs.push(sent(marks, receipt, now));
        }
    }
    Ok(inputs)
}

fn check(marks: &Marks) -> Result<(), MarkError> {
    let mut events = marks.receipts.iter().map(|receipt| &receipt.event_id).chain(&marks.fully_read);
    if !is_identifier(&marks.room_id) || !events.all(|event_id| is_identifier(event_id)) {
        return Err(MarkError::Invalid("a room ID and an event ID have 1 to 255 bytes"));
    }
    for receipt in &marks.receipts {
        if !matches!(receipt.receipt_type.as_str(), READ | READ_PRIVATE) {
            return Err(MarkError::Invalid("a receipt is m.read or m.read.private"));
        }
        if !receipt.thread_id.as_deref().is_none_or(is_identifier) {
            return Err(MarkError::Invalid("a thread ID has 1 to 255 bytes"));
        }
    }
    Ok(())
}

fn sent(marks: &Marks, receipt: &NewReceipt, now: TimestampMs) -> Input {
    let NewReceipt { receipt_type, event_id, thread_id } = receipt.clone();
    let (room_id, user_id) = (marks.room_id.clone(), marks.user_id.clone());
    ReceiptSent { room_id, user_id, receipt_type, event_id, thread_id, at_ms: now.0 }.into()
}

/// The mark is account data of the room that clients cannot set otherwise; so nothing of it is read before it is
/// written.
fn fully_read(marks: &Marks, event_id: &str) -> Input {
    let set = AccountDataSet {
        user_id: marks.user_id.clone(),
        room_id: Some(marks.room_id.clone()),
        event_type: FULLY_READ.to_owned(),
        content: serde_json::json!({ "event_id": event_id }).to_string().into_bytes(),
    };
    set.into()
}
