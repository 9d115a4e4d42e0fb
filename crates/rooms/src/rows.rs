//! The rows of [`crate::tables`] as values.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use engram_log::Offset;
use engram_views::ViewError;

use crate::codec::{Reader, put_bytes, put_varint};
use crate::extremities::parents;
use crate::projector::Unresolved;
use crate::query::{EventMeta, Extremity, Head, Owed, Place, Verdict};
use crate::state::Root;
use crate::tables;
use crate::types::{Membership, RoomNumber};

/// An event ID as a key: 0x00 and the 32 bytes of the hash, or 0x01 and the text.
///
/// Only what decodes and encodes to the very same text becomes a hash: the key stands for one ID.
pub(crate) fn event_id_key(event_id: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(34);
    key.push(0);
    if let Some(hash) = event_id.strip_prefix('$').filter(|hash| hash.len() == 43)
        && URL_SAFE_NO_PAD.decode_vec(hash, &mut key).is_ok()
    {
        assert_eq!(key.len(), 33, "43 base64 characters are 32 bytes");
        return key;
    }
    key.clear();
    key.push(1);
    key.extend_from_slice(event_id.as_bytes());
    key
}

/// Eight bytes that nearly always tell an event ID from another.
pub(crate) fn event_id_mark(event_id: &str) -> [u8; 8] {
    let mut mark = [0; 8];
    blake3::Hasher::new().update(event_id.as_bytes()).finalize_xof().fill(&mut mark);
    mark
}

/// The inverse of [`event_id_key`].
fn event_id_of_key(reader: &Reader<'_>, key: &[u8]) -> Result<String, ViewError> {
    match key.split_first() {
        Some((0, hash)) => {
            let mut event_id = String::with_capacity(44);
            event_id.push('$');
            URL_SAFE_NO_PAD.encode_string(hash, &mut event_id);
            Ok(event_id)
        }
        Some((1, text)) => String::from_utf8(text.to_vec()).map_err(|_| reader.error("an event ID is not UTF-8")),
        _ => Err(reader.error("an event ID has an unknown form")),
    }
}

pub(crate) fn encode_head(head: &Head) -> Vec<u8> {
    let mut row = Vec::with_capacity(96);
    row.extend_from_slice(&head.state.0);
    for number in [head.latest.0, head.latest_state.0, head.joined, head.invited, head.extremities.len() as u64] {
        put_varint(&mut row, number);
    }
    for extremity in &head.extremities {
        put_extremity(&mut row, extremity);
    }
    for number in [head.owed.current, head.owed.joins, head.put_off] {
        put_varint(&mut row, number);
    }
    // Mostly the next event follows what the extremities say.
    let is_usual = parents(&head.extremities).into_iter().map(|at| &head.extremities[at]).eq(&head.next);
    let next: &[Extremity] = if is_usual { &[] } else { &head.next };
    put_varint(&mut row, next.len() as u64);
    for extremity in next {
        put_extremity(&mut row, extremity);
    }
    row
}

fn put_extremity(row: &mut Vec<u8>, extremity: &Extremity) {
    put_varint(row, extremity.offset.0);
    put_varint(row, extremity.depth);
    put_bytes(row, &event_id_key(&extremity.event_id));
}

fn extremity(reader: &mut Reader<'_>) -> Result<Extremity, ViewError> {
    let (offset, depth) = (reader.offset()?, reader.varint()?);
    let key = reader.bytes()?;
    let event_id = event_id_of_key(reader, key)?;
    Ok(Extremity { offset, event_id, depth })
}

pub(crate) fn decode_head(row: &[u8]) -> Result<Head, ViewError> {
    let mut reader = Reader::new(tables::HEADS.name, row);
    let mut head = Head {
        state: Root(reader.array()?),
        latest: reader.offset()?,
        latest_state: reader.offset()?,
        joined: reader.varint()?,
        invited: reader.varint()?,
        extremities: Vec::new(),
        next: Vec::new(),
        owed: Owed::default(),
        put_off: 0,
    };
    for _ in 0..reader.varint()? {
        head.extremities.push(extremity(&mut reader)?);
    }
    head.owed = Owed { current: reader.varint()?, joins: reader.varint()? };
    head.put_off = reader.varint()?;
    for _ in 0..reader.varint()? {
        head.next.push(extremity(&mut reader)?);
    }
    if head.next.is_empty() {
        head.next = parents(&head.extremities).into_iter().map(|at| head.extremities[at].clone()).collect();
    }
    Ok(head)
}

