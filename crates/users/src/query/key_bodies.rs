//! Keys as they were uploaded: the JSON behind the rows.

use engram_base::Parts;
use engram_log::{InputRef, Offset};
use engram_views::{Read, ViewError};

use super::data::body;
use super::row;
use crate::json::RawJson;
use crate::row::{CrossSigningRow, KeyPlace};
use crate::tables::{self, CROSS_SIGNING_KEYS, DEVICE_KEYS, FALLBACK_KEYS, ONE_TIME_KEYS};

/// What a cross-signing key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CrossSigningUsage {
    /// Signs the other two.
    Master,
    /// Signs the user's own devices.
    SelfSigning,
    /// Signs other users' master keys; shown to its owner only.
    UserSigning,
}

impl CrossSigningUsage {
    /// All three, the master key first.
    pub const ALL: [Self; 3] = [Self::Master, Self::SelfSigning, Self::UserSigning];

    /// The name in a key's `usage`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::SelfSigning => "self_signing",
            Self::UserSigning => "user_signing",
        }
    }

    /// The byte in the table's key.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Master => 0,
            Self::SelfSigning => 1,
            Self::UserSigning => 2,
        }
    }
}

/// The device keys of a device as they were uploaded, without signatures that came later.
pub fn device_keys(reader: &dyn Read, user_id: &str, device_id: &str) -> Result<Option<RawJson>, ViewError> {
    let key = tables::of_device(user_id, device_id);
    let Some(offset) = row(reader, &DEVICE_KEYS, &key, |bytes| Parts(bytes).offset())? else {
        return Ok(None);
    };
    body(reader, offset, &DEVICE_KEYS, |input| match input {
        InputRef::DeviceKeysUploaded(upload) => upload.device_keys.as_deref(),
        _ => None,
    })
    .map(Some)
}

pub(crate) fn cross_signing_row(
    reader: &dyn Read,
    user_id: &str,
    usage: CrossSigningUsage,
) -> Result<Option<CrossSigningRow>, ViewError> {
    row(reader, &CROSS_SIGNING_KEYS, &tables::of_user(user_id).byte(usage.number()), CrossSigningRow::decode)
}

/// A cross-signing key as it was uploaded, without signatures that came later.
pub fn cross_signing_key(
    reader: &dyn Read,
    user_id: &str,
    usage: CrossSigningUsage,
) -> Result<Option<RawJson>, ViewError> {
    match cross_signing_row(reader, user_id, usage)? {
        Some(row) => cross_signing_json(reader, row.offset, usage).map(Some),
        None => Ok(None),
    }
}

pub(super) fn cross_signing_json(
    reader: &dyn Read,
    offset: Offset,
    usage: CrossSigningUsage,
) -> Result<RawJson, ViewError> {
    body(reader, offset, &CROSS_SIGNING_KEYS, |input| {
        let InputRef::CrossSigningKeysUploaded(upload) = input else {
            return None;
        };
        let key = match usage {
            CrossSigningUsage::Master => &upload.master_key,
            CrossSigningUsage::SelfSigning => &upload.self_signing_key,
            CrossSigningUsage::UserSigning => &upload.user_signing_key,
        };
        key.as_deref()
    })
}

/// The JSON of a one-time key or a fallback key.
pub(crate) fn one_time_key_json(reader: &dyn Read, place: KeyPlace, fallback: bool) -> Result<RawJson, ViewError> {
    let table = if fallback { &FALLBACK_KEYS } else { &ONE_TIME_KEYS };
    body(reader, place.offset, table, |input| {
        let InputRef::DeviceKeysUploaded(upload) = input else {
            return None;
        };
        let keys = if fallback { &upload.fallback_keys } else { &upload.one_time_keys };
        keys.get(place.index as usize).map(|key| key.json.as_slice())
    })
}
