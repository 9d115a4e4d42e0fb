//! The receipt server: the latest receipt of everybody.

use crate::delta::Apply;
use engram_base::Key;
use engram_log::{InputRef, Record};
use engram_log_format::v1::{ArchivedInput, ReceiptSent};
use engram_views::{ProjectError, Projector, Table, ViewError};

use crate::delta::EphemeralDelta;
use crate::{query, tables};

/// Receipts: a deterministic function of the journal.
///
/// A later record replaces an earlier one: that a receipt does not go backwards is the writer's decision, who knows the
/// room.
#[derive(Debug, Default)]
pub struct EphemeralProjector;

impl Projector for EphemeralProjector {
    type Delta = EphemeralDelta;

    fn name(&self) -> &'static str {
        "ephemeral"
    }

    fn version(&self) -> u32 {
        1
    }

    fn tables(&self) -> &'static [&'static Table] {
        tables::ALL
    }

    fn apply(&mut self, record: &Record, input: InputRef<'_>, view: &mut Apply<'_>) -> Result<(), ProjectError> {
        if let InputRef::ReceiptSent(sent) = input {
            receipt_sent(record, sent, view)?;
        }
        Ok(())
    }

    fn reset(&mut self) {}
}

fn receipt_sent(record: &Record, sent: &ArchivedInput<ReceiptSent>, view: &mut Apply<'_>) -> Result<(), ViewError> {
    let (room_id, user_id, receipt_type) = (sent.room_id.as_str(), sent.user_id.as_str(), sent.receipt_type.as_str());
    let thread_id = sent.thread_id.as_deref();
    if let Some(before) = query::receipt(&*view, room_id, user_id, receipt_type, thread_id)? {
        assert!(before.offset < record.offset, "records are applied in order");
        view.remove(&tables::RECEIPT_CHANGES, &tables::change(room_id, before.offset));
    }
    let row = Key::new().text(&sent.event_id).number(sent.at_ms.to_native()).offset(record.offset);
    view.put(&tables::RECEIPTS, &tables::receipt(room_id, user_id, receipt_type, thread_id), &row);
    let change = Key::new().text(user_id).text(receipt_type).optional_text(thread_id);
    view.put(&tables::RECEIPT_CHANGES, &tables::change(room_id, record.offset), &change);
    if view.is_live() {
        view.emit(EphemeralDelta::Receipt {
            room_id: room_id.to_owned(),
            user_id: user_id.to_owned(),
            private: receipt_type == query::READ_PRIVATE,
        });
    }
    Ok(())
}
