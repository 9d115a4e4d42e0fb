//! Handing out one-time keys and fallback keys.

use std::collections::BTreeMap;

use engram_log_format::v1::{KeyClaim, KeysClaimed};
use engram_views::{Decision, Read, ViewError, WriteError};

use super::{Users, subjects};
use crate::json::RawJson;
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
                    let Some(choice) = choose(snapshot, user_id, device_id, algorithm)? else {
                        continue;
                    };
                    claims.extend(choice.claim);
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
