//! `POST /_matrix/client/v3/rooms/{roomId}/upgrade` (Room upgrades), and what moves along with the people (ROOM-25)

use std::sync::Arc;

use axum::response::IntoResponse;
use engram_http::json::{Body, Json};
use engram_http::path::Path;
use engram_http::writers::wait;
use engram_http::{ApiError, ApiResult, Authed, State};
use engram_rooms::writer::{Created, UpgradeRoom};
use engram_users::writer::AccountDataError;
use engram_views::WriteError;
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use crate::app::App;
use crate::membership::leave_if_closed;

#[derive(Deserialize)]
pub(crate) struct Request {
    new_version: String,
    #[serde(default)]
    additional_creators: Vec<String>,
}

pub(crate) async fn post(
    State(app): State<Arc<App>>,
    Path(room): Path<String>,
    authed: Authed,
    Body(request): Body<Request>,
) -> ApiResult<impl IntoResponse> {
    if let Some(wrong) = request.additional_creators.iter().find(|user_id| !engram_matrix::ids::is_user_id(user_id)) {
        return Err(ApiError::invalid_param(format!("{wrong:?} is not a user ID.")));
    }
    let (held, old, user_id) = (Arc::clone(&app), room.clone(), authed.user_id.clone());
    let created = app
        .writers()
        .write(move || {
            wait(held.rooms.upgrade_room(&UpgradeRoom {
                room_id: &old,
                user_id: &user_id,
                new_version: &request.new_version,
                additional_creators: &request.additional_creators,
            }))
        })
        .await?;
    let room_id = made(&app, &authed.user_id, created).await?;
    Ok(Json(json!({ "replacement_room": room_id })))
}

/// Waits until a new room is durable and applied, and sees to what follows for its creator.
pub(super) async fn made(app: &Arc<App>, creator: &str, created: Created) -> ApiResult<String> {
    app.applied(created.offset).await?;
    if let Some(old) = created.moved_from {
        carry_over(app, creator, &old, &created.room_id).await?;
    }
    leave_if_closed(app, creator).await?;
    Ok(created.room_id)
}

/// Gives a user in the new room what they had set for the old one: tags, push rules, and that it is a direct chat.
pub(super) async fn carry_over(app: &Arc<App>, user_id: &str, old: &str, new: &str) -> ApiResult<()> {
    Ok(app.writers.confirmed(carry_over_all(app, user_id, old, new)).await??)
}

async fn carry_over_all(app: &App, user_id: &str, old: &str, new: &str) -> Result<(), AccountDataError> {
    let read = |room_id: Option<&str>, event_type: &str| {
        let snapshot = app.views.snapshot();
        engram_users::query::account_data(&*snapshot, user_id, room_id, event_type).map_err(WriteError::from)
    };
    if let Some(tags) = read(Some(old), "m.tag")?
        && read(Some(new), "m.tag")?.is_none()
    {
        app.users.set_account_data(user_id, Some(new), "m.tag", &tags).await?;
    }
    for (event_type, change) in [("m.direct", add_direct as Change), ("m.push_rules", add_rules)] {
        let Some(content) = read(None, event_type)?.and_then(|content| changed(&content, change, old, new)) else {
            continue;
        };
        // Read again under the user's lock; the look before spares a record where there is nothing to carry over.
        let update = |present: Option<&RawValue>| -> Result<_, std::convert::Infallible> {
            Ok(present.and_then(|present| changed(present, change, old, new)).unwrap_or(content))
        };
        let Ok(()) = app.users.update_account_data(user_id, None, event_type, update).await?;
    }
    Ok(())
}

/// Adds to a content what concerns the new room as it did the old one. False if there is nothing.
type Change = fn(&mut Value, &str, &str) -> bool;

fn changed(content: &RawValue, change: Change, old: &str, new: &str) -> Option<Box<RawValue>> {
    let mut value: Value = serde_json::from_str(content.get()).ok()?;
    if change(&mut value, old, new) { to_raw_value(&value).ok() } else { None }
}

fn add_direct(content: &mut Value, old: &str, new: &str) -> bool {
    let mut added = false;
    for rooms in content.as_object_mut().into_iter().flat_map(|users| users.values_mut()) {
        if let Some(rooms) = rooms.as_array_mut()
            && rooms.iter().any(|room| room == old)
            && !rooms.iter().any(|room| room == new)
        {
            rooms.push(json!(new));
            added = true;
        }
    }
    added
}

/// Copies the rule of kind `room` for the old room, which has the room's ID for its own.
fn add_rules(content: &mut Value, old: &str, new: &str) -> bool {
    let rules = content.get_mut("global").and_then(|global| global.get_mut("room")).and_then(Value::as_array_mut);
    let Some(rules) = rules else { return false };
    let has = |rules: &[Value], room: &str| rules.iter().position(|rule| rule["rule_id"] == room);
    let (Some(at), None) = (has(rules, old), has(rules, new)) else { return false };
    let mut rule = rules[at].clone();
    rule["rule_id"] = json!(new);
    rules.insert(at, rule);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_for_the_old_room_are_copied_once() {
        let direct = json!({ "@a:x": ["!old", "!other"], "@b:x": ["!other"], "@c:x": "no list" });
        let rules = json!({ "global": { "room": [{ "rule_id": "!old", "actions": ["notify"] }] } });
        for (content, change, pointer, expected) in [
            (direct, add_direct as Change, "/@a:x", json!(["!old", "!other", "!new"])),
            (rules, add_rules, "/global/room/0", json!({ "rule_id": "!new", "actions": ["notify"] })),
        ] {
            let mut changed = content.clone();
            assert!(change(&mut changed, "!old", "!new"));
            assert_eq!(changed.pointer(pointer), Some(&expected));
            assert!(!change(&mut changed, "!old", "!new"), "a second time there is nothing to do");
            let mut untouched = content.clone();
            assert!(!change(&mut untouched, "!unknown", "!new"));
            assert_eq!(untouched, content);
        }
    }
}
