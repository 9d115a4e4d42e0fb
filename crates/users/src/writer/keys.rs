//! Uploads of device keys, one-time keys and fallback keys.

use std::collections::{BTreeMap, BTreeSet};

use engram_log_format::v1::{DeviceKeysUploaded, NamedJson};
use engram_views::{Decision, Read, ViewError, WriteError};

use super::{Users, is_identifier, subjects};
use crate::json::{self, RawJson};
use crate::limits::{DEVICE_KEYS_BYTES_MAX, KEY_BYTES_MAX, ONE_TIME_KEYS_MAX};
use crate::strict::{self, Numbers, Unsound};
use crate::{query, tables};

/// The body of `POST /keys/upload`.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(from = "Body")]
pub struct KeysUpload {
    /// The device's identity keys.
    pub device_keys: Option<RawJson>,
    /// `algorithm:id` → key.
    pub one_time_keys: BTreeMap<String, RawJson>,
    /// `algorithm:id` → key.
    pub fallback_keys: BTreeMap<String, RawJson>,
}

/// The body as clients write it: some of them name the fallback keys twice, before and after they became part of the
/// specification. The stable name wins.
#[derive(serde::Deserialize)]
struct Body {
    device_keys: Option<RawJson>,
    one_time_keys: Option<BTreeMap<String, RawJson>>,
    fallback_keys: Option<BTreeMap<String, RawJson>>,
    #[serde(rename = "org.matrix.msc2732.fallback_keys")]
    fallback_keys_unstable: Option<BTreeMap<String, RawJson>>,
}

impl From<Body> for KeysUpload {
    fn from(body: Body) -> Self {
        Self {
            device_keys: body.device_keys,
            one_time_keys: body.one_time_keys.unwrap_or_default(),
            fallback_keys: body.fallback_keys.or(body.fallback_keys_unstable).unwrap_or_default(),
        }
    }
}

