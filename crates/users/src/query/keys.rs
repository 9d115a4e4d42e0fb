//! Keys as others may see them: with the signatures that came later; and what is left of one-time keys.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use engram_base::{Key, Parts};
use engram_views::{Read, ReadExt, ViewError};
use serde_json::{Map, Value};

use super::key_bodies::{CrossSigningUsage, cross_signing_json, cross_signing_row, device_keys};
use super::{account_row, device_row, malformed, row};
use crate::json::{self, RawJson};
use crate::query::devices;
use crate::row::{CrossSigningRow, FallbackRow, KeyPlace};
use crate::tables::{self, FALLBACK_KEYS, ONE_TIME_KEY_COUNTS, ONE_TIME_KEY_IDS, ONE_TIME_KEYS, SIGNATURES};

/// The local part of a `/keys/query` response. The maps have the names and shapes of its fields.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct KeysQuery {
    /// user → device → keys. A user with no device that has keys is there with an empty map.
    pub device_keys: BTreeMap<String, BTreeMap<String, RawJson>>,
    /// user → master key.
    pub master_keys: BTreeMap<String, RawJson>,
    /// user → self-signing key.
    pub self_signing_keys: BTreeMap<String, RawJson>,
    /// user → user-signing key: the viewer's own at most.
    pub user_signing_keys: BTreeMap<String, RawJson>,
}

/// Keys of local users as `viewer` may see them. For each user the devices asked for, all if the list is empty.
/// Signatures that were uploaded later are merged in, as far as the viewer may see them; device keys carry
/// `unsigned.device_display_name`. Users without an account here are passed over.
pub fn keys_query(
    reader: &dyn Read,
    viewer: &str,
    query: &BTreeMap<String, Vec<String>>,
) -> Result<KeysQuery, ViewError> {
    let mut found = KeysQuery::default();
    for (user_id, wanted) in query {
        let Some(account) = account_row(reader, user_id)? else {
            continue;
        };
        found.device_keys.insert(user_id.clone(), devices_of(reader, viewer, user_id, wanted)?);
        if account.deactivated {
            // Nobody is behind these keys any more.
            continue;
        }
        for usage in CrossSigningUsage::ALL {
            if usage == CrossSigningUsage::UserSigning && viewer != user_id {
                continue;
            }
            let Some(key) = visible_cross_signing_key(reader, viewer, user_id, usage)? else {
                continue;
            };
            let keys = match usage {
                CrossSigningUsage::Master => &mut found.master_keys,
                CrossSigningUsage::SelfSigning => &mut found.self_signing_keys,
                CrossSigningUsage::UserSigning => &mut found.user_signing_keys,
            };
            keys.insert(user_id.clone(), key);
        }
    }
    Ok(found)
}

fn devices_of(
    reader: &dyn Read,
    viewer: &str,
    user_id: &str,
    wanted: &[String],
) -> Result<BTreeMap<String, RawJson>, ViewError> {
    let all = if wanted.is_empty() { devices(reader, user_id)? } else { Vec::new() };
    let device_ids = wanted.iter().chain(all.iter().map(|device| &device.device_id));
    let mut keys = BTreeMap::new();
    for device_id in device_ids {
        if let Some(json) = visible_device_keys(reader, viewer, user_id, device_id)? {
            keys.insert(device_id.clone(), json);
        }
    }
    Ok(keys)
}

fn visible_device_keys(
    reader: &dyn Read,
    viewer: &str,
    user_id: &str,
    device_id: &str,
) -> Result<Option<RawJson>, ViewError> {
    let Some(uploaded) = device_keys(reader, user_id, device_id)? else {
        return Ok(None);
    };
    let mut object = json::object(uploaded.get().as_bytes()).unwrap_or_default();
    merge_signatures(reader, viewer, user_id, device_id, &mut object)?;
    object.remove("unsigned");
    if let Some(name) = device_row(reader, user_id, device_id)?.and_then(|device| device.display_name) {
        object.insert("unsigned".to_owned(), serde_json::json!({ "device_display_name": name }));
    }
    Ok(Some(json::to_raw(&object)))
}

fn visible_cross_signing_key(
    reader: &dyn Read,
    viewer: &str,
    user_id: &str,
    usage: CrossSigningUsage,
) -> Result<Option<RawJson>, ViewError> {
    let Some(row) = current_cross_signing_row(reader, user_id, usage)? else {
        return Ok(None);
    };
    let uploaded = cross_signing_json(reader, row.offset, usage)?;
    let mut object = json::object(uploaded.get().as_bytes()).unwrap_or_default();
    merge_signatures(reader, viewer, user_id, &row.public_key, &mut object)?;
    Ok(Some(json::to_raw(&object)))
}

/// A cross-signing key, unless it was signed by a master key that has been replaced since, and not by the new one.
pub(crate) fn current_cross_signing_row(
    reader: &dyn Read,
    user_id: &str,
    usage: CrossSigningUsage,
) -> Result<Option<CrossSigningRow>, ViewError> {
    let Some(row) = cross_signing_row(reader, user_id, usage)? else { return Ok(None) };
    if usage == CrossSigningUsage::Master {
        return Ok(Some(row));
    }
    let Some(master) = cross_signing_row(reader, user_id, CrossSigningUsage::Master)? else { return Ok(None) };
    // That it verifies was checked when it was uploaded.
    let key = cross_signing_json(reader, row.offset, usage)?;
    let signed = json::signatures_by(key.get().as_bytes(), user_id);
    Ok(signed.contains_key(&format!("ed25519:{}", master.public_key)).then_some(row))
}

