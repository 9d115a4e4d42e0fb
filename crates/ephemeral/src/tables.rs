//! The tables of the receipts' view, with their encodings.
//!
//! Parts of keys and rows are written as [`engram_base::parts`] says.

use engram_base::Key;
use engram_log::Offset;
use engram_views::Table;

/// room, user, receipt type (texts), thread (optional text) → event (text), time (number), offset of the record.
pub static RECEIPTS: Table = Table::new(64, "ephemeral.receipts");

/// room (text), offset of the record → user, receipt type (texts), thread (optional text). One row for each row of
/// `receipts`.
pub static RECEIPT_CHANGES: Table = Table::new(65, "ephemeral.receipt_changes");

/// All tables, in the order of their numbers.
pub static ALL: &[&Table] = &[&RECEIPTS, &RECEIPT_CHANGES];

pub(crate) fn receipt(room_id: &str, user_id: &str, receipt_type: &str, thread_id: Option<&str>) -> Key {
    Key::new().text(room_id).text(user_id).text(receipt_type).optional_text(thread_id)
}

pub(crate) fn change(room_id: &str, offset: Offset) -> Key {
    Key::new().text(room_id).offset(offset)
}
