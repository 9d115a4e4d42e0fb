//! End-to-end encryption keys.

use std::collections::BTreeMap;

use engram_log::Offset;
use engram_views::{Read, ViewError};

use crate::json::RawJson;

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

/// The keys of one user, as one viewer may see them.
#[derive(Clone, Debug, Default)]
pub struct UserKeys {
    /// Device keys by device ID.
    pub device_keys: BTreeMap<String, RawJson>,
    /// The master key.
    pub master_key: Option<RawJson>,
    /// The self-signing key.
    pub self_signing_key: Option<RawJson>,
    /// The user-signing key; only for the user themselves.
    pub user_signing_key: Option<RawJson>,
}

/// The local part of a `/keys/query` response. The maps have the names and shapes of its fields.
#[derive(Clone, Debug, Default)]
pub struct KeysQuery {
    /// user → device → keys.
    pub device_keys: BTreeMap<String, BTreeMap<String, RawJson>>,
    /// user → master key.
    pub master_keys: BTreeMap<String, RawJson>,
    /// user → self-signing key.
    pub self_signing_keys: BTreeMap<String, RawJson>,
    /// user → user-signing key: the viewer's own at most.
    pub user_signing_keys: BTreeMap<String, RawJson>,
}

/// The device keys of a device as they were uploaded, without signatures that came later.
pub fn device_keys(
    _reader: &dyn Read,
    _user_id: &str,
    _device_id: &str,
) -> Result<Option<RawJson>, ViewError> {
    todo!()
}

/// A cross-signing key as it was uploaded, without signatures that came later.
pub fn cross_signing_key(
    _reader: &dyn Read,
    _user_id: &str,
    _usage: CrossSigningUsage,
) -> Result<Option<RawJson>, ViewError> {
    todo!()
}

/// Keys of local users as `viewer` may see them. For each user the devices asked for, all if the list is empty.
/// Signatures that were uploaded later are merged in, as far as the viewer may see them; device keys carry
/// `unsigned.device_display_name`. Users of other servers are passed over.
pub fn keys_query(
    _reader: &dyn Read,
    _viewer: &str,
    _query: &BTreeMap<String, Vec<String>>,
) -> Result<KeysQuery, ViewError> {
    todo!()
}

/// Unclaimed one-time keys of a device by algorithm. An algorithm whose keys are used up is there with zero.
pub fn one_time_key_counts(
    _reader: &dyn Read,
    _user_id: &str,
    _device_id: &str,
) -> Result<BTreeMap<String, u64>, ViewError> {
    todo!()
}

/// The algorithms for which a device has a fallback key that was not handed out yet.
pub fn unused_fallback_types(
    _reader: &dyn Read,
    _user_id: &str,
    _device_id: &str,
) -> Result<Vec<String>, ViewError> {
    todo!()
}

/// The users whose devices or keys changed after `since`, up to and including `through`; each once, in byte order.
pub fn device_lists_changed(
    _reader: &dyn Read,
    _since: Offset,
    _through: Offset,
) -> Result<Vec<String>, ViewError> {
    todo!()
}

/// The users whose keys `signer` signed after `since`, up to and including `through`: changes that only the
/// signer's own devices can see.
pub fn signatures_changed(
    _reader: &dyn Read,
    _signer: &str,
    _since: Offset,
    _through: Offset,
) -> Result<Vec<String>, ViewError> {
    todo!()
}