/// Makes `signatures` what the viewer may see: signatures by the key's owner and by the viewer, early and late ones.
fn merge_signatures(
    reader: &dyn Read,
    viewer: &str,
    owner: &str,
    key_id: &str,
    object: &mut Map<String, Value>,
) -> Result<(), ViewError> {
    let visible = |signer: &str| signer == owner || signer == viewer;
    let uploaded = object.remove("signatures");
    let uploaded_with_any = uploaded.is_some();
    let mut signatures: Map<String, Value> = match uploaded {
        Some(Value::Object(early)) => early.into_iter().filter(|(signer, _)| visible(signer)).collect(),
        _ => Map::new(),
    };
    let prefix = tables::of_device(owner, key_id);
    reader.scan_prefix(&SIGNATURES, &prefix, &mut |key, value| {
        let mut parts = Parts(&key[prefix.len()..]);
        if let (Some(signer), Some(signing_key), Ok(signature)) =
            (parts.text(), parts.text(), std::str::from_utf8(value))
            && visible(signer)
            && let Value::Object(by_signer) = signatures.entry(signer).or_insert_with(|| Value::Object(Map::new()))
        {
            by_signer.insert(signing_key.to_owned(), Value::from(signature));
        }
        ControlFlow::Continue(())
    })?;
    // What was uploaded without signatures and has got none stays as it was.
    if uploaded_with_any || !signatures.is_empty() {
        object.insert("signatures".to_owned(), Value::Object(signatures));
    }
    Ok(())
}

/// Unclaimed one-time keys of a device by algorithm. An algorithm whose keys are used up is there with zero.
pub fn one_time_key_counts(
    reader: &dyn Read,
    user_id: &str,
    device_id: &str,
) -> Result<BTreeMap<String, u64>, ViewError> {
    let prefix = tables::of_device(user_id, device_id);
    let mut counts = BTreeMap::new();
    reader.scan_prefix(&ONE_TIME_KEY_COUNTS, &prefix, &mut |key, value| {
        if let (Some(algorithm), Some(count)) = (Parts(&key[prefix.len()..]).text(), Parts(value).number()) {
            counts.insert(algorithm.to_owned(), count);
        }
        ControlFlow::Continue(())
    })?;
    Ok(counts)
}

/// The algorithms for which a device has a fallback key that was not handed out yet.
pub fn unused_fallback_types(reader: &dyn Read, user_id: &str, device_id: &str) -> Result<Vec<String>, ViewError> {
    let prefix = tables::of_device(user_id, device_id);
    let mut algorithms = Some(Vec::new());
    reader.scan_prefix(&FALLBACK_KEYS, &prefix, &mut |key, value| {
        match (algorithms.as_mut(), Parts(&key[prefix.len()..]).text(), FallbackRow::decode(value)) {
            (Some(algorithms), Some(algorithm), Some(row)) => {
                if !row.used {
                    algorithms.push(algorithm.to_owned());
                }
            }
            _ => algorithms = None,
        }
        ControlFlow::Continue(())
    })?;
    algorithms.ok_or_else(|| malformed(&FALLBACK_KEYS))
}

pub(crate) fn one_time_key_count(
    reader: &dyn Read,
    user_id: &str,
    device_id: &str,
    algorithm: &str,
) -> Result<u64, ViewError> {
    let key = tables::of_device(user_id, device_id).text(algorithm);
    let count = row(reader, &ONE_TIME_KEY_COUNTS, &key, |bytes| Parts(bytes).number())?;
    Ok(count.unwrap_or(0))
}

pub(crate) fn one_time_key_place(
    reader: &dyn Read,
    user_id: &str,
    device_id: &str,
    key_id: &str,
) -> Result<Option<KeyPlace>, ViewError> {
    let key = tables::of_device(user_id, device_id).text(key_id);
    row(reader, &ONE_TIME_KEY_IDS, &key, KeyPlace::decode)
}

/// The one-time keys that were uploaded first, of those that are left: at most so many.
pub(crate) fn first_one_time_keys(
    reader: &dyn Read,
    user_id: &str,
    device_id: &str,
    algorithm: &str,
    limit: usize,
) -> Result<Vec<(String, KeyPlace)>, ViewError> {
    let prefix: Key = tables::of_device(user_id, device_id).text(algorithm);
    let mut first = Some(Vec::new());
    reader.scan_prefix(&ONE_TIME_KEYS, &prefix, &mut |key, value| {
        let row = KeyPlace::decode(&key[prefix.len()..]).zip(Parts(value).text());
        match (first.as_mut(), row) {
            (Some(first), Some((place, key_id))) => first.push((key_id.to_owned(), place)),
            _ => first = None,
        }
        if first.as_ref().is_some_and(|first| first.len() < limit) {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    first.ok_or_else(|| malformed(&ONE_TIME_KEYS))
}

pub(crate) fn fallback_row(
    reader: &dyn Read,
    user_id: &str,
    device_id: &str,
    algorithm: &str,
) -> Result<Option<FallbackRow>, ViewError> {
    let key = tables::of_device(user_id, device_id).text(algorithm);
    row(reader, &FALLBACK_KEYS, &key, FallbackRow::decode)
}
