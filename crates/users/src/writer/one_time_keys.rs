//! Handing out one-time keys and fallback keys.

use std::collections::{BTreeMap, BTreeSet};

use engram_log_format::v1::{KeyClaim, KeysClaimed};
use engram_views::{Read, ViewError};

use super::{Users, WriteError};
use crate::json::RawJson;
use crate::locks::Guard;
use crate::query;

/// Keys that were handed out: user → device → `algorithm:id` → key.
pub type ClaimedKeys = BTreeMap<String, BTreeMap<String, BTreeMap<String, RawJson>>>;

/// A key chosen for a claim.
struct Choice {
    key_id: String,
    key: RawJson,
    /// What has to be recorded; none for a fallback key that was handed out before.
    claim: Option<KeyClaim>,
}

impl Users {
    /// Holds the one-time keys of a device.
    pub(super) fn lock_one_time_keys(&self, user_id: &str, device_id: &str) -> Guard<'_> {
        self.locks.lock(lock_name(user_id, device_id))
    }

    /// Hands out one key for each device that is asked for and has one: user → device → algorithm. Users of other
    /// servers are passed over.
    pub fn claim_keys(&self, wanted: &BTreeMap<String, BTreeMap<String, String>>) -> Result<ClaimedKeys, WriteError> {
        let names: BTreeSet<String> = wanted
            .iter()
            .flat_map(|(user_id, devices)| devices.keys().map(move |device_id| lock_name(user_id, device_id)))
            .collect();
        let _keys = self.locks.lock_all(names);
        let snapshot = self.views.snapshot();
        let mut claims = Vec::new();
        let mut claimed = ClaimedKeys::new();
        for (user_id, devices) in wanted {
            for (device_id, algorithm) in devices {
                let Some(choice) = choose(&*snapshot, user_id, device_id, algorithm)? else {
                    continue;
                };
                claims.extend(choice.claim);
                let keys = claimed.entry(user_id.clone()).or_default().entry(device_id.clone()).or_default();
                keys.insert(choice.key_id, choice.key);
            }
        }
        drop(snapshot);
        if !claims.is_empty() {
            self.commit(&[KeysClaimed { claims }.into()])?;
        }
        Ok(claimed)
    }
}

fn lock_name(user_id: &str, device_id: &str) -> String {
    format!("one-time keys {user_id} {device_id}")
}

/// The one-time key that was uploaded first; the fallback key, if there is none left.
fn choose(reader: &dyn Read, user_id: &str, device_id: &str, algorithm: &str) -> Result<Option<Choice>, ViewError> {
    let claim = |key_id: &str, fallback: bool| KeyClaim {
        user_id: user_id.to_owned(),
        device_id: device_id.to_owned(),
        key_id: key_id.to_owned(),
        fallback,
    };
    if let Some((key_id, place)) = query::first_one_time_key(reader, user_id, device_id, algorithm)? {
        let key = query::one_time_key_json(reader, place, false)?;
        return Ok(Some(Choice { claim: Some(claim(&key_id, false)), key_id, key }));
    }
    let Some(row) = query::fallback_row(reader, user_id, device_id, algorithm)? else {
        return Ok(None);
    };
    let key = query::one_time_key_json(reader, row.place, true)?;
    let claim = (!row.used).then(|| claim(&row.key_id, true));
    Ok(Some(Choice { claim, key_id: row.key_id, key }))
}
