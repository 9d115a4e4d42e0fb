//! Account data, filters, push rules.

use engram_log::Offset;
use engram_views::{Read, ViewError};

use crate::json::RawJson;

/// One piece of account data.
#[derive(Clone, Debug)]
pub struct AccountDataRow {
    /// The room, or none for global account data.
    pub room_id: Option<String>,
    /// The event type.
    pub event_type: String,
    /// The content.
    pub content: RawJson,
}

/// The content of one piece of account data, as it was stored last.
pub fn account_data(
    _reader: &dyn Read,
    _user_id: &str,
    _room_id: Option<&str>,
    _event_type: &str,
) -> Result<Option<RawJson>, ViewError> {
    todo!()
}

/// The account data that was set after `since`, in the order of the last change; all of it for [`Offset::ZERO`].
///
/// For [`Offset::ZERO`] the result always has `m.push_rules`: the defaults, if the user has stored none.
pub fn account_data_since(
    _reader: &dyn Read,
    _user_id: &str,
    _since: Offset,
) -> Result<Vec<AccountDataRow>, ViewError> {
    todo!()
}

/// A stored filter.
pub fn filter(
    _reader: &dyn Read,
    _user_id: &str,
    _filter_id: &str,
) -> Result<Option<RawJson>, ViewError> {
    todo!()
}

/// The user's push rules: the content of `m.push_rules`, `{"global": {…}}`, with the server's defaults for a user
/// who has stored none.
pub fn push_rules(_reader: &dyn Read, _user_id: &str) -> Result<RawJson, ViewError> {
    todo!()
}
