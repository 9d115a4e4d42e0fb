//! `GET` and `POST /_matrix/client/v3/publicRooms` (Published room directory)
//!
//! The largest rooms come first. A token is the number of rooms that came before, after a letter: some clients take "0"
//! for none.

use std::cmp::Reverse;
use std::sync::Arc;

use engram_http::json::{Json, OptionalBody};
use engram_http::path::Query;
use engram_http::{ApiError, ApiResult, Authed, State};
use engram_log::Offset;
use engram_matrix::history::HistoryVisibility;
use engram_matrix::join_rules::JoinRule;
use engram_matrix::pdu::Pdu;
use engram_rooms::query::{self, RoomInfo};
use engram_rooms::state::Root;
use engram_views::{Read, ViewError};
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::limits::PUBLIC_ROOMS_MAX;

#[derive(Deserialize)]
pub(crate) struct Page {
    server: Option<String>,
    limit: Option<usize>,
    since: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Search {
    limit: Option<usize>,
    since: Option<String>,
    #[serde(default)]
    filter: Wanted,
    #[serde(default)]
    include_all_networks: bool,
    third_party_instance_id: Option<String>,
}

#[derive(Deserialize, Default)]
struct Wanted {
    generic_search_term: Option<String>,
    room_types: Option<Vec<Option<String>>>,
}

#[derive(Deserialize)]
pub(crate) struct Where {
    server: Option<String>,
}

/// A room as the directory shows it.
#[derive(Serialize)]
struct Listed {
    room_id: String,
    num_joined_members: u64,
    world_readable: bool,
    guest_can_join: bool,
    join_rule: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    canonical_alias: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    avatar_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room_type: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct Answer {
    chunk: Vec<Listed>,
    total_room_count_estimate: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_batch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prev_batch: Option<String>,
}

pub(crate) fn get(
    State(app): State<Arc<App>>,
    authed: Option<Authed>,
    Query(page): Query<Page>,
) -> ApiResult<Json<Answer>> {
    match authed {
        _ if app.config.directory_without_account => {}
        None => return Err(ApiError::missing_token()),
        Some(authed) if authed.guest => return Err(ApiError::guest_access_forbidden("Guests cannot do this.")),
        Some(_) => {}
    }
    check_server(&app, page.server.as_deref())?;
    list(&app, &Wanted::default(), page.limit, page.since)
}

pub(crate) fn post(
    State(app): State<Arc<App>>,
    Query(Where { server }): Query<Where>,
    OptionalBody(search): OptionalBody<Search>,
) -> ApiResult<Json<Answer>> {
    check_server(&app, server.as_deref())?;
    match search.third_party_instance_id {
        Some(_) if search.include_all_networks => {
            Err(ApiError::invalid_param("All networks and one of them cannot both be asked for."))
        }
        // No network is bridged to this server by an instance that it knows.
        Some(_) => {
            Ok(Json(Answer { chunk: Vec::new(), total_room_count_estimate: 0, next_batch: None, prev_batch: None }))
        }
        None => list(&app, &search.filter, search.limit, search.since),
    }
}

/// Directories of other servers are asked for over federation, which this server does not speak yet.
fn check_server(app: &App, server: Option<&str>) -> ApiResult<()> {
    match server {
        Some(server) if server != app.config.server_name => {
            Err(ApiError::not_found(format!("The directory of {server} cannot be asked for.")))
        }
        _ => Ok(()),
    }
}

fn list(app: &App, wanted: &Wanted, limit: Option<usize>, since: Option<String>) -> ApiResult<Json<Answer>> {
    // An empty token is none.
    let skip: usize = match since.filter(|since| !since.is_empty()) {
        None => 0,
        Some(since) => {
            let number = since.strip_prefix('p').and_then(|number| number.parse().ok());
            number.ok_or_else(|| ApiError::invalid_param("`since` is no token of this directory."))?
        }
    };
    let limit = limit.unwrap_or(PUBLIC_ROOMS_MAX).min(PUBLIC_ROOMS_MAX);
    let mut rooms = matching(&*app.views.snapshot(), wanted)?;
    rooms.sort_by(|one, other| {
        (Reverse(one.num_joined_members), &one.room_id).cmp(&(Reverse(other.num_joined_members), &other.room_id))
    });
    let total = rooms.len();
    let end = skip.saturating_add(limit).min(total);
    Ok(Json(Answer {
        chunk: rooms.into_iter().skip(skip).take(limit).collect(),
        total_room_count_estimate: total,
        // Whoever asks for none at a time would never come to an end.
        next_batch: (limit > 0 && end < total).then(|| format!("p{end}")),
        prev_batch: (limit > 0 && skip > 0).then(|| format!("p{}", skip.saturating_sub(limit))),
    }))
}

fn matching(reader: &dyn Read, wanted: &Wanted) -> Result<Vec<Listed>, ViewError> {
    let mut rooms = Vec::new();
    for room_id in query::published(reader)? {
        if let Some(listed) = describe(reader, room_id)?
            && wanted.includes(&listed)
        {
            rooms.push(listed);
        }
    }
    Ok(rooms)
}

fn describe(reader: &dyn Read, room_id: String) -> Result<Option<Listed>, ViewError> {
    let Some(room) = query::room(reader, &room_id)? else { return Ok(None) };
    let head = query::head(reader, room.number)?;
    let text = |event_type: &str, field: &str| -> Result<Option<String>, ViewError> {
        let event = entry(reader, &room, head.state, event_type)?;
        Ok(event.and_then(|event| field_of(&event, field)).filter(|text| !text.is_empty()))
    };
    let visibility =
        HistoryVisibility::in_state(entry(reader, &room, head.state, "m.room.history_visibility")?.as_deref());
    Ok(Some(Listed {
        num_joined_members: head.joined,
        world_readable: visibility == HistoryVisibility::WorldReadable,
        guest_can_join: text("m.room.guest_access", "guest_access")?.as_deref() == Some("can_join"),
        join_rule: JoinRule::in_state(entry(reader, &room, head.state, "m.room.join_rules")?.as_deref())
            .as_str()
            .to_owned(),
        name: text("m.room.name", "name")?,
        topic: text("m.room.topic", "topic")?,
        canonical_alias: text("m.room.canonical_alias", "alias")?,
        avatar_url: text("m.room.avatar", "url")?,
        room_type: text("m.room.create", "type")?,
        room_id,
    }))
}

fn entry(reader: &dyn Read, room: &RoomInfo, state: Root, event_type: &str) -> Result<Option<Arc<Pdu>>, ViewError> {
    let offset: Option<Offset> = query::state_entry(reader, state, event_type, "")?;
    offset.map(|offset| query::presented_at(reader, room.number, offset)).transpose()
}

fn field_of(event: &Pdu, field: &str) -> Option<String> {
    let content: serde_json::Map<String, serde_json::Value> = event.content().ok()?;
    content.get(field)?.as_str().map(str::to_owned)
}

impl Wanted {
    fn includes(&self, room: &Listed) -> bool {
        let type_fits = self.room_types.as_ref().is_none_or(|types| types.contains(&room.room_type));
        type_fits && self.generic_search_term.as_deref().is_none_or(|term| room.mentions(term))
    }
}

impl Listed {
    fn mentions(&self, term: &str) -> bool {
        let term = term.to_lowercase();
        let texts = [&self.name, &self.topic, &self.canonical_alias];
        texts.into_iter().flatten().any(|text| text.to_lowercase().contains(&term))
    }
}