/// Why keys were refused; nothing of the upload was taken.
#[derive(Debug, thiserror::Error)]
pub enum UploadKeysError {
    /// 400 `M_INVALID_PARAM`: the device keys do not fit the session, or a key ID or key is malformed.
    #[error("{0}")]
    Invalid(String),
    /// 400 `M_INVALID_PARAM`: another key is already there under this ID.
    #[error("one-time key {0} already exists with a different value")]
    Conflict(String),
    /// 404 `M_NOT_FOUND`: the device is gone.
    #[error("unknown device")]
    UnknownDevice,
    /// `M_BAD_JSON`: not everybody could read it.
    #[error(transparent)]
    Unsound(#[from] Unsound),
    /// `M_BAD_JSON`: the device keys lack something, or it has another form.
    #[error("device_keys: {0}")]
    Malformed(String),
    /// It could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl From<ViewError> for UploadKeysError {
    fn from(error: ViewError) -> Self {
        Self::Write(error.into())
    }
}

impl Users {
    /// Stores keys of a device; the number of its one-time keys by algorithm afterwards.
    ///
    /// What is there already is not written again: a client may repeat an upload whose answer it has not seen.
    pub async fn upload_keys(
        &self,
        user_id: &str,
        device_id: &str,
        upload: KeysUpload,
    ) -> Result<BTreeMap<String, u64>, UploadKeysError> {
        let uploaded = self.decider.decide([subjects::device_keys(user_id, device_id)], |snapshot, _| {
            if query::device(snapshot, user_id, device_id)?.is_none() {
                return Err(UploadKeysError::UnknownDevice);
            }
            let record = DeviceKeysUploaded {
                user_id: user_id.to_owned(),
                device_id: device_id.to_owned(),
                device_keys: new_device_keys(snapshot, user_id, device_id, upload.device_keys)?,
                one_time_keys: new_one_time_keys(snapshot, user_id, device_id, upload.one_time_keys)?,
                fallback_keys: new_fallback_keys(snapshot, user_id, device_id, upload.fallback_keys)?,
            };
            let keys = record.one_time_keys.len() + record.fallback_keys.len();
            let new = record.device_keys.is_some() || keys > 0;
            Ok(Decision::journal(new.then(|| record.into()), ()))
        });
        uploaded.await?.applied().await?;
        Ok(query::one_time_key_counts(&*self.decider.snapshot(), user_id, device_id)?)
    }
}

/// The device keys, if they are well formed and differ from those that are there.
fn new_device_keys(
    reader: &dyn Read,
    user_id: &str,
    device_id: &str,
    uploaded: Option<RawJson>,
) -> Result<Option<Vec<u8>>, UploadKeysError> {
    let Some(uploaded) = uploaded.filter(|json| json.get() != "null") else {
        return Ok(None);
    };
    let bytes = uploaded.get().as_bytes();
    let invalid = |what: &str| UploadKeysError::Invalid(what.to_owned());
    if bytes.len() > DEVICE_KEYS_BYTES_MAX {
        return Err(invalid("device_keys are too large"));
    }
    // Other users' clients and servers are handed this: what they cannot parse would cost them more than these keys.
    strict::check(&uploaded, Numbers::Canonical)?;
    let form: Form = serde_json::from_slice(bytes).map_err(|error| UploadKeysError::Malformed(error.to_string()))?;
    if form.user_id != user_id || form.device_id != device_id {
        return Err(invalid("device_keys must name the user and the device that upload them"));
    }
    let object = json::object(bytes).ok_or_else(|| invalid("device_keys must be an object"))?;
    let before = query::device_keys(reader, user_id, device_id)?;
    let same =
        before.is_some_and(|before| json::object(before.get().as_bytes()).is_some_and(|before| before == object));
    Ok(if same { None } else { Some(bytes.to_vec()) })
}

/// The form of device keys. What is not named here is kept as it is.
#[derive(serde::Deserialize)]
struct Form {
    user_id: String,
    device_id: String,
    #[serde(rename = "algorithms")]
    _algorithms: Vec<String>,
    #[serde(rename = "keys")]
    _keys: BTreeMap<String, String>,
    #[serde(rename = "signatures", default)]
    _signatures: BTreeMap<String, BTreeMap<String, String>>,
}

/// The one-time keys that are not there yet, in the order of their key IDs.
fn new_one_time_keys(
    reader: &dyn Read,
    user_id: &str,
    device_id: &str,
    uploaded: BTreeMap<String, RawJson>,
) -> Result<Vec<NamedJson>, UploadKeysError> {
    let stored: u64 = query::one_time_key_counts(reader, user_id, device_id)?.values().sum();
    let mut new = Vec::new();
    for (name, key) in uploaded {
        check_key(&name, &key)?;
        match query::one_time_key_place(reader, user_id, device_id, &name)? {
            None => new.push(named(name, &key)),
            Some(place) => {
                let before = query::one_time_key_json(reader, place, false)?;
                if !json::same_unsigned(before.get(), key.get()) {
                    return Err(UploadKeysError::Conflict(name));
                }
            }
        }
    }
    if stored + new.len() as u64 > ONE_TIME_KEYS_MAX {
        return Err(UploadKeysError::Invalid("the device has too many one-time keys".to_owned()));
    }
    Ok(new)
}

/// The fallback keys that are not there yet. The same key again does not become unused.
fn new_fallback_keys(
    reader: &dyn Read,
    user_id: &str,
    device_id: &str,
    uploaded: BTreeMap<String, RawJson>,
) -> Result<Vec<NamedJson>, UploadKeysError> {
    let mut new = Vec::new();
    let mut algorithms = BTreeSet::new();
    for (name, key) in uploaded {
        check_key(&name, &key)?;
        let algorithm = tables::algorithm_of(&name).to_owned();
        let before = query::fallback_row(reader, user_id, device_id, &algorithm)?;
        if !algorithms.insert(algorithm) {
            return Err(UploadKeysError::Invalid("there is one fallback key for each algorithm".to_owned()));
        }
        let same = match before.filter(|before| before.key_id == name) {
            Some(before) => {
                let stored = query::one_time_key_json(reader, before.place, true)?;
                json::same_unsigned(stored.get(), key.get())
            }
            None => false,
        };
        if !same {
            new.push(named(name, &key));
        }
    }
    Ok(new)
}

fn named(name: String, key: &RawJson) -> NamedJson {
    NamedJson { name, json: key.get().as_bytes().to_vec() }
}

fn check_key(name: &str, key: &RawJson) -> Result<(), UploadKeysError> {
    let well_named = name.split_once(':').is_some_and(|(algorithm, id)| !algorithm.is_empty() && !id.is_empty());
    if !well_named || !is_identifier(name) {
        return Err(UploadKeysError::Invalid(format!("{name:?} is not of the form algorithm:id")));
    }
    if !(json::is_object(key) || key.get().starts_with('"')) {
        return Err(UploadKeysError::Invalid(format!("key {name} must be a string or an object")));
    }
    if key.get().len() > KEY_BYTES_MAX {
        return Err(UploadKeysError::Invalid(format!("key {name} is too large")));
    }
    if json::is_empty(key) {
        return Err(UploadKeysError::Invalid(format!("key {name} is empty")));
    }
    strict::check(key, Numbers::Canonical)?;
    Ok(())
}
