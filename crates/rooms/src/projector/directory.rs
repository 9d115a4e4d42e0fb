//! Aliases, published rooms, forgotten rooms; devices that are no more.

use std::sync::Arc;

use engram_log::Offset;
use engram_log_format::v1::{ArchivedInput, DevicesRemoved};
use engram_views::{Read as _, ViewError};

use crate::codec::{names_key, put_bytes, user_room_key};
use crate::delta::{Apply, RoomDelta};
use crate::limits::NAMES_BYTES_MAX;
use crate::query;
use crate::rows;
use crate::tables::{ALIASES, ENDED_DEVICES, PUBLISHED, ROOM_ALIASES, USER_ROOMS};
use crate::types::Membership;

/// Marks a room forgotten that the user has left; anything else is passed over.
pub(super) fn forget(view: &mut Apply<'_>, user_id: &str, room_id: &str) -> Result<(), ViewError> {
    let Some(room) = query::room(view, room_id)? else { return Ok(()) };
    let key = user_room_key(user_id, room.number);
    let Some(row) = view.get(&USER_ROOMS, &key)? else { return Ok(()) };
    let (membership, _, event) = rows::decode_user_room(&row)?;
    if !matches!(membership, Membership::Leave | Membership::Ban) {
        return Ok(());
    }
    view.put(&USER_ROOMS, &key, &rows::encode_membership(membership, Some(true), event));
    view.emit(RoomDelta::Forgotten { user_id: Arc::from(user_id), room: room.number });
    Ok(())
}

/// Points an alias to a room, or removes it.
pub(super) fn set_alias(
    view: &mut Apply<'_>,
    alias: &str,
    room_id: Option<&str>,
    creator: &str,
) -> Result<(), ViewError> {
    if alias.is_empty() {
        return Ok(());
    }
    if let Some(former) = query::alias(view, alias)? {
        view.remove(&ROOM_ALIASES, &names_key(&[&former, alias]));
        view.remove(&ALIASES, alias.as_bytes());
    }
    if let Some(room_id) = room_id {
        let mut row = Vec::with_capacity(room_id.len() + creator.len() + 2);
        put_bytes(&mut row, room_id.as_bytes());
        row.extend_from_slice(creator.as_bytes());
        view.put(&ALIASES, alias.as_bytes(), &row);
        view.put(&ROOM_ALIASES, &names_key(&[room_id, alias]), &[]);
    }
    Ok(())
}

/// Lists a room in the directory, or takes it off.
pub(super) fn publish(view: &mut Apply<'_>, room_id: &str, published: bool) {
    if room_id.is_empty() {
        return;
    }
    if published {
        view.put(&PUBLISHED, room_id.as_bytes(), &[]);
    } else {
        view.remove(&PUBLISHED, room_id.as_bytes());
    }
}

/// Notes that devices have ended, and their transactions with them.
pub(super) fn end_devices(view: &mut Apply<'_>, offset: Offset, removed: &ArchivedInput<DevicesRemoved>) {
    for device_id in removed.device_ids.iter() {
        let key = names_key(&[&removed.user_id, device_id]);
        if key.len() <= NAMES_BYTES_MAX {
            view.put(&ENDED_DEVICES, &key, &rows::encode_offset(offset));
        }
    }
}
