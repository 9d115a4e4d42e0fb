//! Account data, filters, push rules.

use std::ops::{Bound, ControlFlow};

use engram_base::Parts;
use engram_log::{InputRef, Offset};
use engram_views::read::prefix_end;
use engram_views::{Read, Table, ViewError};

use super::{malformed, row};
use crate::json::{self, RawJson};
use crate::tables::{self, ACCOUNT_DATA, ACCOUNT_DATA_CHANGES, FILTERS};

const PUSH_RULES: &str = "m.push_rules";

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
    reader: &dyn Read,
    user_id: &str,
    room_id: Option<&str>,
    event_type: &str,
) -> Result<Option<RawJson>, ViewError> {
    match account_data_offset(reader, user_id, room_id, event_type)? {
        Some(offset) => content(reader, offset).map(Some),
        None => Ok(None),
    }
}

pub(crate) fn account_data_offset(
    reader: &dyn Read,
    user_id: &str,
    room_id: Option<&str>,
    event_type: &str,
) -> Result<Option<Offset>, ViewError> {
    let key = tables::account_data(user_id, room_id, event_type);
    row(reader, &ACCOUNT_DATA, &key, |bytes| Parts(bytes).offset())
}

fn content(reader: &dyn Read, offset: Offset) -> Result<RawJson, ViewError> {
    body(reader, offset, &ACCOUNT_DATA, |input| match input {
        InputRef::AccountDataSet(set) => Some(&set.content),
        _ => None,
    })
}

/// The account data that was set after `since`, in the order of the last change; all of it for [`Offset::ZERO`].
///
/// For [`Offset::ZERO`] the result always has `m.push_rules`: the defaults, if the user has stored none.
pub fn account_data_since(reader: &dyn Read, user_id: &str, since: Offset) -> Result<Vec<AccountDataRow>, ViewError> {
    let mut rows = Vec::new();
    for (offset, room_id, event_type) in changes(reader, user_id, since)? {
        rows.push(AccountDataRow { room_id, event_type, content: content(reader, offset)? });
    }
    let has_push_rules = rows.iter().any(|row| row.room_id.is_none() && row.event_type == PUSH_RULES);
    if since == Offset::ZERO && !has_push_rules {
        rows.push(AccountDataRow {
            room_id: None,
            event_type: PUSH_RULES.to_owned(),
            content: default_push_rules(user_id),
        });
    }
    Ok(rows)
}

fn changes(
    reader: &dyn Read,
    user_id: &str,
    since: Offset,
) -> Result<Vec<(Offset, Option<String>, String)>, ViewError> {
    let prefix = tables::of_user(user_id);
    let from = prefix.clone().offset(since);
    let end = prefix_end(&prefix);
    let to = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
    let mut changes = Some(Vec::new());
    reader.scan(&ACCOUNT_DATA_CHANGES, Bound::Excluded(&from), to, false, &mut |key, value| {
        let (mut key, mut value) = (Parts(&key[prefix.len()..]), Parts(value));
        match (changes.as_mut(), key.offset(), value.optional_text(), value.text()) {
            (Some(changes), Some(offset), Some(room_id), Some(event_type)) => {
                changes.push((offset, room_id.map(str::to_owned), event_type.to_owned()));
            }
            _ => changes = None,
        }
        ControlFlow::Continue(())
    })?;
    changes.ok_or_else(|| malformed(&ACCOUNT_DATA_CHANGES))
}

/// A stored filter.
pub fn filter(reader: &dyn Read, user_id: &str, filter_id: &str) -> Result<Option<RawJson>, ViewError> {
    let key = tables::of_user(user_id).text(filter_id);
    let Some(offset) = row(reader, &FILTERS, &key, |bytes| Parts(bytes).offset())? else {
        return Ok(None);
    };
    let filter = body(reader, offset, &FILTERS, |input| match input {
        InputRef::FilterCreated(created) => Some(&created.filter),
        _ => None,
    })?;
    Ok(Some(filter))
}

/// The JSON in the record that a row refers to.
pub(super) fn body(
    reader: &dyn Read,
    offset: Offset,
    table: &'static Table,
    pick: impl FnOnce(InputRef<'_>) -> Option<&[u8]>,
) -> Result<RawJson, ViewError> {
    let record = reader.record(offset)?;
    let json = record.input().ok().and_then(pick).and_then(json::from_bytes);
    json.ok_or(ViewError::Row { table: table.name, what: "it refers to a record that does not hold its JSON" })
}

/// The user's push rules: the content of `m.push_rules`, `{"global": {…}}`, with the server's defaults for a user
/// who has stored none.
pub fn push_rules(reader: &dyn Read, user_id: &str) -> Result<RawJson, ViewError> {
    let stored = account_data(reader, user_id, None, PUSH_RULES)?;
    Ok(stored.unwrap_or_else(|| default_push_rules(user_id)))
}

fn default_push_rules(user_id: &str) -> RawJson {
    let rules = engram_matrix::push::server_default(user_id).unwrap_or_else(|| "{}".to_owned());
    RawJson::from(
        serde_json::value::RawValue::from_string(format!(r#"{{"global":{rules}}}"#))
            .expect("a ruleset is JSON, and so is an object with it"),
    )
}