/// The position of the last change of current state, if the room has one branch only: then the table `roots` holds
/// the current state there, and events with that state see the current members.
pub(crate) fn decode_head_latest_state(row: &[u8]) -> Result<Option<Offset>, ViewError> {
    let mut reader = Reader::new(tables::HEADS.name, row);
    reader.take(32)?;
    let (_latest, latest_state) = (reader.offset()?, reader.offset()?);
    let (_joined, _invited) = (reader.varint()?, reader.varint()?);
    Ok((reader.varint()? == 1).then_some(latest_state))
}

/// The current state, and since when it has been that.
pub(crate) fn decode_head_state(row: &[u8]) -> Result<(Root, Offset), ViewError> {
    let mut reader = Reader::new(tables::HEADS.name, row);
    let state = Root(reader.array()?);
    let _latest = reader.offset()?;
    Ok((state, reader.offset()?))
}

const IS_STATE: u8 = 1 << 2;
const IS_REDACTED: u8 = 1 << 3;
const IS_WITHHELD: u8 = 1 << 4;
const STATE_IS_RESOLVED: u8 = 1 << 5;
const IS_PAST: u8 = 1 << 6;
const IS_APART: u8 = 1 << 7;
/// All flags at once, which no event has: the event has a place now, under another offset.
const IS_MOVED: u8 = u8::MAX;

/// Flags, depth, distance back to `state_before`, then the redaction if there is one, and the anchor of an event of the
/// past.
pub(crate) fn encode_meta(offset: Offset, meta: &EventMeta) -> Vec<u8> {
    assert!(meta.state_before <= offset, "the state before an event comes from before it");
    let flag = |on: bool, bit: u8| if on { bit } else { 0 };
    let mut row = Vec::with_capacity(12);
    row.push(
        meta.verdict as u8
            | flag(meta.is_state, IS_STATE)
            | flag(meta.redacted_by.is_some(), IS_REDACTED)
            | flag(meta.is_withheld, IS_WITHHELD)
            | flag(meta.state_is_resolved, STATE_IS_RESOLVED)
            | flag(matches!(meta.place, Place::Past(_)), IS_PAST)
            | flag(meta.place == Place::Apart, IS_APART),
    );
    assert!(row[0] != IS_MOVED, "no event is everything at once");
    put_varint(&mut row, meta.depth);
    put_varint(&mut row, offset.0 - meta.state_before.0);
    if let Some(redaction) = meta.redacted_by {
        put_varint(&mut row, redaction.0);
    }
    if let Place::Past(anchor) = meta.place {
        put_varint(&mut row, anchor.unwrap_or(Offset::ZERO).0);
    }
    row
}

/// The row in the place of an event that was kept apart, and has its place under a later offset now.
pub(crate) fn encode_moved(to: Offset) -> Vec<u8> {
    let mut row = vec![IS_MOVED];
    put_varint(&mut row, to.0);
    row
}

/// Where the event of this row has its place, if that is elsewhere.
pub(crate) fn decode_moved(row: &[u8]) -> Result<Option<Offset>, ViewError> {
    let mut reader = Reader::new(tables::EVENTS.name, row);
    if reader.byte()? == IS_MOVED { reader.offset().map(Some) } else { Ok(None) }
}

