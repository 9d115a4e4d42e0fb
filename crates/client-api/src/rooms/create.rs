//! `POST /_matrix/client/v3/createRoom` (Room creation)

use std::collections::HashSet;
use std::sync::Arc;

use axum::response::IntoResponse;
use engram_http::json::{Body, Json};
use engram_http::writers::wait;
use engram_http::{ApiError, ApiResult, Authed, State};
use engram_rooms::writer::{CreateRoom, InitialEvent, Preset};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::upgrade::made;
use crate::app::App;
use crate::limits;

#[derive(Deserialize)]
pub(crate) struct Request {
    #[serde(default)]
    visibility: Visibility,
    room_alias_name: Option<String>,
    name: Option<String>,
    topic: Option<String>,
    #[serde(default)]
    invite: Vec<String>,
    #[serde(default)]
    invite_3pid: Vec<Value>,
    room_version: Option<String>,
    #[serde(default)]
    creation_content: Option<Map<String, Value>>,
    #[serde(default)]
    initial_state: Vec<StateEvent>,
    preset: Option<PresetName>,
    #[serde(default)]
    is_direct: bool,
    #[serde(default)]
    power_level_content_override: Option<Map<String, Value>>,
}

#[derive(Deserialize, Default, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Visibility {
    Public,
    #[default]
    Private,
}

#[derive(Deserialize, Clone, Copy)]
enum PresetName {
    #[serde(rename = "private_chat")]
    Private,
    #[serde(rename = "public_chat")]
    Public,
    #[serde(rename = "trusted_private_chat")]
    TrustedPrivate,
}

#[derive(Deserialize)]
struct StateEvent {
    #[serde(rename = "type")]
    event_type: String,
    #[serde(default)]
    state_key: String,
    content: Map<String, Value>,
}

pub(crate) async fn post(
    State(app): State<Arc<App>>,
    authed: Authed,
    Body(request): Body<Request>,
) -> ApiResult<impl IntoResponse> {
    if !request.invite_3pid.is_empty() {
        let why = "Third-party invites need an identity server, which this server does not talk to.";
        return Err(ApiError::new(axum::http::StatusCode::FORBIDDEN, "M_THREEPID_DENIED", why));
    }
    check_lists(&request)?;
    let create = resolve(&app, authed.user_id.clone(), request);
    let rooms = Arc::clone(&app.rooms);
    let created = app.writers().write(move || wait(rooms.create_room(&create))).await?;
    let created = made(&app, &authed.user_id, created).await?;
    Ok(Json(json!({ "room_id": created })))
}

fn check_lists(request: &Request) -> ApiResult<()> {
    let too_many = |what: &str, limit: usize| {
        Err(ApiError::too_large(format!("A room is created with at most {limit} {what}: send the rest afterwards.")))
    };
    if request.invite.len() > limits::ROOM_INVITES_MAX {
        return too_many("invites", limits::ROOM_INVITES_MAX);
    }
    if request.initial_state.len() > limits::ROOM_INITIAL_STATE_MAX {
        return too_many("state events", limits::ROOM_INITIAL_STATE_MAX);
    }
    Ok(())
}

/// The request with its defaults filled in.
fn resolve(app: &App, creator: String, request: Request) -> CreateRoom {
    let published = request.visibility == Visibility::Public;
    let preset = match request.preset {
        Some(PresetName::TrustedPrivate) => Preset::TrustedPrivate,
        Some(PresetName::Public) => Preset::Public,
        None if published => Preset::Public,
        Some(PresetName::Private) | None => Preset::Private,
    };
    let mut invite = request.invite;
    let mut seen = HashSet::new();
    invite.retain(|user_id| seen.insert(user_id.clone()));
    let initial = |event: StateEvent| InitialEvent {
        event_type: event.event_type,
        state_key: event.state_key,
        content: Value::Object(event.content),
    };
    CreateRoom {
        creator,
        room_version: request.room_version.unwrap_or_else(|| app.config.default_room_version.clone()),
        preset,
        published,
        alias_localpart: request.room_alias_name,
        name: request.name,
        topic: request.topic,
        creation_content: request.creation_content.unwrap_or_default(),
        power_levels: request.power_level_content_override.unwrap_or_default(),
        initial_state: request.initial_state.into_iter().map(initial).collect(),
        invite,
        is_direct: request.is_direct,
    }
}
