//! Which payloads have to go: those of redacted events, in whatever records they lie.
//!
//! The log replaces them by what [`redact::prune`] leaves, and on such a log this projector comes to the same verdicts
//! and, past the record of the erasure, to the same rows.

use crate::delta::Apply;
use engram_log::Offset;
use engram_log_format::v1;
use engram_matrix::pdu::Pdu;
use engram_matrix::redact;
use engram_matrix::room_version::RoomVersion;
use engram_views::ViewError;

use super::redactions::{offset_key, offsets_of};
use crate::tables::{COPIES, DUE};

/// Lists a redacted event and its copies.
pub(super) fn list(view: &mut Apply<'_>, offset: Offset, event: &Pdu) -> Result<(), ViewError> {
    if has_content(event.version(), event.json()) {
        DUE.add(view, offset)?;
    }
    for copy in offsets_of(view, &COPIES, event.event_id.as_str())? {
        view.remove(&COPIES, &offset_key(event.event_id.as_str(), copy));
        DUE.add(view, copy)?;
    }
    Ok(())
}

/// Notes that a record holds an event that another one stands for.
pub(super) fn note_copy(
    view: &mut Apply<'_>,
    copy: Offset,
    event: &Pdu,
    redacted_by: Option<Offset>,
) -> Result<(), ViewError> {
    let has_content = has_content(event.version(), event.json());
    if has_content && redacted_by.is_some() {
        DUE.add(view, copy)?;
    } else if has_content {
        view.put(&COPIES, &offset_key(event.event_id.as_str(), copy), &[]);
    }
    Ok(())
}

/// Strikes off what the log gives up.
pub(super) fn settle(view: &mut Apply<'_>, erased: &v1::ArchivedInput<v1::Erased>) -> Result<(), ViewError> {
    for record in erased.records.iter() {
        DUE.settle(view, Offset(record.offset.to_native()))?;
    }
    Ok(())
}

/// Whether a redaction takes anything from an event that the log need not keep.
fn has_content(version: &RoomVersion, json: &[u8]) -> bool {
    redact::prune(version, json).is_ok_and(|pruned| pruned != json)
}
