//! `GET /_matrix/client/v3/rooms/{roomId}/members` and `/joined_members` (Getting events for a room),
//! `GET /_matrix/client/v3/joined_rooms` (Room membership)

use std::sync::Arc;

use axum::response::IntoResponse;
use engram_http::json::{Json, RawJson};
use engram_http::path::{Path, Query};
use engram_http::readable::{readable, token, viewer};
use engram_http::{ApiError, ApiResult, Authed, State};
use engram_rooms::state::{self, Root};
use engram_rooms::{Membership, query};
use engram_views::{Read, ViewError};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::state::rendered;
use crate::app::App;

/// Which members are wanted (FIL-10), and as of when.
#[derive(Deserialize)]
pub(crate) struct Wanted {
    membership: Option<String>,
    not_membership: Option<String>,
    at: Option<String>,
}

impl Wanted {
    fn check(&self) -> ApiResult<()> {
        for word in [&self.membership, &self.not_membership].into_iter().flatten() {
            if Membership::parse(word).is_none() {
                return Err(ApiError::invalid_param(format!("{word:?} is no membership.")));
            }
        }
        Ok(())
    }

    fn includes(&self, membership: &str) -> bool {
        match (&self.membership, &self.not_membership) {
            (None, None) => true,
            (Some(only), None) => only == membership,
            (None, Some(not)) => not != membership,
            (Some(only), Some(not)) => only == membership || not != membership,
        }
    }
}

pub(crate) fn members(
    State(app): State<Arc<App>>,
    Path(room): Path<String>,
    authed: Authed,
    Query(wanted): Query<Wanted>,
) -> ApiResult<RawJson<String>> {
    wanted.check()?;
    let snapshot = app.views.snapshot();
    let readable = readable(&*snapshot, &room, &authed.user_id)?;
    let root = match &wanted.at {
        None => readable.state,
        Some(at) => readable.state_at(&*snapshot, token("at", at)?.after, &authed.user_id)?,
    };
    let viewer = viewer(&authed, app.now());
    let mut events = Vec::new();
    for (user_id, offset) in member_entries(&*snapshot, root)? {
        let event = query::pdu(&*snapshot, offset)?;
        let membership = engram_matrix::membership::Membership::of(&event);
        if membership.is_some_and(|membership| wanted.includes(membership.as_str())) {
            events.push(rendered(&*snapshot, readable.room.number, offset, viewer)?);
        } else if membership.is_none() {
            tracing::debug!(user_id, "a member event without membership");
        }
    }
    Ok(RawJson(format!("{{\"chunk\":[{}]}}", events.join(","))))
}

/// The member events of a state.
fn member_entries(reader: &dyn Read, root: Root) -> Result<Vec<(String, engram_log::Offset)>, ViewError> {
    let mut members = Vec::new();
    for (pair, offset) in state::entries(reader, root)? {
        let (event_type, state_key) = state::pair_name(reader, pair)?;
        if event_type == "m.room.member" {
            members.push((state_key, offset));
        }
    }
    Ok(members)
}

pub(crate) fn joined_members(
    State(app): State<Arc<App>>,
    Path(room): Path<String>,
    authed: Authed,
) -> ApiResult<impl IntoResponse> {
    let snapshot = app.views.snapshot();
    let refused = || ApiError::forbidden(format!("{} is not in the room {room}", authed.user_id));
    let info = query::room(&*snapshot, &room)?.ok_or_else(refused)?;
    match query::membership(&*snapshot, info.number, &authed.user_id)? {
        Some((Membership::Join, _)) => {}
        _ => return Err(refused()),
    }
    let mut joined = Map::new();
    for member in query::members(&*snapshot, info.number, Some(&[Membership::Join]))? {
        let event = query::presented_at(&*snapshot, info.number, member.event)?;
        let content: Map<String, Value> = event.content().unwrap_or_default();
        let field = |name: &str| content.get(name).cloned().unwrap_or(Value::Null);
        let shown = json!({ "display_name": field("displayname"), "avatar_url": field("avatar_url") });
        joined.insert(member.user_id, shown);
    }
    Ok(Json(json!({ "joined": joined })))
}

pub(crate) fn joined_rooms(State(app): State<Arc<App>>, authed: Authed) -> ApiResult<impl IntoResponse> {
    let snapshot = app.views.snapshot();
    let mut rooms = Vec::new();
    for user_room in query::rooms_of(&*snapshot, &authed.user_id)? {
        if user_room.membership == Membership::Join {
            rooms.push(query::room_by_number(&*snapshot, user_room.room)?.room_id);
        }
    }
    Ok(Json(json!({ "joined_rooms": rooms })))
}
