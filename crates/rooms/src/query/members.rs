//! Who is in a room, and in which rooms somebody is: by current state.

use std::ops::ControlFlow;

use engram_log::Offset;
use engram_views::{Read, ReadExt as _, ViewError};

use super::{Member, UserRoom, malformed};
use crate::codec::{room_name_key, user_room_key};
use crate::rows;
use crate::tables::{MEMBERS, USER_ROOMS};
use crate::types::{Membership, RoomNumber};

/// A user's current membership and the event that made it.
pub fn membership(
    reader: &dyn Read,
    room: RoomNumber,
    user_id: &str,
) -> Result<Option<(Membership, Offset)>, ViewError> {
    let row = reader.get(&MEMBERS, &room_name_key(room, user_id))?;
    row.map(|row| rows::decode_member(&row)).transpose()
}

/// Whether a user has forgotten a room since they left it: its history is no longer theirs to read.
pub fn has_forgotten(reader: &dyn Read, room: RoomNumber, user_id: &str) -> Result<bool, ViewError> {
    let row = reader.get(&USER_ROOMS, &user_room_key(user_id, room))?;
    Ok(row.map(|row| rows::decode_user_room(&row)).transpose()?.is_some_and(|(_, forgotten, _)| forgotten))
}

/// Every room in which a user has or had a membership.
pub fn rooms_of(reader: &dyn Read, user_id: &str) -> Result<Vec<UserRoom>, ViewError> {
    let mut prefix = user_id.as_bytes().to_vec();
    prefix.push(0);
    let decode = |key: &[u8], row: &[u8]| {
        let number = key[prefix.len()..].try_into().expect("the length was checked");
        let (membership, forgotten, event) = rows::decode_user_room(row)?;
        Ok(UserRoom { room: RoomNumber(u32::from_be_bytes(number)), membership, event, forgotten })
    };
    let mut rooms = Vec::new();
    let mut visit = |key: &[u8], row: &[u8]| {
        if key.len() == prefix.len() + 4 {
            rooms.push(decode(key, row));
        }
        ControlFlow::Continue(())
    };
    reader.scan_prefix(&USER_ROOMS, &prefix, &mut visit)?;
    rooms.into_iter().collect()
}

/// The rooms that a user has joined, in the order of their numbers; none if they have more than `rows_max` memberships,
/// former ones included.
pub fn joined_rooms(reader: &dyn Read, user_id: &str, rows_max: usize) -> Result<Option<Vec<RoomNumber>>, ViewError> {
    let mut prefix = user_id.as_bytes().to_vec();
    prefix.push(0);
    let (mut joined, mut rows) = (Vec::new(), 0);
    let mut visit = |key: &[u8], row: &[u8]| {
        if let Ok(number) = key[prefix.len()..].try_into() {
            rows += 1;
            let row = rows::decode_user_room(row);
            joined.push(row.map(|row| (row.0 == Membership::Join).then_some(RoomNumber(u32::from_be_bytes(number)))));
        }
        if rows > rows_max { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    reader.scan_prefix(&USER_ROOMS, &prefix, &mut visit)?;
    if rows > rows_max {
        return Ok(None);
    }
    let joined = joined.into_iter().filter_map(Result::transpose).collect::<Result<_, _>>()?;
    Ok(Some(joined))
}

/// The current members, by user ID; only those with one of the memberships, or all.
pub fn members(reader: &dyn Read, room: RoomNumber, only: Option<&[Membership]>) -> Result<Vec<Member>, ViewError> {
    let decode = |key: &[u8], row: &[u8]| {
        let (membership, event) = rows::decode_member(row)?;
        if only.is_some_and(|only| !only.contains(&membership)) {
            return Ok(None);
        }
        let user_id = std::str::from_utf8(&key[4..]).map_err(|_| malformed(&MEMBERS, "text is not UTF-8"))?;
        Ok(Some(Member { user_id: user_id.to_owned(), membership, event }))
    };
    let mut members = Vec::new();
    let mut visit = |key: &[u8], row: &[u8]| {
        members.extend(decode(key, row).transpose());
        ControlFlow::Continue(())
    };
    reader.scan_prefix(&MEMBERS, &room.0.to_be_bytes(), &mut visit)?;
    members.into_iter().collect()
}
