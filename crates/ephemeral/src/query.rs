//! Reading receipts.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use engram_base::{Key, Parts};
use engram_log::{Offset, TimestampMs};
use engram_views::{Read, ReadExt, Table, ViewError};
use serde_json::value::RawValue;

use crate::tables::{self, RECEIPT_CHANGES, RECEIPTS};

/// The type of public receipts.
pub const READ: &str = "m.read";
/// The type of receipts that only their owner sees.
pub const READ_PRIVATE: &str = "m.read.private";

/// A receipt: how far somebody has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Who.
    pub user_id: String,
    /// `m.read` or `m.read.private`.
    pub receipt_type: String,
    /// The thread, or none for an unthreaded receipt.
    pub thread_id: Option<String>,
    /// The event.
    pub event_id: String,
    /// When.
    pub at: TimestampMs,
    /// The record.
    pub offset: Offset,
}

impl Receipt {
    fn decode(user_id: &str, receipt_type: &str, thread_id: Option<&str>, row: &[u8]) -> Option<Self> {
        let mut parts = Parts(row);
        Some(Self {
            user_id: user_id.to_owned(),
            receipt_type: receipt_type.to_owned(),
            thread_id: thread_id.map(str::to_owned),
            event_id: parts.text()?.to_owned(),
            at: TimestampMs(parts.number()?),
            offset: parts.offset()?,
        })
    }
}

/// One receipt.
pub fn receipt(
    reader: &dyn Read,
    room_id: &str,
    user_id: &str,
    receipt_type: &str,
    thread_id: Option<&str>,
) -> Result<Option<Receipt>, ViewError> {
    let key = tables::receipt(room_id, user_id, receipt_type, thread_id);
    let Some(row) = reader.get(&RECEIPTS, &key)? else { return Ok(None) };
    let receipt = Receipt::decode(user_id, receipt_type, thread_id, &row);
    receipt.map(Some).ok_or_else(|| malformed(&RECEIPTS))
}

/// The latest receipts of a user in a room: public and private, of all threads. For notification counts.
pub fn receipts_of(reader: &dyn Read, room_id: &str, user_id: &str) -> Result<Vec<Receipt>, ViewError> {
    let prefix = Key::new().text(room_id).text(user_id);
    let mut receipts = Some(Vec::new());
    reader.scan_prefix(&RECEIPTS, &prefix, &mut |key, row| {
        let mut parts = Parts(&key[prefix.len()..]);
        let place = parts.text().zip(parts.optional_text());
        let receipt =
            place.and_then(|(receipt_type, thread_id)| Receipt::decode(user_id, receipt_type, thread_id, row));
        match (receipts.as_mut(), receipt) {
            (Some(receipts), Some(receipt)) => receipts.push(receipt),
            _ => receipts = None,
        }
        ControlFlow::Continue(())
    })?;
    receipts.ok_or_else(|| malformed(&RECEIPTS))
}

/// The receipts of a room that moved after `since`, up to and including `through`, in the order of their moves. Private
/// ones only if they are `viewer`'s.
pub fn receipts_changed(
    reader: &dyn Read,
    room_id: &str,
    viewer: &str,
    since: Offset,
    through: Offset,
) -> Result<Vec<Receipt>, ViewError> {
    if since >= through {
        return Ok(Vec::new());
    }
    let mut changed = Some(Vec::new());
    let (from, to) = (tables::change(room_id, since), tables::change(room_id, through));
    reader.scan(&RECEIPT_CHANGES, Bound::Excluded(&from), Bound::Included(&to), false, &mut |_, row| {
        let mut parts = Parts(row);
        match (changed.as_mut(), parts.text(), parts.text(), parts.optional_text()) {
            (Some(changed), Some(user_id), Some(receipt_type), Some(thread_id)) => {
                if receipt_type != READ_PRIVATE || user_id == viewer {
                    changed.push((user_id.to_owned(), receipt_type.to_owned(), thread_id.map(str::to_owned)));
                }
            }
            _ => changed = None,
        }
        ControlFlow::Continue(())
    })?;
    let mut receipts = Vec::new();
    for (user_id, receipt_type, thread_id) in changed.ok_or_else(|| malformed(&RECEIPT_CHANGES))? {
        let receipt = receipt(reader, room_id, &user_id, &receipt_type, thread_id.as_deref())?;
        receipts.push(receipt.ok_or_else(|| malformed(&RECEIPT_CHANGES))?);
    }
    Ok(receipts)
}

/// [`receipts_changed`] as the contents of `m.receipt` events; none if nothing moved.
pub fn receipts_since(
    reader: &dyn Read,
    room_id: &str,
    viewer: &str,
    since: Offset,
    through: Offset,
) -> Result<Vec<Box<RawValue>>, ViewError> {
    Ok(contents(&receipts_changed(reader, room_id, viewer, since, through)?))
}

#[derive(serde::Serialize)]
struct ReceiptContent<'a> {
    ts: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread_id: Option<&'a str>,
}

/// The content of an `m.receipt` event: event → type → user → receipt.
type Content<'a> = BTreeMap<&'a str, BTreeMap<&'a str, BTreeMap<&'a str, ReceiptContent<'a>>>>;

/// Receipts as contents of events. A content has no place for two receipts of a user at one event that differ in the
/// thread alone: the first goes into the first content, the second into the second (EPH-03, EPH-07).
fn contents(receipts: &[Receipt]) -> Vec<Box<RawValue>> {
    let mut contents: Vec<Content<'_>> = Vec::new();
    let mut there: BTreeMap<(&str, &str, &str), usize> = BTreeMap::new();
    for receipt in receipts {
        let (event_id, receipt_type, user_id) = (&*receipt.event_id, &*receipt.receipt_type, &*receipt.user_id);
        let count = there.entry((event_id, receipt_type, user_id)).or_default();
        if *count == contents.len() {
            contents.push(Content::new());
        }
        let by_type = contents[*count].entry(event_id).or_default();
        let shown = ReceiptContent { ts: receipt.at.0, thread_id: receipt.thread_id.as_deref() };
        let displaced = by_type.entry(receipt_type).or_default().insert(user_id, shown);
        assert!(displaced.is_none(), "each receipt has a place of its own");
        *count += 1;
    }
    let text = |content| serde_json::value::to_raw_value(content).expect("maps with string keys have a text");
    contents.iter().map(text).collect()
}

fn malformed(table: &Table) -> ViewError {
    ViewError::Row { table: table.name, what: "it does not decode" }
}