/// The row of an event; none if it has its place elsewhere.
pub(crate) fn decode_meta(offset: Offset, row: &[u8]) -> Result<Option<EventMeta>, ViewError> {
    let mut reader = Reader::new(tables::EVENTS.name, row);
    let flags = reader.byte()?;
    if flags == IS_MOVED {
        return Ok(None);
    }
    let depth = reader.varint()?;
    let distance = reader.varint()?;
    let state_before = offset.0.checked_sub(distance).ok_or(reader.error("a distance exceeds the offset"))?;
    let mut meta = EventMeta {
        verdict: match flags & 3 {
            0 => Verdict::Accepted,
            1 => Verdict::SoftFailed,
            2 => Verdict::Rejected,
            _ => Verdict::Outlier,
        },
        is_state: flags & IS_STATE != 0,
        depth,
        state_before: Offset(state_before),
        state_is_resolved: flags & STATE_IS_RESOLVED != 0,
        redacted_by: if flags & IS_REDACTED == 0 { None } else { Some(reader.offset()?) },
        is_withheld: flags & IS_WITHHELD != 0,
        place: if flags & IS_APART == 0 { Place::Live } else { Place::Apart },
    };
    if flags & IS_PAST != 0 {
        let anchor = reader.offset()?;
        meta.place = Place::Past((anchor != Offset::ZERO).then_some(anchor));
    }
    Ok(Some(meta))
}

/// Room number and offset: where an event is.
pub(crate) fn encode_place(room: RoomNumber, offset: Offset) -> Vec<u8> {
    let mut row = Vec::with_capacity(10);
    put_varint(&mut row, u64::from(room.0));
    put_varint(&mut row, offset.0);
    row
}

pub(crate) fn decode_place(table: &'static str, row: &[u8]) -> Result<(RoomNumber, Offset), ViewError> {
    let mut reader = Reader::new(table, row);
    Ok((RoomNumber(reader.varint32()?), reader.offset()?))
}

/// An offset alone.
pub(crate) fn encode_offset(offset: Offset) -> Vec<u8> {
    let mut row = Vec::with_capacity(5);
    put_varint(&mut row, offset.0);
    row
}

pub(crate) fn decode_offset(table: &'static str, row: &[u8]) -> Result<Offset, ViewError> {
    Reader::new(table, row).offset()
}

/// Room number and an event's ID: missing events, states that were given.
pub(crate) fn room_event_key(room: RoomNumber, event_id: &str) -> Vec<u8> {
    let mut key = room.0.to_be_bytes().to_vec();
    key.extend_from_slice(&event_id_key(event_id));
    key
}

/// The anchor of a missing event.
pub(crate) fn encode_anchor(anchor: Offset) -> Vec<u8> {
    let mut row = Vec::with_capacity(5);
    put_varint(&mut row, anchor.0);
    row
}

/// A missing event and its anchor.
pub(crate) fn decode_missing(key: &[u8], row: &[u8]) -> Result<(String, Offset), ViewError> {
    let mut reader = Reader::new(tables::MISSING.name, row);
    let event = key.get(4..).ok_or(reader.error("the key is too short"))?;
    Ok((event_id_of_key(&reader, event)?, reader.offset()?))
}

/// A state that was given, and whether the room begins anew with it.
pub(crate) fn encode_given(root: Root, anew: bool) -> Vec<u8> {
    let mut row = root.0.to_vec();
    row.push(u8::from(anew));
    row
}

pub(crate) fn decode_given(row: &[u8]) -> Result<(Root, bool), ViewError> {
    let mut reader = Reader::new(tables::GIVEN_STATES.name, row);
    Ok((Root(reader.array()?), reader.byte()? != 0))
}

/// Why the states before an event were not resolved, and what the room owed.
pub(crate) fn encode_unresolved(why: Unresolved, owed: u64) -> Vec<u8> {
    let mut row = vec![match why {
        Unresolved::Owing => 0,
        Unresolved::TooMuch => 1,
    }];
    put_varint(&mut row, owed);
    row
}

pub(crate) fn decode_unresolved(row: &[u8]) -> Result<(Unresolved, u64), ViewError> {
    let mut reader = Reader::new(tables::UNRESOLVED.name, row);
    let why = match reader.byte()? {
        0 => Unresolved::Owing,
        1 => Unresolved::TooMuch,
        _ => return Err(reader.error("an unknown reason")),
    };
    Ok((why, reader.varint()?))
}

/// Membership, the mark of a forgotten room if the table has one, and the member event.
pub(crate) fn encode_membership(membership: Membership, forgotten: Option<bool>, event: Offset) -> Vec<u8> {
    let mut row = Vec::with_capacity(8);
    row.push(membership_byte(membership));
    row.extend(forgotten.map(u8::from));
    put_varint(&mut row, event.0);
    row
}

