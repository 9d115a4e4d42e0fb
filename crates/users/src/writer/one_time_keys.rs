//! Handing out one-time keys and fallback keys.

use std::collections::BTreeMap;

use engram_log_format::v1::{KeyClaim, KeysClaimed};
use engram_views::{Decision, Read, ViewError, WriteError};

use super::{Users, subjects};
use crate::json::{self, RawJson};
use crate::limits::UNUSABLE_KEYS_MAX;
use crate::query;

/// Keys that were handed out: user → device → `algorithm:id` → key.
pub type ClaimedKeys = BTreeMap<String, BTreeMap<String, BTreeMap<String, RawJson>>>;

/// A key chosen for a claim.
struct Choice {
    key_id: String,
    key: RawJson,
}

impl Users {
    /// Hands out one key for each device that is asked for and has one: user → device → algorithm. Users of other
    /// servers are passed over.
    pub async fn claim_keys(
        &self,
        wanted: &BTreeMap<String, BTreeMap<String, String>>,
    ) -> Result<ClaimedKeys, WriteError> {
        let mut subjects = Vec::new();
        for (user_id, devices) in wanted {
            subjects.extend(devices.keys().map(|device_id| subjects::device_keys(user_id, device_id)));
        }
        let claimed = self.decider.decide(subjects, |snapshot, _| -> Result<_, WriteError> {
            let mut claims = Vec::new();
            let mut claimed = ClaimedKeys::new();
            for (user_id, devices) in wanted {
                for (device_id, algorithm) in devices {
                    let Some(choice) = choose(snapshot, user_id, device_id, algorithm, &mut claims)? else {
                        continue;
                    };
                    let keys = claimed.entry(user_id.clone()).or_default().entry(device_id.clone()).or_default();
                    keys.insert(choice.key_id, choice.key);
                }
            }
            let new = !claims.is_empty();
            Ok(Decision::journal(new.then(|| KeysClaimed { claims }.into()), claimed))
        });
        claimed.await?.applied().await
    }
}

/// The one-time key that was uploaded first; the fallback key, if there is none left. `claims` gets what has to be
/// recorded: nothing of a fallback key that was handed out before, and of keys of an old log that nobody can use, that
/// they are gone.
fn choose(
    reader: &dyn Read,
    user_id: &str,
    device_id: &str,
    algorithm: &str,
    claims: &mut Vec<KeyClaim>,
) -> Result<Option<Choice>, ViewError> {
    let claim = |key_id: &str, fallback: bool| KeyClaim {
        user_id: user_id.to_owned(),
        device_id: device_id.to_owned(),
        key_id: key_id.to_owned(),
        fallback,
    };
    for (key_id, place) in query::first_one_time_keys(reader, user_id, device_id, algorithm, UNUSABLE_KEYS_MAX + 1)? {
        let key = query::one_time_key_json(reader, place, false)?;
        claims.push(claim(&key_id, false));
        if !json::is_empty(&key) {
            return Ok(Some(Choice { key_id, key }));
        }
    }
    let Some(row) = query::fallback_row(reader, user_id, device_id, algorithm)? else {
        return Ok(None);
    };
    let key = query::one_time_key_json(reader, row.place, true)?;
    if json::is_empty(&key) {
        return Ok(None);
    }
    claims.extend((!row.used).then(|| claim(&row.key_id, true)));
    Ok(Some(Choice { key_id: row.key_id, key }))
}
