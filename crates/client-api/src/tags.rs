//! `GET /_matrix/client/v3/user/{userId}/rooms/{roomId}/tags`, `PUT` and `DELETE …/tags/{tag}` (Room tagging).

use std::sync::Arc;

use engram_base::is_identifier;
use engram_http::json::{Body, Empty, Json};
use engram_http::path::Path;
use engram_http::{ApiError, ApiResult, Authed, State};
use engram_users::query;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

use crate::account_data::must_be_a_room;
use crate::app::App;

const TYPE: &str = "m.tag";

pub(crate) fn list(
    State(app): State<Arc<App>>,
    session: Authed,
    Path((user_id, room_id)): Path<(String, String)>,
) -> ApiResult<Json<Value>> {
    session.must_be(&user_id)?;
    let content = query::account_data(&*app.views.snapshot(), &user_id, Some(&room_id), TYPE)?;
    Ok(Json(json!({ "tags": tags(content.as_deref()) })))
}

pub(crate) async fn put(
    State(app): State<Arc<App>>,
    session: Authed,
    Path((user_id, room_id, tag)): Path<(String, String, String)>,
    Body(body): Body<Map<String, Value>>,
) -> ApiResult<Empty> {
    session.must_be(&user_id)?;
    must_be_a_room(&room_id)?;
    if !is_identifier(&tag) {
        return Err(ApiError::invalid_param("A tag has 1 to 255 bytes."));
    }
    if body.get("order").is_some_and(|order| !order.is_number()) {
        return Err(ApiError::bad_json("`order` is a number."));
    }
    change(app, user_id, room_id, move |tags| {
        tags.insert(tag, Value::Object(body));
    })
    .await
}

pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    session: Authed,
    Path((user_id, room_id, tag)): Path<(String, String, String)>,
) -> ApiResult<Empty> {
    session.must_be(&user_id)?;
    must_be_a_room(&room_id)?;
    change(app, user_id, room_id, move |tags| {
        tags.remove(&tag);
    })
    .await
}

fn tags(content: Option<&RawValue>) -> Map<String, Value> {
    let content = content.and_then(|content| serde_json::from_str::<Value>(content.get()).ok());
    match content.and_then(|mut content| content.get_mut("tags").map(Value::take)) {
        Some(Value::Object(tags)) => tags,
        _ => Map::new(),
    }
}

async fn change(
    app: Arc<App>,
    user_id: String,
    room_id: String,
    change: impl FnOnce(&mut Map<String, Value>) + Send + 'static,
) -> ApiResult<Empty> {
    let change = |content: Option<&RawValue>| {
        let mut tags = tags(content);
        change(&mut tags);
        to_raw_value(&json!({ "tags": tags }))
    };
    let changed = app.users.update_account_data(&user_id, Some(&room_id), TYPE, change);
    app.writers.confirmed(changed).await??.map_err(ApiError::internal)?;
    Ok(Empty)
}
