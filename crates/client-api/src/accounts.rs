//! What the room server asks about this server's accounts.

use engram_rooms::writer::{Accounts, Profile};
use engram_users::query;
use engram_views::{Read, ViewError};
use serde_json::value::RawValue;

/// Accounts as the views have them.
#[derive(Clone, Copy, Debug)]
pub struct ViewedAccounts;

impl Accounts for ViewedAccounts {
    fn is_guest(&self, reader: &dyn Read, user_id: &str) -> Result<bool, ViewError> {
        Ok(query::account(reader, user_id)?.is_some_and(|account| account.guest))
    }

    fn guests(&self, reader: &dyn Read) -> Result<Vec<String>, ViewError> {
        query::guests(reader)
    }

    fn profile(&self, reader: &dyn Read, user_id: &str) -> Result<Profile, ViewError> {
        let field = |name: &str| -> Result<Option<String>, ViewError> {
            let value = query::profile_field(reader, user_id, name)?;
            Ok(value.and_then(|value: Box<RawValue>| serde_json::from_str(value.get()).ok()))
        };
        Ok(Profile { displayname: field("displayname")?, avatar_url: field("avatar_url")? })
    }
}
