//! Messages to devices.

use std::ops::{Bound, ControlFlow};

use engram_base::Parts;
use engram_log::{InputRef, Offset, PayloadState, Record};
use engram_views::{Read, ReadExt, ViewError};

use super::malformed;
use crate::json::{self, RawJson};
use crate::tables::{self, TO_DEVICE, TRANSACTIONS};

/// One message in the queue of a device.
#[derive(Clone, Debug)]
pub struct ToDeviceRow {
    /// The record that holds it; one record may hold several for the same device.
    pub offset: Offset,
    /// Who sent it.
    pub sender: String,
    /// The event type.
    pub event_type: String,
    /// The content.
    pub content: RawJson,
}

/// The messages for a device after `after`, up to and including `through`, oldest first.
///
/// At most `limit`, but never a part of those of one record: so the last row's offset is a position that skips nothing
/// (when the result has `limit` rows or more, there may be more after it).
pub fn to_device(
    reader: &dyn Read,
    user_id: &str,
    device_id: &str,
    after: Offset,
    through: Offset,
    limit: usize,
) -> Result<Vec<ToDeviceRow>, ViewError> {
    let mut places: Vec<(Offset, u32)> = Vec::new();
    let mut intact = true;
    scan_to_device(reader, user_id, device_id, after, through, &mut |_, place| {
        let Some(place) = place else {
            intact = false;
            return false;
        };
        let full = places.len() >= limit && places.last().is_some_and(|last| last.0 != place.0);
        if !full {
            places.push(place);
        }
        !full
    })?;
    if !intact {
        return Err(malformed(&TO_DEVICE));
    }
    let mut rows = Vec::with_capacity(places.len());
    // Messages of one record stand together: it is read once.
    for group in places.chunk_by(|left, right| left.0 == right.0) {
        let record = reader.record(group[0].0)?;
        // Received while this was being read, and erased at once.
        if record.state() == PayloadState::Gone {
            continue;
        }
        for (_, index) in group {
            rows.push(message(&record, *index).ok_or_else(|| malformed(&TO_DEVICE))?);
        }
    }
    Ok(rows)
}

fn message(record: &Record, index: u32) -> Option<ToDeviceRow> {
    let Ok(InputRef::ToDeviceSent(sent)) = record.input() else {
        return None;
    };
    Some(ToDeviceRow {
        offset: record.offset,
        sender: sent.sender.as_str().to_owned(),
        event_type: sent.event_type.as_str().to_owned(),
        content: json::from_bytes(&sent.messages.get(index as usize)?.content)?,
    })
}

/// Sees the key of a row and the message's place; whether to go on.
type VisitQueued<'a> = dyn FnMut(&[u8], Option<(Offset, u32)>) -> bool + 'a;

/// Visits the queue of a device in order: the row's key, and its record and index there. Goes on while the visitor says
/// so.
pub(crate) fn scan_to_device(
    reader: &dyn Read,
    user_id: &str,
    device_id: &str,
    after: Offset,
    through: Offset,
    visit: &mut VisitQueued<'_>,
) -> Result<(), ViewError> {
    if after >= through {
        return Ok(());
    }
    let prefix = tables::of_device(user_id, device_id);
    // A message has more than the offset in its key, so the bounds lie between offsets.
    let (from, to) = (prefix.clone().offset(after.next()), prefix.clone().number(through.0.saturating_add(1)));
    reader.scan(&TO_DEVICE, Bound::Included(&from), Bound::Excluded(&to), false, &mut |key, _| {
        let mut parts = Parts(&key[prefix.len()..]);
        let place = parts.offset().zip(parts.index());
        if visit(key, place) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })
}

/// Whether a device has sent a transaction before.
pub(crate) fn transaction_seen(
    reader: &dyn Read,
    user_id: &str,
    device_id: &str,
    event_type: &str,
    transaction_id: &str,
) -> Result<bool, ViewError> {
    let mut seen = false;
    let prefix = tables::transaction(user_id, device_id, event_type, transaction_id);
    reader.scan_prefix(&TRANSACTIONS, &prefix, &mut |_, _| {
        seen = true;
        ControlFlow::Break(())
    })?;
    Ok(seen)
}