pub(crate) fn decode_member(row: &[u8]) -> Result<(Membership, Offset), ViewError> {
    let mut reader = Reader::new(tables::MEMBERS.name, row);
    Ok((decode_membership(&mut reader)?, reader.offset()?))
}

pub(crate) fn decode_user_room(row: &[u8]) -> Result<(Membership, bool, Offset), ViewError> {
    let mut reader = Reader::new(tables::USER_ROOMS.name, row);
    Ok((decode_membership(&mut reader)?, reader.byte()? != 0, reader.offset()?))
}

fn decode_membership(reader: &mut Reader<'_>) -> Result<Membership, ViewError> {
    let byte = reader.byte()?;
    MEMBERSHIPS.get(usize::from(byte)).copied().ok_or_else(|| reader.error("an unknown membership"))
}

/// Memberships by the byte that stands for them in rows.
const MEMBERSHIPS: [Membership; 5] =
    [Membership::Ban, Membership::Invite, Membership::Join, Membership::Knock, Membership::Leave];

const fn membership_byte(membership: Membership) -> u8 {
    match membership {
        Membership::Ban => 0,
        Membership::Invite => 1,
        Membership::Join => 2,
        Membership::Knock => 3,
        Membership::Leave => 4,
    }
}

/// The key of an event among those of its room by the time that they name.
pub(crate) fn time_key(room: RoomNumber, origin_server_ts: u64, offset: Offset) -> [u8; 20] {
    let mut key = [0; 20];
    key[..4].copy_from_slice(&room.0.to_be_bytes());
    key[4..12].copy_from_slice(&origin_server_ts.to_be_bytes());
    key[12..].copy_from_slice(&offset.to_be_bytes());
    key
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn memberships_and_their_bytes_stand_for_each_other() {
        for (byte, membership) in (0..).zip(MEMBERSHIPS) {
            assert_eq!(membership_byte(membership), byte);
        }
    }

    #[test]
    fn an_event_id_and_its_key_stand_for_each_other() {
        let reader = Reader::new("test", &[]);
        let check = |event_id: &str, length: usize| {
            let key = event_id_key(event_id);
            assert_eq!(key.len(), length, "{event_id}");
            assert_eq!(event_id_of_key(&reader, &key).unwrap(), event_id);
        };
        check("$2TO4SBwd6lbWF5Y8kmRgY-4i0lqQTe4vtYuT-Z0w_8s", 33);
        // Version 3's alphabet, trailing bits that are lost in decoding, and version 1.
        check("$2TO4SBwd6lbWF5Y8kmRgY+4i0lqQTe4vtYuT+Z0w/8s", 45);
        check("$2TO4SBwd6lbWF5Y8kmRgY-4i0lqQTe4vtYuT-Z0w_8t", 45);
        check("$143273582443PhrSn:example.org", 31);
    }

    proptest! {
        #[test]
        fn rows_of_events_round_trip(
            offset in 1u64..1 << 50, back: u64, depth: u64, flags in 0u8..4, marks: (bool, bool, bool),
            redaction: Option<u64>, place in 0u8..4, anchor in 1u64..,
        ) {
            let verdicts = [Verdict::Accepted, Verdict::SoftFailed, Verdict::Rejected, Verdict::Outlier];
            let meta = EventMeta {
                verdict: verdicts[usize::from(flags)],
                is_state: marks.0,
                depth,
                state_before: Offset(back % (offset + 1)),
                state_is_resolved: marks.1,
                redacted_by: redaction.map(Offset),
                is_withheld: marks.2,
                place: match place {
                    0 => Place::Live,
                    1 => Place::Past(None),
                    2 => Place::Past(Some(Offset(anchor))),
                    _ => Place::Apart,
                },
            };
            let row = encode_meta(Offset(offset), &meta);
            prop_assert_eq!(decode_moved(&row).unwrap(), None);
            prop_assert_eq!(decode_meta(Offset(offset), &row).unwrap(), Some(meta));
            let moved = encode_moved(Offset(anchor));
            prop_assert_eq!(decode_moved(&moved).unwrap(), Some(Offset(anchor)));
            prop_assert_eq!(decode_meta(Offset(offset), &moved).unwrap(), None);
        }
    }
}
