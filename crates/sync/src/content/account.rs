//! Account data: the user's own notes, global and for rooms.

use std::collections::BTreeMap;
use std::sync::Arc;

use engram_log::Offset;
use engram_users::query::{self, AccountDataRow};
use engram_views::{Read, ViewError};
use serde::Deserialize;

use super::Context;
use crate::hub::{Ignored, UserHub};
use crate::json::push_string;

/// Account data that goes into an answer, as finished events.
#[derive(Default)]
pub(crate) struct AccountData {
    /// Global.
    pub(crate) global: Vec<String>,
    /// By room.
    rooms: BTreeMap<String, Vec<String>>,
    /// Everything that is set for rooms, once somebody has asked for it.
    all_rooms: Option<BTreeMap<String, Vec<String>>>,
}

impl AccountData {
    /// What has changed.
    pub(crate) fn read(context: &Context<'_>) -> Result<Self, ViewError> {
        let mut data = Self::default();
        if !context.is_new(context.user.account_data.get()) {
            return Ok(data);
        }
        for row in query::account_data_since(context.reader(), context.user_id(), context.after())? {
            match &row.room_id {
                None if context.filter.account_data.event_type(&row.event_type) => data.global.push(event(&row)),
                None => {}
                Some(_) => add_to_room(context, &mut data.rooms, &row),
            }
        }
        if context.since.is_none() {
            data.all_rooms = Some(data.rooms.clone());
        }
        Ok(data)
    }

    /// What has changed for a room, or everything, for one that is new to the client.
    pub(crate) fn room(&mut self, context: &Context<'_>, room_id: &str, all: bool) -> Result<Vec<String>, ViewError> {
        if !all {
            return Ok(self.rooms.remove(room_id).unwrap_or_default());
        }
        if self.all_rooms.is_none() {
            let mut rooms = BTreeMap::new();
            for row in query::account_data_since(context.reader(), context.user_id(), Offset::ZERO)? {
                add_to_room(context, &mut rooms, &row);
            }
            self.all_rooms = Some(rooms);
        }
        Ok(self.all_rooms.as_mut().and_then(|rooms| rooms.remove(room_id)).unwrap_or_default())
    }

    /// Whether there is something new for a room.
    pub(crate) fn has_room(&self, room_id: &str) -> bool {
        self.rooms.contains_key(room_id)
    }
}

fn add_to_room(context: &Context<'_>, rooms: &mut BTreeMap<String, Vec<String>>, row: &AccountDataRow) {
    let filter = &context.filter.room.account_data;
    if let Some(room_id) = &row.room_id
        && filter.event.event_type(&row.event_type)
        && filter.room(room_id)
    {
        rooms.entry(room_id.clone()).or_default().push(event(row));
    }
}

/// All of a user's account data as finished events, by room; none for what is global.
pub(crate) fn all_account_data(
    reader: &dyn Read,
    user_id: &str,
) -> Result<BTreeMap<Option<String>, Vec<String>>, ViewError> {
    let mut all: BTreeMap<Option<String>, Vec<String>> = BTreeMap::new();
    for row in query::account_data_since(reader, user_id, Offset::ZERO)? {
        all.entry(row.room_id.clone()).or_default().push(event(&row));
    }
    Ok(all)
}

fn event(row: &AccountDataRow) -> String {
    let content = row.content.get();
    let mut out = String::with_capacity(content.len() + row.event_type.len() + 32);
    out.push_str("{\"content\":");
    out.push_str(content);
    out.push_str(",\"type\":");
    push_string(&mut out, &row.event_type);
    out.push('}');
    out
}

/// Whom a user ignores at the position of a snapshot.
pub(crate) fn ignored(reader: &dyn Read, user: &UserHub, at: Offset) -> Result<Arc<Ignored>, ViewError> {
    if let Some(ignored) = user.ignored() {
        return Ok(ignored);
    }
    let ignored = Arc::new(read_ignored(reader, &user.id)?);
    user.remember_ignored(at, &ignored);
    Ok(ignored)
}

/// [`ignored`] without the memory.
pub(crate) fn read_ignored(reader: &dyn Read, user_id: &str) -> Result<Ignored, ViewError> {
    let content = query::account_data(reader, user_id, None, "m.ignored_user_list")?;
    let mut ignored = content.map(|content| parse_ignored(content.get())).unwrap_or_default();
    // Whoever has put themselves on their list by mistake still sees what they write.
    ignored.remove(user_id);
    Ok(ignored)
}

fn parse_ignored(content: &str) -> Ignored {
    #[derive(Deserialize)]
    struct Content {
        ignored_users: serde_json::Map<String, serde_json::Value>,
    }
    // What a client has stored there by mistake ignores nobody.
    serde_json::from_str::<Content>(content)
        .map(|content| content.ignored_users.into_iter().map(|(user_id, _)| user_id).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_users_are_the_keys() {
        let ignored = parse_ignored(r#"{"ignored_users":{"@a:a":{},"@b:a":{"x":1}}}"#);
        assert_eq!(ignored.into_iter().collect::<Vec<_>>(), ["@a:a", "@b:a"]);
        for content in ["{}", "[]", r#"{"ignored_users":["@a:a"]}"#] {
            assert!(parse_ignored(content).is_empty(), "{content}");
        }
    }

    #[test]
    fn account_data_is_content_and_type() {
        let row = AccountDataRow {
            room_id: None,
            event_type: "m.x\"y".into(),
            content: serde_json::value::RawValue::from_string(r#"{"a":1}"#.into()).expect("valid"),
        };
        let event: serde_json::Value = serde_json::from_str(&event(&row)).expect("valid");
        assert_eq!(event, serde_json::json!({"type": "m.x\"y", "content": {"a": 1}}));
    }
}
