//! Single events: where they are, what was decided about them, and their bodies.

use std::sync::Arc;

use engram_log::{InputRef, Offset, ReadError, Record};
use engram_log_format::v1;
use engram_matrix::pdu::{Pdu, PduError};
use engram_matrix::room_version::RoomVersion;
use engram_views::{Read, ViewError};

use super::{EventMeta, StoredEvent};
use crate::codec::{names_key, room_offset_key};
use crate::rows;
use crate::tables::{ENDED_DEVICES, EVENT_IDS, EVENTS, REASONS, TRANSACTIONS};
use crate::types::RoomNumber;

/// Where an event is.
pub fn locate(reader: &dyn Read, event_id: &str) -> Result<Option<(RoomNumber, Offset)>, ViewError> {
    let row = reader.get(&EVENT_IDS, &rows::event_id_key(event_id))?;
    row.map(|row| rows::decode_place(EVENT_IDS.name, &row)).transpose()
}

/// The row of an event.
pub fn meta(reader: &dyn Read, room: RoomNumber, offset: Offset) -> Result<Option<EventMeta>, ViewError> {
    Ok(placed(reader, room, offset)?.map(|(_, meta)| meta))
}

/// The row of an event with the position that is the event's now: one that was kept apart first may have another than
/// it had. States from that time name the first.
pub fn placed(reader: &dyn Read, room: RoomNumber, offset: Offset) -> Result<Option<(Offset, EventMeta)>, ViewError> {
    let Some(row) = reader.get(&EVENTS, &room_offset_key(room, offset))? else { return Ok(None) };
    if let Some(meta) = rows::decode_meta(offset, &row)? {
        return Ok(Some((offset, meta)));
    }
    let Some(now) = rows::decode_moved(&row)? else { return Ok(None) };
    let Some(row) = reader.get(&EVENTS, &room_offset_key(room, now))? else { return Ok(None) };
    Ok(rows::decode_meta(now, &row)?.map(|meta| (now, meta)))
}

/// Whether a redaction has taken an event's content away.
pub fn is_redacted(reader: &dyn Read, event: &Pdu) -> Result<bool, ViewError> {
    let Some((room, offset)) = locate(reader, event.event_id.as_str())? else { return Ok(false) };
    Ok(meta(reader, room, offset)?.is_some_and(|meta| meta.redacted_by.is_some()))
}

/// Why an event was rejected, soft-failed or kept apart, in words; none for an accepted one.
pub fn reason(reader: &dyn Read, room: RoomNumber, offset: Offset) -> Result<Option<String>, ViewError> {
    let row = reader.get(&REASONS, &room_offset_key(room, offset))?;
    Ok(row.map(|row| String::from_utf8_lossy(&row).into_owned()))
}

/// An event with its body.
pub fn event(reader: &dyn Read, room: RoomNumber, offset: Offset) -> Result<Option<StoredEvent>, ViewError> {
    let Some((offset, meta)) = placed(reader, room, offset)? else { return Ok(None) };
    let record = reader.record(offset)?;
    let archived = archived(&record)?;
    let transaction = archived.transaction.as_ref().map(|transaction| {
        (
            transaction.user_id.as_str().to_owned(),
            transaction.device_id.as_str().to_owned(),
            transaction.transaction_id.as_str().to_owned(),
        )
    });
    let pdu = Arc::new(parse(archived).map_err(|error| damaged(offset, &error))?);
    Ok(Some(StoredEvent { room, offset, meta, pdu, transaction }))
}

/// Just the body of an event, parsed, by its offset: as it was received, for the rules. What is shown is
/// [`super::presented_at`].
pub fn pdu(reader: &dyn Read, offset: Offset) -> Result<Arc<Pdu>, ViewError> {
    let record = reader.record(offset)?;
    parse(archived(&record)?).map(Arc::new).map_err(|error| damaged(offset, &error))
}

/// The ID of the event at an offset, without parsing it.
pub fn event_id(reader: &dyn Read, offset: Offset) -> Result<Box<str>, ViewError> {
    Ok(archived(&reader.record(offset)?)?.event_id.as_str().into())
}

/// A transaction with all of its scope: the same ID of the same device at another endpoint is another transaction
/// (API-11, API-12).
///
/// The endpoint is told by what it makes: by the room and the type, and for redactions by their target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionScope<'a> {
    /// The user.
    pub user_id: &'a str,
    /// The device.
    pub device_id: &'a str,
    /// The ID that the client chose.
    pub transaction_id: &'a str,
    /// The room.
    pub room_id: &'a str,
    /// The type of the event.
    pub event_type: &'a str,
    /// For a redaction: its target.
    pub redacts: Option<&'a str>,
}

impl TransactionScope<'_> {
    pub(crate) fn key(&self) -> Vec<u8> {
        let target = self.redacts.unwrap_or_default();
        names_key(&[self.user_id, self.device_id, self.room_id, self.event_type, target, self.transaction_id])
    }
}

/// The event that a transaction made, as long as there is the device.
pub fn transaction(reader: &dyn Read, scope: &TransactionScope<'_>) -> Result<Option<Offset>, ViewError> {
    let Some(row) = reader.get(&TRANSACTIONS, &scope.key())? else { return Ok(None) };
    let made = rows::decode_offset(TRANSACTIONS.name, &row)?;
    let ended = reader.get(&ENDED_DEVICES, &names_key(&[scope.user_id, scope.device_id]))?;
    let ended = ended.map(|row| rows::decode_offset(ENDED_DEVICES.name, &row)).transpose()?;
    Ok(Some(made).filter(|made| ended.is_none_or(|ended| ended < *made)))
}

/// Why the payload of a PDU record is no event.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadRecord {
    /// The room version is not one that this server speaks.
    #[error("unknown room version {0:?}")]
    Version(String),
    /// The bytes are not an event.
    #[error(transparent)]
    Pdu(#[from] PduError),
}

/// The event in a record.
pub(crate) fn parse(archived: &v1::ArchivedInput<v1::Pdu>) -> Result<Pdu, BadRecord> {
    let version = archived.room_version.as_str();
    let version = RoomVersion::parse(version).ok_or_else(|| BadRecord::Version(version.to_owned()))?;
    Ok(Pdu::parse(version, &archived.event_id, &archived.room_id, archived.json.as_slice())?)
}

fn archived(record: &Record) -> Result<&v1::ArchivedInput<v1::Pdu>, ViewError> {
    match record.input() {
        Ok(InputRef::Pdu(pdu)) => Ok(pdu),
        Ok(_) => Err(damaged(record.offset, &"the record is no event")),
        Err(error) => Err(damaged(record.offset, &error)),
    }
}

/// The projector has read the event from this record before: that it no longer can means damage.
fn damaged(offset: Offset, what: &dyn std::fmt::Display) -> ViewError {
    ViewError::Log(ReadError::Damaged(format!("event at {offset}: {what}")))
}
