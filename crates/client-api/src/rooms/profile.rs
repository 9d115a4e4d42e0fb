//! The profile that a member event shows.

use engram_rooms::writer::Profile;
use engram_users::query;
use engram_views::Read;

use crate::error::ApiResult;

/// A local user's name and picture; nothing of users whom this server does not know.
pub(super) fn of(reader: &dyn Read, user_id: &str) -> ApiResult<Profile> {
    let text = |field: &str| -> ApiResult<Option<String>> {
        let value = query::profile_field(reader, user_id, field)?;
        Ok(value.and_then(|value| serde_json::from_str(value.get()).ok()))
    };
    Ok(Profile { displayname: text("displayname")?, avatar_url: text("avatar_url")? })
}
