//! `POST /_matrix/client/v3/user/{userId}/filter`, `GET …/filter/{filterId}` (Filtering).

use std::sync::Arc;

use engram_http::json::{self, Json, ObjectBody};
use engram_http::path::Path;
use engram_http::{ApiError, ApiResult, Authed, State};
use engram_matrix::ids::{is_room_id, is_user_id};
use engram_users::query;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::app::App;

pub(crate) async fn create(
    State(app): State<Arc<App>>,
    session: Authed,
    Path(user_id): Path<String>,
    ObjectBody(filter): ObjectBody,
) -> ApiResult<Json<Value>> {
    session.must_be(&user_id)?;
    check(filter.get().as_bytes())?;
    let filter_id = app.writers.confirmed(app.users.create_filter(&user_id, &filter)).await??;
    Ok(Json(json!({ "filter_id": filter_id })))
}

pub(crate) fn get(
    State(app): State<Arc<App>>,
    session: Authed,
    Path((user_id, filter_id)): Path<(String, String)>,
) -> ApiResult<Json<Box<RawValue>>> {
    session.must_be(&user_id)?;
    let filter = query::filter(&*app.views.snapshot(), &user_id, &filter_id)?;
    filter.map(Json).ok_or_else(|| ApiError::not_found("There is no such filter."))
}

/// The shape of a filter, as far as a wrong one would mislead: what is not named here is kept and ignored.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Filter {
    #[serde(rename = "event_fields")]
    _event_fields: Option<Vec<String>>,
    event_format: Option<String>,
    presence: EventFilter,
    account_data: EventFilter,
    room: RoomFilter,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RoomFilter {
    rooms: Option<Vec<String>>,
    not_rooms: Option<Vec<String>>,
    #[serde(rename = "include_leave")]
    _include_leave: Option<bool>,
    state: EventFilter,
    timeline: EventFilter,
    ephemeral: EventFilter,
    account_data: EventFilter,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct EventFilter {
    #[serde(rename = "limit")]
    _limit: Option<u64>,
    senders: Option<Vec<String>>,
    not_senders: Option<Vec<String>>,
    #[serde(rename = "types")]
    _types: Option<Vec<String>>,
    #[serde(rename = "not_types")]
    _not_types: Option<Vec<String>>,
    rooms: Option<Vec<String>>,
    not_rooms: Option<Vec<String>>,
    #[serde(rename = "contains_url")]
    _contains_url: Option<bool>,
    #[serde(rename = "lazy_load_members")]
    _lazy_load_members: Option<bool>,
    #[serde(rename = "include_redundant_members")]
    _include_redundant_members: Option<bool>,
    #[serde(rename = "unread_thread_notifications")]
    _unread_thread_notifications: Option<bool>,
}

fn check(bytes: &[u8]) -> ApiResult<()> {
    let filter: Filter = json::parse(bytes)?;
    if filter.event_format.as_deref().is_some_and(|format| !matches!(format, "client" | "federation")) {
        return Err(ApiError::invalid_param("`event_format` is `client` or `federation`."));
    }
    let room = &filter.room;
    let parts = [&filter.presence, &filter.account_data, &room.state, &room.timeline, &room.ephemeral];
    for part in parts.into_iter().chain([&room.account_data]) {
        check_ids(&[&part.senders, &part.not_senders], is_user_id, "user ID")?;
        check_ids(&[&part.rooms, &part.not_rooms], is_room_id, "room ID")?;
    }
    check_ids(&[&room.rooms, &room.not_rooms], is_room_id, "room ID")
}

fn check_ids(lists: &[&Option<Vec<String>>], good: fn(&str) -> bool, what: &str) -> ApiResult<()> {
    match lists.iter().copied().flatten().flatten().find(|id| !good(id)) {
        None => Ok(()),
        Some(_) => Err(ApiError::invalid_param(format!("The filter names something that is not a {what}."))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_of_the_wrong_shape_are_refused() {
        for (filter, expected) in [
            (r"{}", None),
            (r#"{"room":{"timeline":{"limit":10,"unknown":1}},"presence":{"senders":["@a:b"]}}"#, None),
            (r#"{"presence":"not_an_object"}"#, Some("M_BAD_JSON")),
            (r#"{"room":{"timeline":"not_an_object"}}"#, Some("M_BAD_JSON")),
            (r#"{"room":{"timeline":{"limit":-1}}}"#, Some("M_INVALID_PARAM")),
            (r#"{"presence":{"senders":"not_a_list"}}"#, Some("M_BAD_JSON")),
            (r#"{"room":{"rooms":["not_a_room_id"]}}"#, Some("M_INVALID_PARAM")),
            (r#"{"presence":{"senders":["@not_a_user_id"]}}"#, Some("M_INVALID_PARAM")),
            (r#"{"event_format":"odd"}"#, Some("M_INVALID_PARAM")),
        ] {
            assert_eq!(check(filter.as_bytes()).err().map(|error| error.errcode), expected, "{filter}");
        }
    }
}
