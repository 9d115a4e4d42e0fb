//! Device keys, one-time keys, fallback keys.

use crate::delta::Apply;
use engram_base::Key;
use engram_log::Offset;
use engram_log_format::v1::{ArchivedInput, DeviceKeysUploaded, KeyClaim, KeysClaimed};
use engram_views::{Read, ReadExt, ViewError};

use super::{device_list_changed, emit, remove_prefix};
use crate::delta::UserDelta;
use crate::json;
use crate::query::{device_row, fallback_row, one_time_key_count, one_time_key_place, stored_device_keys};
use crate::row::{FallbackRow, KeyPlace};
use crate::tables;

pub(super) fn uploaded(
    view: &mut Apply<'_>,
    at: Offset,
    input: &ArchivedInput<DeviceKeysUploaded>,
) -> Result<(), ViewError> {
    let (user_id, device_id) = (input.user_id.as_str(), input.device_id.as_str());
    if device_row(&*view, user_id, device_id)?.is_none() {
        return Ok(());
    }
    if let Some(device_keys) = input.device_keys.as_ref() {
        identity_keys(view, at, user_id, device_id, device_keys)?;
    }
    for (index, key) in (0_u32..).zip(input.one_time_keys.iter()) {
        one_time_key(view, user_id, device_id, &key.name, KeyPlace { offset: at, index })?;
    }
    for (index, key) in (0_u32..).zip(input.fallback_keys.iter()) {
        let key_id = key.name.as_str().to_owned();
        let row_key = tables::of_device(user_id, device_id).text(tables::algorithm_of(&key_id));
        let row = FallbackRow { used: false, place: KeyPlace { offset: at, index }, key_id };
        view.put(&tables::FALLBACK_KEYS, &row_key, &row.encode());
    }
    if !(input.one_time_keys.is_empty() && input.fallback_keys.is_empty()) {
        one_time_keys_changed(view, user_id, device_id);
    }
    Ok(())
}

/// Takes new device keys. Signatures that others made over the old ones stay only if the keys are the same.
fn identity_keys(
    view: &mut Apply<'_>,
    at: Offset,
    user_id: &str,
    device_id: &str,
    device_keys: &[u8],
) -> Result<(), ViewError> {
    let key = tables::of_device(user_id, device_id);
    if let Some(before) = stored_device_keys(&*view, user_id, device_id)?
        && !json::same_keys(before.get().as_bytes(), device_keys)
    {
        remove_prefix(view, &tables::SIGNATURES, &key)?;
    }
    view.put(&tables::DEVICE_KEYS, &key, &at.to_be_bytes());
    device_list_changed(view, at, user_id);
    Ok(())
}

fn one_time_key(
    view: &mut Apply<'_>,
    user_id: &str,
    device_id: &str,
    key_id: &str,
    place: KeyPlace,
) -> Result<(), ViewError> {
    let id_key = tables::of_device(user_id, device_id).text(key_id);
    if view.contains(&tables::ONE_TIME_KEY_IDS, &id_key)? {
        return Ok(());
    }
    let algorithm = tables::algorithm_of(key_id);
    let row_key = tables::one_time_key(user_id, device_id, algorithm, place.offset, place.index);
    view.put(&tables::ONE_TIME_KEYS, &row_key, &Key::new().text(key_id));
    view.put(&tables::ONE_TIME_KEY_IDS, &id_key, &place.encode());
    let count = one_time_key_count(&*view, user_id, device_id, algorithm)?;
    put_count(view, user_id, device_id, algorithm, count + 1);
    Ok(())
}

fn put_count(view: &mut Apply<'_>, user_id: &str, device_id: &str, algorithm: &str, count: u64) {
    let key = tables::of_device(user_id, device_id).text(algorithm);
    view.put(&tables::ONE_TIME_KEY_COUNTS, &key, &Key::new().number(count));
}

pub(super) fn claimed(view: &mut Apply<'_>, input: &ArchivedInput<KeysClaimed>) -> Result<(), ViewError> {
    for claim in input.claims.iter() {
        let changed = if claim.fallback { use_fallback(view, claim)? } else { take(view, claim)? };
        if changed {
            one_time_keys_changed(view, &claim.user_id, &claim.device_id);
        }
    }
    Ok(())
}

/// Marks a fallback key as used; whether it was unused.
fn use_fallback(view: &mut Apply<'_>, claim: &ArchivedInput<KeyClaim>) -> Result<bool, ViewError> {
    let algorithm = tables::algorithm_of(&claim.key_id);
    let Some(mut row) = fallback_row(&*view, &claim.user_id, &claim.device_id, algorithm)? else {
        return Ok(false);
    };
    if row.used || row.key_id != claim.key_id.as_str() {
        return Ok(false);
    }
    row.used = true;
    let key = tables::of_device(&claim.user_id, &claim.device_id).text(algorithm);
    view.put(&tables::FALLBACK_KEYS, &key, &row.encode());
    Ok(true)
}

/// Removes a one-time key; whether it was there.
fn take(view: &mut Apply<'_>, claim: &ArchivedInput<KeyClaim>) -> Result<bool, ViewError> {
    let (user_id, device_id, key_id) = (claim.user_id.as_str(), claim.device_id.as_str(), claim.key_id.as_str());
    let Some(place) = one_time_key_place(&*view, user_id, device_id, key_id)? else {
        return Ok(false);
    };
    let algorithm = tables::algorithm_of(key_id);
    let row_key = tables::one_time_key(user_id, device_id, algorithm, place.offset, place.index);
    assert!(view.get(&tables::ONE_TIME_KEYS, &row_key)?.is_some(), "both one-time key tables have the same keys");
    view.remove(&tables::ONE_TIME_KEYS, &row_key);
    view.remove(&tables::ONE_TIME_KEY_IDS, &tables::of_device(user_id, device_id).text(key_id));
    let count = one_time_key_count(&*view, user_id, device_id, algorithm)?;
    assert!(count > 0, "a key that is there was counted");
    put_count(view, user_id, device_id, algorithm, count - 1);
    Ok(true)
}

fn one_time_keys_changed(view: &mut Apply<'_>, user_id: &str, device_id: &str) {
    emit(view, || UserDelta::OneTimeKeysChanged { user_id: user_id.to_owned(), device_id: device_id.to_owned() });
}
