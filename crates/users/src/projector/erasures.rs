//! Which payloads may go: messages to devices once nobody waits for them any more, and what a user has told the server
//! of themselves once they have closed the account and asked for erasure.
//!
//! Past the record of an erasure the rows are those that a log makes from which the payloads are gone.

use crate::delta::Apply;
use engram_base::{Key, Parts};
use engram_log::Offset;
use engram_log_format::v1::{ArchivedInput, Erased};
use engram_views::{Read as _, ViewError};

use super::keys_with_prefix;
use crate::tables::{self, DUE_MESSAGES, DUE_PERSONAL, PERSONAL, TO_DEVICE, TO_DEVICE_RECORDS, TRANSACTIONS};

/// Notes a record that holds something personal.
pub(super) fn note_personal(view: &mut Apply<'_>, user_id: &str, at: Offset) {
    view.put(&PERSONAL, &tables::of_user(user_id).offset(at), &[]);
}

/// Lists everything that was noted of a user.
pub(super) fn list_personal(view: &mut Apply<'_>, user_id: &str) -> Result<(), ViewError> {
    let prefix = tables::of_user(user_id);
    for key in keys_with_prefix(&*view, &PERSONAL, &prefix)? {
        view.remove(&PERSONAL, &key);
        let malformed = ViewError::Row { table: PERSONAL.name, what: "a key does not end with an offset" };
        DUE_PERSONAL.add(view, Parts(&key[prefix.len()..]).offset().ok_or(malformed)?)?;
    }
    Ok(())
}

/// Notes how many of a record's messages are queued, and the key of its transaction.
pub(super) fn note_messages(
    view: &mut Apply<'_>,
    at: Offset,
    queued: u32,
    transaction: Option<&[u8]>,
) -> Result<(), ViewError> {
    put_record(view, at, queued, transaction.unwrap_or_default());
    if queued == 0 { DUE_MESSAGES.add(view, at) } else { Ok(()) }
}

/// One of a record's messages has been received, or its receiver is gone.
pub(super) fn message_gone(view: &mut Apply<'_>, record: Offset) -> Result<(), ViewError> {
    let Some((queued, transaction)) = record_row(view, record)? else { return Ok(()) };
    assert!(queued > 0, "a message that leaves a queue was counted");
    put_record(view, record, queued - 1, &transaction);
    if queued == 1 { DUE_MESSAGES.add(view, record) } else { Ok(()) }
}

/// Strikes off what the log gives up.
pub(super) fn settle(view: &mut Apply<'_>, erased: &ArchivedInput<Erased>) -> Result<(), ViewError> {
    for record in erased.records.iter() {
        let at = Offset(record.offset.to_native());
        DUE_MESSAGES.settle(view, at)?;
        DUE_PERSONAL.settle(view, at)?;
        if record.replacement.is_none() {
            forget_messages(view, at)?;
        }
    }
    Ok(())
}

/// Of a record of messages that is gone nothing stays, neither the transaction nor what is queued still.
fn forget_messages(view: &mut Apply<'_>, record: Offset) -> Result<(), ViewError> {
    let Some((queued, transaction)) = record_row(view, record)? else { return Ok(()) };
    view.remove(&TO_DEVICE_RECORDS, &record.to_be_bytes());
    if !transaction.is_empty() {
        view.remove(&TRANSACTIONS, &[&transaction[..], &record.to_be_bytes()].concat());
    }
    if queued > 0 {
        // Nobody erases what is queued in the ordinary course; so finding it may take its time.
        for key in keys_with_prefix(&*view, &TO_DEVICE, &[])? {
            // Key: user, device, offset, index.
            let at = key.len().checked_sub(12).map(|start| &key[start..start + 8]);
            if at == Some(&record.to_be_bytes()[..]) {
                view.remove(&TO_DEVICE, &key);
            }
        }
    }
    Ok(())
}

fn put_record(view: &mut Apply<'_>, at: Offset, queued: u32, transaction: &[u8]) {
    let mut row = Key::new().index(queued).to_vec();
    row.extend_from_slice(transaction);
    view.put(&TO_DEVICE_RECORDS, &at.to_be_bytes(), &row);
}

fn record_row(view: &Apply<'_>, at: Offset) -> Result<Option<(u32, Vec<u8>)>, ViewError> {
    let Some(row) = view.get(&TO_DEVICE_RECORDS, &at.to_be_bytes())? else { return Ok(None) };
    let malformed = ViewError::Row { table: TO_DEVICE_RECORDS.name, what: "a count is missing" };
    let (count, transaction) = row.split_first_chunk::<4>().ok_or(malformed)?;
    Ok(Some((u32::from_be_bytes(*count), transaction.to_vec())))
}
